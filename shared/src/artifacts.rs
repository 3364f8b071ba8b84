//! The artifact store: files named by their content, in a local folder, in a bucket, or with a coordinator.
//!
//! Writers upload first and report the hash afterwards; a file that is there is never changed. Repeating an upload is
//! harmless and makes the file young again, which protects it from the clean-up.
//!
//! A file lies under its hash, cut after two digits: `ab/cdef…`. It has no extension, as its content may be known under
//! several media types. It appears there whole or not at all.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncWriteExt, BufWriter};

use crate::artifact::{Artifact, MediaType, Sha256};
use crate::byte_size::ByteSize;
use crate::http;
use crate::settings::ArtifactSettings;
use crate::time::Timestamp;

mod address;
#[cfg(feature = "s3")]
mod bucket;
mod digest;
mod error;
mod folder;
mod objects;
mod part_file;
mod patience;
mod remote;
mod source;

pub use address::Address;
use digest::Digest;
pub use error::ArtifactError;
use folder::Folder;
use part_file::PartFile;
use patience::Patience;
use remote::Remote;
use source::Source;

/// How much of a local file is read or written at a time.
const READ_SIZE: usize = 256 << 10;

/// The bytes of a file, on their way.
pub type Content = BoxStream<'static, Result<Bytes, ArtifactError>>;

/// Where artifacts lie. All that is sent or read streams.
#[async_trait]
trait Place: fmt::Debug + Send + Sync {
    /// How long the file of that hash is.
    async fn size(&self, hash: Sha256) -> Result<u64, ArtifactError>;

    /// Its bytes, unchecked: those of a range that is not empty, or all.
    async fn read(&self, hash: Sha256, range: Option<Range<u64>>)
    -> Result<Content, ArtifactError>;

    /// Whether it is there and lets us in, by asking for a file that nobody has.
    async fn check(&self) -> Result<(), ArtifactError> {
        match self.size(Sha256::new([0; 32])).await {
            Ok(_) | Err(ArtifactError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Hash and size of what really lies there.
    async fn digest(&self, hash: Sha256) -> Result<Digest, ArtifactError> {
        Digest::of_stream(self.read(hash, None).await?).await
    }

    /// Whether the file is there and sound, and was made young again. Where that is not known cheaply, it is not: storing it once
    /// more does no harm.
    async fn has(&self, _hash: Sha256, _size: u64) -> bool {
        false
    }

    /// Stores a file, over whatever is there. [`ArtifactError::Damaged`] if the content is another one; nothing of it stays then.
    async fn write(&self, hash: Sha256, size: u64, content: Content) -> Result<(), ArtifactError>;

    /// See [`ArtifactStore::sweep`].
    async fn sweep(
        &self,
        keep: &HashSet<Sha256>,
        grace: Duration,
        now: Timestamp,
    ) -> Result<usize, ArtifactError>;
}

/// A store of artifacts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    place: Arc<dyn Place>,
}

impl ArtifactStore {
    /// Opens the store at a URL that needs no credentials: see [`Self::connect`].
    ///
    /// # Errors
    /// If the URL names no known store or the folder cannot be made or written.
    pub fn open(url: &str) -> Result<Self, ArtifactError> {
        Self::connect(&ArtifactSettings::at(url))
    }

    /// Opens the store that the settings name: `file:///path/to/folder`, or the bare path of a folder, which may be relative to
    /// the working directory and is made if it is not there; `http://HOST:PORT`, a coordinator; `s3://BUCKET/PREFIX`. Over the
    /// network nothing is asked yet: [`Self::check`] does that.
    ///
    /// # Errors
    /// If the URL names no known store or the folder cannot be made or written.
    pub fn connect(settings: &ArtifactSettings) -> Result<Self, ArtifactError> {
        let unusable = |reason| ArtifactError::Url {
            url: http::without_credentials(&settings.url),
            reason,
        };
        let place: Arc<dyn Place> = match Address::read(&settings.url).map_err(unusable)? {
            Address::Folder(folder) => return Self::open_folder(&folder),
            Address::Coordinator(base) => {
                Arc::new(Remote::new(base, settings.token.as_ref()).map_err(unusable)?)
            }
            #[cfg(feature = "s3")]
            Address::Bucket { name, prefix } => Arc::new(bucket::open(&name, &prefix, settings)?),
            #[cfg(not(feature = "s3"))]
            Address::Bucket { .. } => {
                let reason =
                    "this program was built without buckets; build it with the feature `s3`";
                return Err(unusable(reason.to_owned()));
            }
        };
        Ok(Self { place })
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
            place: Arc::new(folder),
        })
    }

    /// Whether the store is there and lets us in.
    ///
    /// # Errors
    /// If it is not there, or refuses.
    pub async fn check(&self) -> Result<(), ArtifactError> {
        self.place.check().await
    }

