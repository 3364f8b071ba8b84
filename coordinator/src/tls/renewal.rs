//! A certificate that is renewed while the coordinator works.
//!
//! Whoever renews it writes two files, and tells nobody. So they are read again now and then when somebody connects; what is in
//! them counts once it can be used, and until then what was there before. Half of a renewal is no certificate.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::artifact::Sha256;
use shared::failure::chain;
use shared::time::Timestamp;
use tokio::time::Instant;
use tokio_rustls::rustls::ServerConfig;
use tracing::{info, warn};

use super::{Certificate, Files, TlsError, Validity};

/// How long what was read is taken for what is there.
const FRESH: Duration = Duration::from_secs(10);

/// The certificate that counts now.
pub(crate) struct Renewal {
    files: Files,
    state: Mutex<State>,
}

struct State {
    certificate: Certificate,
    looked_at: Instant,
    /// What the files were like when they were read last, whether they could be used or not: so that it is said once.
    seen: Result<Sha256, String>,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Renewal {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// If they cannot be used.
    pub(crate) async fn begin(files: Files) -> Result<Self, TlsError> {
        let contents = files.read().await?;
        let certificate = Certificate::new(&files, &contents)?;
        tell(&files, &certificate);
        let state = Mutex::new(State {
            certificate,
            looked_at: Instant::now(),
            seen: Ok(contents.mark()),
        });
        Ok(Self { files, state })
    }

    /// What a handshake is done with.
    pub(super) async fn current(&self) -> Arc<ServerConfig> {
        if self.is_due() {
            self.look().await;
        }
        self.with_state(|state| Arc::clone(&state.certificate.config))
    }

    /// Whether the files are to be read again: by the one who asks first.
    fn is_due(&self) -> bool {
        self.with_state(|state| {
            let is_due = state.looked_at.elapsed() >= FRESH;
            if is_due {
                state.looked_at = Instant::now();
            }
            is_due
        })
    }

    async fn look(&self) {
        let read = self.files.read().await;
        let seen = read.as_ref().map(|it| it.mark()).map_err(|it| chain(it));
        let is_news = self.with_state(|state| {
            let is_news = state.seen != seen;
            state.seen = seen;
            is_news
        });
        if !is_news {
            return;
        }
        match read.and_then(|contents| Certificate::new(&self.files, &contents)) {
            Ok(certificate) => {
                tell(&self.files, &certificate);
                self.with_state(|state| state.certificate = certificate);
            }
            Err(error) => warn!(
                error = %chain(&error),
                "the certificate's files have changed and cannot be used; the certificate from before is shown further"
            ),
        }
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn tell(files: &Files, certificate: &Certificate) {
    let file = files.certificate.display();
    let until = certificate.until().map(tracing::field::display);
    match certificate.validity(Timestamp::now()) {
        Validity::Good => info!(%file, until, "the certificate was read"),
        Validity::Soon => {
            warn!(%file, until, "the certificate was read, and holds for some days only: renew it");
        }
        Validity::Over => {
            warn!(%file, until, "the certificate was read, and has run out, so that clients refuse it: renew it");
        }
    }
}
