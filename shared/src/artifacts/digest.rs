//! Hash and size of what has been seen so far.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use futures::TryStreamExt;
use sha2::Digest as _;

use super::{ArtifactError, Content, READ_SIZE};
use crate::artifact::Sha256;

/// Hash and size of what has been seen so far.
#[derive(Default)]
pub(super) struct Digest {
    hash: sha2::Sha256,
    size: u64,
}

impl Digest {
    /// Of all that comes.
    pub(super) async fn of_stream(mut content: Content) -> Result<Self, ArtifactError> {
        let mut digest = Self::default();
        while let Some(piece) = content.try_next().await? {
            digest.update(&piece);
        }
        Ok(digest)
    }

    /// Of a whole local file. On a thread of its own, as it computes for seconds where the file is large.
    pub(super) async fn of_file(path: PathBuf) -> io::Result<Self> {
        let hashing = tokio::task::spawn_blocking(move || -> io::Result<Self> {
            let mut file = File::open(path)?;
            let (mut digest, mut buffer) = (Self::default(), vec![0; READ_SIZE]);
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok(digest),
                    length => digest.update(&buffer[..length]),
                }
            }
        });
        hashing.await.map_err(io::Error::other)?
    }

    /// Takes in what comes next.
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.hash.update(piece);
        self.size += piece.len() as u64;
    }

    /// The hash and the size.
    pub(super) fn finish(self) -> (Sha256, u64) {
        (Sha256::new(self.hash.finalize().into()), self.size)
    }

    /// Whether it is that of a content with this hash and this size.
    pub(super) fn is(self, hash: Sha256, size: u64) -> bool {
        self.finish() == (hash, size)
    }
}
