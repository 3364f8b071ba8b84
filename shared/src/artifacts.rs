//! The artifact store: files named by their content, in a local folder or an object store.
//!
//! Writers upload first and report the hash afterwards; a file that is there is never changed. Repeating an upload is
//! harmless and makes the file young again, which protects it from the clean-up.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::ObjectStore;

use crate::artifact::{Artifact, MediaType, Sha256};
use crate::time::Timestamp;

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
    /// It is not there.
    #[error("artifact {0} is not in the store")]
    Missing(Sha256),
    /// It is there, but not what its name says.
    #[error("artifact {0} is damaged: its content has another hash or size")]
    Damaged(Sha256),
    /// The store itself failed.
    #[error("the artifact store failed")]
    Store(#[from] object_store::Error),
    /// A local file could not be read or written.
    #[error("cannot use the file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A store of artifacts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    _store: Arc<dyn ObjectStore>,
    _root: Option<PathBuf>,
}

#[expect(
    unused_variables,
    clippy::todo,
    clippy::unused_async,
    reason = "the signatures come first"
)]
impl ArtifactStore {
    /// Opens the store at a URL: `file:///path/to/folder`, made if it is not there. Other schemes come with their features.
    ///
    /// # Errors
    /// If the URL names no known store or the folder cannot be made.
    pub fn open(url: &str) -> Result<Self, ArtifactError> {
        todo!()
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
        todo!()
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
        todo!()
    }

    /// Copies an artifact into a new local file and checks it on the way.
    ///
    /// # Errors
    /// If it is missing or damaged, or the file cannot be written.
    pub async fn fetch(&self, artifact: &Artifact, to: &Path) -> Result<(), ArtifactError> {
        todo!()
    }

    /// Streams a range of an artifact's bytes (all of them: `0..size`), unchecked.
    ///
    /// # Errors
    /// If it is missing.
    pub async fn read(
        &self,
        artifact: &Artifact,
        range: std::ops::Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, ArtifactError>>, ArtifactError> {
        todo!()
    }

    /// Whether an artifact is there with the hash and size it is said to have.
    ///
    /// # Errors
    /// If it is missing or damaged, or the store fails.
    pub async fn verify(&self, artifact: &Artifact) -> Result<(), ArtifactError> {
        todo!()
    }

    /// Removes every artifact that is not in `keep` and has not been touched since `grace` before `now`. Returns how many.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sweep(
        &self,
        keep: &HashSet<Sha256>,
        grace: Duration,
        now: Timestamp,
    ) -> Result<usize, ArtifactError> {
        todo!()
    }
}
