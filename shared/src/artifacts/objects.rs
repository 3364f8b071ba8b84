//! A store of objects: a bucket, or a folder seen as one.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use object_store::buffered::BufWriter;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;

use super::digest::Digest;
use super::{ArtifactError, Content, Place};
use crate::artifact::Sha256;
use crate::failure::chain;
use crate::time::Timestamp;

/// A store of objects. Cheap to clone.
#[derive(Clone)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    /// Files up to this size are stored in one piece, larger ones in parts of it.
    part_size: usize,
}

/// Its name alone: what it knows beside that are keys.
impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.store)
    }
}

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>, part_size: usize) -> Self {
        Self { store, part_size }
    }
}

#[async_trait]
impl Place for Objects {
    /// A bucket that is not there has no file either, and says which of the two is missing only to who asks for the content.
    async fn check(&self) -> Result<(), ArtifactError> {
        let nobody_has = key(Sha256::new([0; 32]));
        match self.store.get(&nobody_has).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::NotFound { source, .. })
                if chain(&*source).contains("NoSuchBucket") =>
            {
                Err(ArtifactError::Refused {
                    url: "[artifacts] url".to_owned(),
                    reason:
                        "there is no such bucket; make it, or mend its name, endpoint or region"
                            .to_owned(),
                })
            }
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn size(&self, hash: Sha256) -> Result<u64, ArtifactError> {
        match self.store.head(&key(hash)).await {
            Ok(found) => Ok(found.size),
            Err(error) => Err(named(hash, error)),
        }
    }

    async fn read(
        &self,
        hash: Sha256,
        range: Option<Range<u64>>,
    ) -> Result<Content, ArtifactError> {
        let options = GetOptions::default().with_range(range);
        match self.store.get_opts(&key(hash), options).await {
            Ok(found) => Ok(found.into_stream().map_err(ArtifactError::from).boxed()),
            Err(error) => Err(named(hash, error)),
        }
    }

    async fn write(
        &self,
        hash: Sha256,
        size: u64,
        mut content: Content,
    ) -> Result<(), ArtifactError> {
        // Two parts at a time: more would not be faster on a disk, and each is held in memory.
        let mut writer =
            BufWriter::with_capacity(Arc::clone(&self.store), key(hash), self.part_size)
                .with_max_concurrency(2);
        let copied = async {
            let mut digest = Digest::default();
            while let Some(piece) = content.try_next().await? {
                digest.update(&piece);
                writer.put(piece).await?;
            }
            match digest.is(hash, size) {
                true => Ok(()),
                false => Err(ArtifactError::Damaged(hash)),
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

    async fn sweep(
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
        Ok(removed)
    }
}

/// Where an artifact lies in the store.
pub(super) fn key(hash: Sha256) -> object_store::path::Path {
    let digits = hash.to_string();
    let (first, rest) = digits.split_at(2);
    [first, rest].into_iter().collect()
}

/// Which artifact lies there; `None` for anything else that someone put into the store.
pub(super) fn hash_of(key: &object_store::path::Path) -> Option<Sha256> {
    let (first, rest) = key.as_ref().split_once('/')?;
    (first.len() == 2)
        .then(|| format!("{first}{rest}").parse().ok())
        .flatten()
}

fn named(hash: Sha256, error: object_store::Error) -> ArtifactError {
    match error {
        object_store::Error::NotFound { .. } => ArtifactError::Missing(hash),
        other => other.into(),
    }
}

fn touched_at(found: &object_store::ObjectMeta) -> Timestamp {
    Timestamp::from_millis(found.last_modified.timestamp_millis())
}

/// The writer wraps what the store said.
fn upload_error(error: io::Error) -> ArtifactError {
    match error.downcast::<object_store::Error>() {
        Ok(error) => error.into(),
        Err(error) => ArtifactError::store(error),
    }
}
