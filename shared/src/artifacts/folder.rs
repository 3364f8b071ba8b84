//! A store in a local folder: what it can do beside a store of objects is to touch files, to read them in large pieces, and to see
//! the remains of broken uploads.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use super::digest::Digest;
use super::objects::{Objects, hash_of, key};
use super::{ArtifactError, Content, Place, READ_SIZE};
use crate::artifact::Sha256;
use crate::time::Timestamp;

/// Files up to this size are written in one piece, larger ones in parts of it.
const PART_SIZE: usize = 1 << 20;

/// A local folder of artifacts. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: Arc<Path>,
    objects: Objects,
}

impl Folder {
    /// Makes the folder if it is not there, and tries whether files can be made in it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let trial = path.join(format!("trial-{}", Uuid::now_v7()));
        File::create_new(&trial)?;
        fs::remove_file(&trial)?;
        // An artifact is reported, and its job is done for good, as soon as it is stored: it must outlive a power cut.
        let store = LocalFileSystem::new_with_prefix(path).map_err(io::Error::other)?;
        Ok(Self {
            path: path.into(),
            objects: Objects::new(Arc::new(store.with_fsync(true)), PART_SIZE),
        })
    }

    fn file_of(&self, hash: Sha256) -> PathBuf {
        self.path.join(key(hash).as_ref())
    }

    /// Makes a file as young as if it had been stored now.
    fn touch(&self, hash: Sha256) -> io::Result<()> {
        File::options()
            .write(true)
            .open(self.file_of(hash))?
            .set_modified(SystemTime::now())
    }

    /// Removes what a process that was killed in mid-upload left behind: `HASH#1` beside `HASH`. What cannot be looked at
    /// or removed now is left for the next time.
    fn remove_broken_uploads(&self, is_old: impl Fn(Timestamp) -> bool) {
        for file in files_below(&self.path) {
            if is_upload(&file) && modified_at(&file).is_some_and(&is_old) {
                let _ = fs::remove_file(&file);
            }
        }
    }
}

#[async_trait]
impl Place for Folder {
    async fn size(&self, hash: Sha256) -> Result<u64, ArtifactError> {
        let found = tokio::fs::metadata(self.file_of(hash)).await;
        Ok(found.map_err(|error| unreadable(hash, error))?.len())
    }

    async fn read(
        &self,
        hash: Sha256,
        range: Option<Range<u64>>,
    ) -> Result<Content, ArtifactError> {
        let file = tokio::fs::File::open(self.file_of(hash)).await;
        let mut file = file.map_err(|error| unreadable(hash, error))?;
        let range = range.unwrap_or(0..u64::MAX);
        if range.start > 0 {
            let sought = file.seek(SeekFrom::Start(range.start)).await;
            sought.map_err(ArtifactError::store)?;
        }
        let part = file.take(range.end - range.start);
        let pieces = ReaderStream::with_capacity(part, READ_SIZE);
        Ok(pieces.map_err(ArtifactError::store).boxed())
    }

    async fn digest(&self, hash: Sha256) -> Result<Digest, ArtifactError> {
        let digest = Digest::of_file(self.file_of(hash)).await;
        digest.map_err(|error| unreadable(hash, error))
    }

    async fn has(&self, hash: Sha256, size: u64) -> bool {
        let digest = self.digest(hash).await;
        digest.is_ok_and(|digest| digest.is(hash, size)) && self.touch(hash).is_ok()
    }

    async fn write(&self, hash: Sha256, size: u64, content: Content) -> Result<(), ArtifactError> {
        self.objects.write(hash, size, content).await
    }

    async fn sweep(
        &self,
        keep: &HashSet<Sha256>,
        grace: Duration,
        now: Timestamp,
    ) -> Result<usize, ArtifactError> {
        let removed = self.objects.sweep(keep, grace, now).await?;
        self.remove_broken_uploads(|touched_at| now.since(touched_at) > grace);
        Ok(removed)
    }
}

fn unreadable(hash: Sha256, error: io::Error) -> ArtifactError {
    match error.kind() {
        io::ErrorKind::NotFound => ArtifactError::Missing(hash),
        _ => ArtifactError::store(error),
    }
}

fn files_below(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    entries(folder.to_owned())
        .flat_map(move |entry| entries(entry.path()))
        .map(|entry| entry.path())
}

/// Whether this is a file that the object store makes before it renames it to an artifact.
fn is_upload(file: &Path) -> bool {
    let mut parts = file.iter().rev().map(|part| part.to_str());
    let (Some(Some(name)), Some(Some(first))) = (parts.next(), parts.next()) else {
        return false;
    };
    name.split_once('#').is_some_and(|(rest, number)| {
        number.bytes().all(|digit| digit.is_ascii_digit())
            && hash_of(&[first, rest].into_iter().collect()).is_some()
    })
}

fn modified_at(file: &Path) -> Option<Timestamp> {
    let modified = fs::metadata(file).ok()?.modified().ok()?;
    let since_epoch = modified.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_millis())
        .ok()
        .map(Timestamp::from_millis)
}
