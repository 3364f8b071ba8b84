//! The signals that end a worker program. For `main.rs`; nothing below it knows of signals.

use tokio_util::sync::CancellationToken;

/// Exit code of a program that was interrupted a second time while it drained.
const INTERRUPTED: i32 = 130;

/// A token that fires at the first SIGTERM or SIGINT (Ctrl-C on Windows). The second one ends the process at once: the
/// journals make that no worse than a loss of power.
///
/// # Panics
/// Outside a tokio runtime.
pub fn shutdown_on_signals() -> CancellationToken {
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(%error, "cannot listen for signals; the program ends only by being killed");
                return;
            }
        };
        signals.next().await;
        tracing::info!("stopping; a second signal stops at once");
        token.cancel();
        signals.next().await;
        std::process::exit(INTERRUPTED);
    });
    shutdown
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Signals {
    ctrl_c: tokio::signal::windows::CtrlC,
}

#[cfg(windows)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            ctrl_c: tokio::signal::windows::ctrl_c()?,
        })
    }

    async fn next(&mut self) {
        self.ctrl_c.recv().await;
    }
}
