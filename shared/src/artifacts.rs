//! The artifact store: files named by their content, in a local folder or an object store.
//!
//! Writers upload first and report the hash afterwards; a file that is there is never changed. Repeating an upload is
//! harmless and makes the file young again, which protects it from the clean-up.
//!
//! A file lies under its hash, cut after two digits: `ab/cdef…`. It has no extension, as its content may be known under
//! several media types. It appears there whole or not at all.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::buffered::BufWriter;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use sha2::Digest as _;
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;
use url::Url;
use uuid::Uuid;

use crate::artifact::{Artifact, MediaType, Sha256};
use crate::byte_size::ByteSize;
use crate::time::Timestamp;

mod folder;

use folder::Folder;

/// How much of a local file is read at a time.
const READ_SIZE: usize = 256 << 10;
/// Files up to this size are stored in one piece, larger ones in parts of it. Object stores take no smaller parts than 5 MiB.
const PART_SIZE: usize = 8 << 20;
/// What [`ArtifactStore::open`] understands.
const KNOWN_URLS: &str =
    "known are folders, as file:///srv/films, file:///C:/films or the bare path";

/// Why an artifact could not be stored or had.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The URL names no store that this program knows.
    #[error("`{url}` is no artifact store: {reason}")]
    Url {
        /// The URL, without credentials.
        url: String,
        /// What would do.
        reason: String,
    },
    /// The folder of the store cannot be made or written.
    #[error(
        "cannot write to the artifact folder {folder}: let this user write there, or name another one in [artifacts] url"
    )]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not there.
    #[error("artifact {0} is not in the store")]
    Missing(Sha256),
    /// It is there, but not what its name says.
    #[error("artifact {0} is damaged: its content has another hash or size")]
    Damaged(Sha256),
    /// Nothing more fits.
    #[error(
        "the artifact store is full: free some space, or name another place in [artifacts] url"
    )]
    Full(#[source] object_store::Error),
    /// The store itself failed.
    #[error("the artifact store failed")]
    Store(#[source] object_store::Error),
    /// A local file could not be read or written.
    #[error("cannot use the file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ArtifactError {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

impl From<object_store::Error> for ArtifactError {
    fn from(error: object_store::Error) -> Self {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(cause) = source {
            let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
            if let Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) = kind {
                return Self::Full(error);
            }
            source = cause.source();
        }
        Self::Store(error)
    }
}

/// A store of artifacts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    store: Arc<dyn ObjectStore>,
    /// Where the files are, if they are in a local folder.
    folder: Option<Folder>,
}

impl ArtifactStore {
    /// Opens the store at a URL: `file:///path/to/folder`, or the bare path of a folder, which may be relative to the working
    /// directory. The folder is made if it is not there. Other schemes come with their features.
    ///
    /// # Errors
    /// If the URL names no known store or the folder cannot be made or written.
    pub fn open(url: &str) -> Result<Self, ArtifactError> {
        let folder = folder_of(url).map_err(|reason| ArtifactError::Url {
            url: without_credentials(url),
            reason,
        })?;
        Self::open_folder(&folder)
    }

    /// Opens the store in a local folder, made if it is not there.
    ///
    /// # Errors
    /// If the folder cannot be made or written.
    pub fn open_folder(folder: &Path) -> Result<Self, ArtifactError> {
        let folder = Folder::open(folder).map_err(|source| ArtifactError::Folder {
            folder: folder.to_owned(),
            source,
        })?;
        Ok(Self {
            store: Arc::new(folder.object_store()?),
            folder: Some(folder),
        })
    }

