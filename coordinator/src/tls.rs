//! TLS of the coordinator's own: its certificate, which may be renewed while it works, and the handshakes that are done with it.

use std::path::PathBuf;

use serde::Deserialize;
use shared::film::Mistake;

mod handshake;
mod identity;
mod renewal;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use handshake::greet;
pub use identity::{Certificate, TlsError, Validity};
pub(crate) use renewal::Renewal;

/// The section `[coordinator.tls]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The file of the certificate and of those that lead from it to an authority (PEM); empty: none.
    #[serde(default)]
    pub certificate_file: PathBuf,
    /// The file of its private key (PEM); empty: none.
    #[serde(default)]
    pub key_file: PathBuf,
}

impl TlsSettings {
    /// Where certificate and key are, if there is to be TLS.
    pub fn files(&self) -> Option<Files> {
        let is_given = |path: &PathBuf| !path.as_os_str().is_empty();
        (is_given(&self.certificate_file) && is_given(&self.key_file)).then(|| Files {
            certificate: self.certificate_file.clone(),
            key: self.key_file.clone(),
        })
    }

    /// What is wrong with them. What is in the files is found when they are read.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let given = [&self.certificate_file, &self.key_file].map(|it| !it.as_os_str().is_empty());
        let (absent, present) = match given {
            [true, false] => ("key_file", "certificate_file"),
            [false, true] => ("certificate_file", "key_file"),
            _ => return Vec::new(),
        };
        let problem = format!("it goes with {present}: give both, or neither to speak plain HTTP");
        vec![Mistake::new(format!("coordinator.tls.{absent}"), problem)]
    }
}

/// The two files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}
