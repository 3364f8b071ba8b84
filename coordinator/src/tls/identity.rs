//! A certificate with its key, as they lie in two files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use shared::artifact::Sha256;
use shared::time::Timestamp;
use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{self, CertificateError, InconsistentKeys, RootCertStore, ServerConfig};

use super::Files;

/// A certificate is to be renewed when it holds for no longer than this.
const SOON: Duration = Duration::from_secs(14 * 24 * 3_600);

/// Why files cannot be used as a certificate and its key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(
        "cannot read {path} (coordinator.tls.{key}): name a file in PEM form that this user may read"
    )]
    Read {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no PEM.
    #[error("{path} (coordinator.tls.{key}) is no file in PEM form; `openssl` writes them")]
    Pem {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// There is no certificate in it.
    #[error(
        "there is no certificate in {0} (coordinator.tls.certificate_file): it must have the coordinator's own first, as `-----BEGIN \
         CERTIFICATE-----`, and then those that lead to an authority"
    )]
    NoCertificate(PathBuf),
    /// There is no key in it that could be used.
    #[error(
        "there is no private key in {0} (coordinator.tls.key_file): it must have one as `-----BEGIN PRIVATE KEY-----`; `openssl pkey \
         -in OLD -out NEW` writes one with a password anew without it"
    )]
    NoKey(PathBuf),
    /// They do not belong together.
    #[error(
        "the key in {key} (coordinator.tls.key_file) is not that of the first certificate in {certificate} \
         (coordinator.tls.certificate_file): name two files that were made together"
    )]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// They cannot be used.
    #[error(
        "{certificate} (coordinator.tls.certificate_file) cannot be used with {key} (coordinator.tls.key_file)"
    )]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// What was in both files.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    /// Reads both.
    pub(super) async fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            certificate: content_of(&self.certificate, "certificate_file").await?,
            key: content_of(&self.key, "key_file").await?,
        })
    }

    /// Reads both and makes a certificate of them.
    ///
    /// # Errors
    /// If they cannot be used.
    pub async fn certificate(&self) -> Result<Certificate, TlsError> {
        Certificate::new(self, &self.read().await?)
    }
}

async fn content_of(path: &Path, key: &'static str) -> Result<Vec<u8>, TlsError> {
    let read = tokio::fs::read(path).await;
    read.map_err(|source| TlsError::Read {
        key,
        path: path.to_owned(),
        source,
    })
}

impl Contents {
    /// What tells them from others. The key itself is not kept.
    pub(super) fn mark(&self) -> Sha256 {
        let length = self.certificate.len().to_be_bytes();
        Sha256::of(&[&length[..], &self.certificate, &self.key].concat())
    }
}

/// A certificate that a server can show, with its key.
#[derive(Clone)]
pub struct Certificate {
    pub(super) config: Arc<ServerConfig>,
    /// Until when it holds, where that can be told.
    until: Option<Timestamp>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// Whether a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// For a while.
    Good,
    /// Not for long.
    Soon,
    /// No more: clients refuse it.
    Over,
}

impl Certificate {
    pub(super) fn new(files: &Files, contents: &Contents) -> Result<Self, TlsError> {
        let Files { certificate, key } = files;
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&contents.certificate).collect();
        let chain = chain.map_err(|source| TlsError::Pem {
            key: "certificate_file",
            path: certificate.clone(),
            source,
        })?;
        let Some(own) = chain.first() else {
            return Err(TlsError::NoCertificate(certificate.clone()));
        };
        let until = holds_until(own);
        let secret = PrivateKeyDer::from_pem_slice(&contents.key);
        let secret = secret.map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey(key.clone()),
            source => TlsError::Pem {
                key: "key_file",
                path: key.clone(),
                source,
            },
        })?;
        let unusable = |source| match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
                certificate: certificate.clone(),
                key: key.clone(),
            },
            source => TlsError::Unusable {
                certificate: certificate.clone(),
                key: key.clone(),
                source,
            },
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            until,
        })
    }

    /// Until when it holds, where that can be told.
    pub const fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Whether it holds at that time.
    pub fn validity(&self, now: Timestamp) -> Validity {
        match self.until {
            Some(until) if until <= now => Validity::Over,
            Some(until) if until.since(now) <= SOON => Validity::Soon,
            Some(_) | None => Validity::Good,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Until when a certificate holds. Nobody here reads certificates but rustls, and it tells this of one that has run out: as each has
/// in the year 10000.
fn holds_until(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    let held = verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(certificate).ok()?,
        &RootCertStore::empty(),
        &[],
        UnixTime::since_unix_epoch(YEAR_10000),
        provider().signature_verification_algorithms.all,
    );
    match held {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after,
            ..
        })) => {
            let millis = i64::try_from(not_after.as_secs())
                .ok()?
                .checked_mul(1_000)?;
            Some(Timestamp::from_millis(millis))
        }
        _ => None,
    }
}
