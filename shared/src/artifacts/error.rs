//! Why an artifact could not be stored or had.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use crate::artifact::Sha256;
use crate::failure::chain;
use crate::tls;

/// What a store said, or what kept us from it.
type Cause = Box<dyn Error + Send + Sync>;

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
    Full(#[source] Cause),
    /// The store cannot be reached, or breaks off; the same may succeed later.
    #[error(
        "the artifact store at {url} is away: is it running, and is its address right in [artifacts] url?"
    )]
    Away {
        /// Where it was looked for.
        url: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The store does not do it for us.
    #[error("the artifact store at {url} refused: {reason}")]
    Refused {
        /// Where it is.
        url: String,
        /// What it said, or what to do.
        reason: String,
    },
    /// No TLS with what answers there.
    #[error("the artifact store at {url} cannot be trusted with anything: {reason}")]
    Untrusted {
        /// Where it is.
        url: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The store itself failed.
    #[error("the artifact store failed")]
    Store(#[source] Cause),
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
    /// About a local file that is no artifact.
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    /// What the store said; a full disk is told from the rest.
    pub(super) fn store(cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        let is_full = |error: &(dyn Error + 'static)| {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            matches!(
                kind,
                Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            )
        };
        let mut next: Option<&(dyn Error + 'static)> = Some(&*cause);
        while let Some(error) = next {
            if is_full(error) {
                return Self::Full(cause);
            }
            next = error.source();
        }
        Self::Store(cause)
    }

    /// Whether the same may succeed later without anyone doing anything here.
    pub(super) const fn may_pass(&self) -> bool {
        // A certificate that has run out can be renewed there.
        matches!(self, Self::Away { .. } | Self::Untrusted { .. })
    }
}

impl From<object_store::Error> for ArtifactError {
    fn from(error: object_store::Error) -> Self {
        if let Some(reason) = tls::trouble(&error) {
            let url = "[artifacts] endpoint".to_owned();
            return Self::Untrusted { url, reason };
        }
        match is_refusal(&error) {
            // What a bucket says to this names the key, and does not say what to do.
            true => Self::Refused {
                url: "[artifacts] url".to_owned(),
                reason: "its keys are not accepted there: look at access_key_id, secret_access_key and region, and at what that \
                         user may do with the bucket (read, write and list; the coordinator also delete)"
                    .to_owned(),
            },
            false => Self::store(error),
        }
    }
}

/// Whether a bucket does not let us in. To some questions it says so in words alone.
fn is_refusal(error: &object_store::Error) -> bool {
    let words = [
        "AccessDenied",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
    ];
    match error {
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => true,
        object_store::Error::Generic { source, .. } => {
            let said = chain(&**source);
            words.iter().any(|word| said.contains(word))
        }
        _ => false,
    }
}