    /// Stores a file's content. Streams; the same content twice is stored once.
    ///
    /// # Errors
    /// If the file cannot be read or the store fails.
    pub async fn put_file(
        &self,
        path: &Path,
        media_type: MediaType,
    ) -> Result<Artifact, ArtifactError> {
        let artifact = digest(read_file(path).await?).await?.artifact(media_type);
        let changed =
            || ArtifactError::file(path, io::Error::other("it changed while it was stored"));
        self.put(&artifact, read_file(path).await?, changed).await?;
        Ok(artifact)
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put_bytes(
        &self,
        bytes: Bytes,
        media_type: MediaType,
    ) -> Result<Artifact, ArtifactError> {
        let content = || futures::stream::iter([Ok(bytes.clone())]);
        let artifact = digest(content()).await?.artifact(media_type);
        let changed = || ArtifactError::Damaged(artifact.sha256);
        self.put(&artifact, content(), changed).await?;
        Ok(artifact)
    }

    /// Stores `content` as `artifact`, unless it is there already and sound. `changed` is the error for content that is not
    /// what the artifact says.
    async fn put(
        &self,
        artifact: &Artifact,
        mut content: impl Stream<Item = Result<Bytes, ArtifactError>> + Unpin,
        changed: impl Fn() -> ArtifactError,
    ) -> Result<(), ArtifactError> {
        if let Some(folder) = &self.folder
            && self.verify(artifact).await.is_ok()
            && folder.touch(artifact.sha256).is_ok()
        {
            return Ok(());
        }
        // Two parts at a time: more would not be faster on a disk, and each is held in memory.
        let mut writer =
            BufWriter::with_capacity(Arc::clone(&self.store), key(artifact.sha256), PART_SIZE)
                .with_max_concurrency(2);
        let copied = async {
            let mut digest = Digest::default();
            while let Some(piece) = content.try_next().await? {
                digest.update(&piece);
                writer.put(piece).await?;
            }
            if digest.matches(artifact) {
                Ok(())
            } else {
                Err(changed())
            }
        };
        match copied.await {
            Ok(()) => writer.shutdown().await.map_err(upload_error),
            Err(error) => {
                // What has been uploaded of it is thrown away; if that fails too, the first error tells more.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }

    /// Copies an artifact into a new local file and checks it on the way. The file appears whole or not at all.
    ///
    /// # Errors
    /// If it is missing or damaged, or the file cannot be written.
    pub async fn fetch(&self, artifact: &Artifact, to: &Path) -> Result<(), ArtifactError> {
        let mut content = self.content(artifact, GetOptions::default()).await?;
        let part = PartFile::beside(to);
        let cannot_write = |source| ArtifactError::file(to, source);
        let mut file = tokio::fs::File::create_new(&part.path)
            .await
            .map_err(cannot_write)?;
        let mut digest = Digest::default();
        while let Some(piece) = content.try_next().await? {
            digest.update(&piece);
            file.write_all(&piece).await.map_err(cannot_write)?;
        }
        file.flush().await.map_err(cannot_write)?;
        // Windows renames no open file.
        drop(file.into_std().await);
        if !digest.matches(artifact) {
            return Err(ArtifactError::Damaged(artifact.sha256));
        }
        tokio::fs::rename(&part.path, to)
            .await
            .map_err(cannot_write)
    }

    /// Streams a range of an artifact's bytes (all of them: `0..size`), unchecked.
    ///
    /// # Errors
    /// If it is missing.
    pub async fn read(
        &self,
        artifact: &Artifact,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, ArtifactError>>, ArtifactError> {
        if range.is_empty() {
            // Object stores refuse an empty range, but a missing artifact is still an error.
            let head = GetOptions::default().with_head(true);
            drop(self.content(artifact, head).await?);
            return Ok(futures::stream::empty().boxed());
        }
        self.content(artifact, GetOptions::default().with_range(Some(range)))
            .await
    }

    /// Whether an artifact is there with the hash and size it is said to have.
    ///
    /// # Errors
    /// If it is missing or damaged, or the store fails.
    pub async fn verify(&self, artifact: &Artifact) -> Result<(), ArtifactError> {
        let content = self.content(artifact, GetOptions::default()).await?;
        if digest(content).await?.matches(artifact) {
            Ok(())
        } else {
            Err(ArtifactError::Damaged(artifact.sha256))
        }
    }

    /// Removes every artifact that is not in `keep` and has not been touched since `grace` before `now`. Returns how many.
    /// Remains of broken uploads of that age go too.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sweep(
        &self,
        keep: &HashSet<Sha256>,
        grace: Duration,
        now: Timestamp,
    ) -> Result<usize, ArtifactError> {
        let is_old = |touched_at: Timestamp| now.since(touched_at) > grace;
        let mut removed = 0;
        let mut list = self.store.list(None);
        while let Some(found) = list.try_next().await? {
            let kept = hash_of(&found.location).is_none_or(|hash| keep.contains(&hash));
            if kept || !is_old(touched_at(&found)) {
                continue;
            }
            // Looked at again: an upload of the same content may have touched it since the list was made.
            match self.store.head(&found.location).await {
                Ok(seen) if is_old(touched_at(&seen)) => {
                    self.store.delete(&found.location).await?;
                    removed += 1;
                }
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(folder) = &self.folder {
            folder.remove_broken_uploads(is_old);
        }
        Ok(removed)
    }

    async fn content(
        &self,
        artifact: &Artifact,
        options: GetOptions,
    ) -> Result<BoxStream<'static, Result<Bytes, ArtifactError>>, ArtifactError> {
        match self.store.get_opts(&key(artifact.sha256), options).await {
            Ok(found) => Ok(found.into_stream().map_err(ArtifactError::from).boxed()),
            Err(object_store::Error::NotFound { .. }) => {
                Err(ArtifactError::Missing(artifact.sha256))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Where an artifact lies in the store.
fn key(hash: Sha256) -> object_store::path::Path {
    let digits = hash.to_string();
    let (first, rest) = digits.split_at(2);
    [first, rest].into_iter().collect()
}

/// Which artifact lies there; `None` for anything else that someone put into the store.
fn hash_of(key: &object_store::path::Path) -> Option<Sha256> {
    let (first, rest) = key.as_ref().split_once('/')?;
    (first.len() == 2)
        .then(|| format!("{first}{rest}").parse().ok())
        .flatten()
}

fn touched_at(found: &object_store::ObjectMeta) -> Timestamp {
    Timestamp::from_millis(found.last_modified.timestamp_millis())
}

fn folder_of(text: &str) -> Result<PathBuf, String> {
    // `C:\films` would pass for a URL of the scheme `c`, hence the slashes.
    if !text.contains("://") && !text.is_empty() {
        return Ok(PathBuf::from(text));
    }
    let url = Url::parse(text).map_err(|error| format!("{error}; {KNOWN_URLS}"))?;
    match url.scheme() {
        "file" => url
            .to_file_path()
            .map_err(|()| format!("the path must be absolute; {KNOWN_URLS}")),
        other => Err(format!(
            "this program has no store for `{other}`; {KNOWN_URLS}"
        )),
    }
}

fn without_credentials(text: &str) -> String {
    match Url::parse(text) {
        // What follows the scheme may hold a key, in the user, the password or the query.
        Ok(url) if url.scheme() != "file" => format!("{}://…", url.scheme()),
        Ok(_) => text.to_owned(),
        // Nobody knows what is what in it.
        Err(_) => match text.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://…"),
            None => text.to_owned(),
        },
    }
}

async fn read_file(
    path: &Path,
) -> Result<impl Stream<Item = Result<Bytes, ArtifactError>> + Unpin, ArtifactError> {
    let file = tokio::fs::File::open(path)
        .await
        .map_err(|source| ArtifactError::file(path, source))?;
    let path = path.to_owned();
    Ok(ReaderStream::with_capacity(file, READ_SIZE)
        .map_err(move |source| ArtifactError::file(&path, source)))
}

/// The writer wraps what the store said.
fn upload_error(error: io::Error) -> ArtifactError {
    match error.downcast::<object_store::Error>() {
        Ok(error) => error.into(),
        Err(error) => ArtifactError::Store(object_store::Error::Generic {
            store: "upload",
            source: Box::new(error),
        }),
    }
}

/// Hash and size of what has been seen so far.
#[derive(Default)]
struct Digest {
    hash: sha2::Sha256,
    size: u64,
}

impl Digest {
    fn update(&mut self, piece: &[u8]) {
        self.hash.update(piece);
        self.size += piece.len() as u64;
    }

    fn artifact(self, media_type: MediaType) -> Artifact {
        Artifact {
            sha256: Sha256::new(self.hash.finalize().into()),
            size: ByteSize::bytes(self.size),
            media_type,
        }
    }

    fn matches(self, artifact: &Artifact) -> bool {
        self.artifact(artifact.media_type) == *artifact
    }
}

async fn digest(
    mut content: impl Stream<Item = Result<Bytes, ArtifactError>> + Unpin,
) -> Result<Digest, ArtifactError> {
    let mut digest = Digest::default();
    while let Some(piece) = content.try_next().await? {
        digest.update(&piece);
    }
    Ok(digest)
}

/// A file on its way, beside the one it will become. Goes away unless it was renamed.
struct PartFile {
    path: PathBuf,
}

impl PartFile {
    fn beside(to: &Path) -> Self {
        let mut name = to.file_name().map(OsString::from).unwrap_or_default();
        name.push(format!(".{}.part", Uuid::now_v7()));
        Self {
            path: to.with_file_name(name),
        }
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // After a success it is not there any more.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests;