    /// Stores a file's content. Streams; the same content twice is stored once. A store that is away is waited for.
    ///
    /// # Errors
    /// If the file cannot be read or the store fails.
    pub async fn put_file(
        &self,
        path: &Path,
        media_type: MediaType,
    ) -> Result<Artifact, ArtifactError> {
        let stored = self.put(&Source::File(path.to_owned()), media_type).await;
        stored.map_err(|error| match error {
            ArtifactError::Damaged(_) => {
                ArtifactError::file(path, io::Error::other("it changed while it was stored"))
            }
            other => other,
        })
    }

    /// Stores bytes. A store that is away is waited for.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put_bytes(
        &self,
        bytes: Bytes,
        media_type: MediaType,
    ) -> Result<Artifact, ArtifactError> {
        self.put(&Source::Bytes(bytes), media_type).await
    }

    async fn put(&self, source: &Source, media_type: MediaType) -> Result<Artifact, ArtifactError> {
        let (sha256, size) = source.digest().await?.finish();
        let artifact = Artifact {
            sha256,
            size: ByteSize::bytes(size),
            media_type,
        };
        if self.place.has(sha256, size).await {
            return Ok(artifact);
        }
        let mut patience = Patience::new();
        loop {
            match self.place.write(sha256, size, source.open().await?).await {
                Ok(()) => return Ok(artifact),
                Err(error) if error.may_pass() && patience.again().await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Stores what comes, which the sender says has this hash and size. Once: what broke off is to be sent again.
    ///
    /// # Errors
    /// [`ArtifactError::Damaged`] if it has not; nothing of it stays then. Or if it breaks off, or the store fails.
    pub async fn receive(
        &self,
        hash: Sha256,
        size: u64,
        content: Content,
    ) -> Result<(), ArtifactError> {
        self.place.write(hash, size, content).await
    }

    /// Copies an artifact into a new local file and checks it on the way. The file appears whole or not at all. A store that is
    /// away is waited for.
    ///
    /// # Errors
    /// If it is missing or damaged, or the file cannot be written.
    pub async fn fetch(&self, artifact: &Artifact, to: &Path) -> Result<(), ArtifactError> {
        let mut patience = Patience::new();
        loop {
            match self.fetch_once(artifact, to).await {
                Err(error) if error.may_pass() && patience.again().await => {}
                fetched => return fetched,
            }
        }
    }

    async fn fetch_once(&self, artifact: &Artifact, to: &Path) -> Result<(), ArtifactError> {
        let mut content = self.place.read(artifact.sha256, None).await?;
        let part = PartFile::beside(to);
        let cannot_write = |source| ArtifactError::file(to, source);
        let file = tokio::fs::File::create_new(&part.path)
            .await
            .map_err(cannot_write)?;
        let mut file = BufWriter::with_capacity(READ_SIZE, file);
        let mut digest = Digest::default();
        while let Some(piece) = content.try_next().await? {
            digest.update(&piece);
            file.write_all(&piece).await.map_err(cannot_write)?;
        }
        file.flush().await.map_err(cannot_write)?;
        // Windows renames no open file.
        drop(file.into_inner().into_std().await);
        if !digest.is(artifact.sha256, artifact.size.as_bytes()) {
            return Err(ArtifactError::Damaged(artifact.sha256));
        }
        tokio::fs::rename(&part.path, to)
            .await
            .map_err(cannot_write)
    }

    /// How long the file of that hash is.
    ///
    /// # Errors
    /// If it is missing, or the store fails.
    pub async fn size(&self, hash: Sha256) -> Result<u64, ArtifactError> {
        self.place.size(hash).await
    }

    /// Streams a range of the bytes of the file of that hash, unchecked.
    ///
    /// # Errors
    /// If it is missing.
    pub async fn read(&self, hash: Sha256, range: Range<u64>) -> Result<Content, ArtifactError> {
        if range.is_empty() {
            // Stores refuse an empty range, but a missing artifact is still an error.
            self.place.size(hash).await?;
            return Ok(futures::stream::empty().boxed());
        }
        self.place.read(hash, Some(range)).await
    }

    /// Whether an artifact is there with the hash and size it is said to have. A store that is away is waited for.
    ///
    /// # Errors
    /// If it is missing or damaged, or the store fails.
    pub async fn verify(&self, artifact: &Artifact) -> Result<(), ArtifactError> {
        let mut patience = Patience::new();
        let digest = loop {
            match self.place.digest(artifact.sha256).await {
                Ok(digest) => break digest,
                Err(error) if error.may_pass() && patience.again().await => {}
                Err(error) => return Err(error),
            }
        };
        match digest.is(artifact.sha256, artifact.size.as_bytes()) {
            true => Ok(()),
            false => Err(ArtifactError::Damaged(artifact.sha256)),
        }
    }

    /// Removes every artifact that is not in `keep` and has not been touched since `grace` before `now`. Returns how many.
    /// Remains of broken uploads of that age go too. A store that a coordinator keeps is swept by it, and not from here.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sweep(
        &self,
        keep: &HashSet<Sha256>,
        grace: Duration,
        now: Timestamp,
    ) -> Result<usize, ArtifactError> {
        self.place.sweep(keep, grace, now).await
    }
}

#[cfg(test)]
mod tests;
