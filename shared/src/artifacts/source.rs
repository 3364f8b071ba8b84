//! What is to be stored, and can be read as often as needed.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tokio_util::io::ReaderStream;

use super::digest::Digest;
use super::{ArtifactError, Content, READ_SIZE};

/// What is to be stored, and can be read as often as needed.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A local file.
    File(PathBuf),
    /// Bytes in memory.
    Bytes(Bytes),
}

impl Source {
    /// Its hash and size.
    pub(super) async fn digest(&self) -> Result<Digest, ArtifactError> {
        match self {
            Self::File(path) => Digest::of_file(path.clone())
                .await
                .map_err(|source| ArtifactError::file(path, source)),
            Self::Bytes(bytes) => {
                let mut digest = Digest::default();
                digest.update(bytes);
                Ok(digest)
            }
        }
    }

    /// Its content, from the beginning.
    pub(super) async fn open(&self) -> Result<Content, ArtifactError> {
        match self {
            Self::File(path) => open_file(path).await,
            Self::Bytes(bytes) => Ok(futures::stream::iter([Ok(bytes.clone())]).boxed()),
        }
    }
}

async fn open_file(path: &Path) -> Result<Content, ArtifactError> {
    let file = tokio::fs::File::open(path)
        .await
        .map_err(|source| ArtifactError::file(path, source))?;
    let path = path.to_owned();
    Ok(ReaderStream::with_capacity(file, READ_SIZE)
        .map_err(move |source| ArtifactError::file(&path, source))
        .boxed())
}
