//! A program at work: what goes in, what comes out, how it ends.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::FfmpegError;

/// How much of what a program says on stderr is kept: its end, as the reason stands there.
pub(super) const STDERR_TAIL: usize = 2_048;

/// The exit code of ffmpeg when it was ended by a signal that it caught.
const INTERRUPTED: i32 = 255;

/// A program at work. Dropping it kills the program.
#[derive(Debug)]
pub struct Running {
    pub(super) what: String,
    pub(super) path: PathBuf,
    pub(super) child: Child,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Writes to the program's stdin.
    ///
    /// # Errors
    /// If `cancelled` fires, or the program has ended: its own error then.
    pub async fn write(
        &mut self,
        bytes: &[u8],
        cancelled: &CancellationToken,
    ) -> Result<(), FfmpegError> {
        let mut stdin = self.stdin.take();
        let written = self
            .unless(cancelled, async {
                match stdin.as_mut() {
                    Some(stdin) => stdin.write_all(bytes).await,
                    None => Err(io::ErrorKind::BrokenPipe.into()),
                }
            })
            .await;
        match written {
            Ok(()) => {
                self.stdin = stdin;
                Ok(())
            }
            // The pipe breaks because the program gave up: what it said is the better reason.
            Err(pipe @ FfmpegError::Run { .. }) => {
                drop(stdin);
                Err(self.end(cancelled).await.err().unwrap_or(pipe))
            }
            Err(other) => Err(other),
        }
    }

    /// Closes the program's stdin and waits for its end.
    ///
    /// # Errors
    /// If it fails or `cancelled` fires.
    pub async fn finish(mut self, cancelled: &CancellationToken) -> Result<(), FfmpegError> {
        self.end(cancelled).await
    }

    /// Kills the program, waits until it is gone, and returns the error that says so.
    pub async fn cancel(mut self) -> FfmpegError {
        self.kill().await
    }

    pub(super) async fn end(&mut self, cancelled: &CancellationToken) -> Result<(), FfmpegError> {
        self.stdin = None;
        let status = tokio::select! {
            () = cancelled.cancelled() => return Err(self.kill().await),
            status = self.child.wait() => status.map_err(|source| self.run_error(source))?,
        };
        if status.success() {
            return Ok(());
        }
        let said = match self.stderr.take() {
            Some(stderr) => stderr.await.unwrap_or_default(),
            None => String::new(),
        };
        let what = self.what.clone();
        Err(match is_interrupted(status, &said) {
            true => FfmpegError::Interrupted { what, status },
            false => FfmpegError::Failed {
                what,
                status,
                stderr: said,
            },
        })
    }

    /// Does some I/O with the program, and kills it if `cancelled` fires before that is done.
    pub(super) async fn unless(
        &mut self,
        cancelled: &CancellationToken,
        io: impl Future<Output = io::Result<()>>,
    ) -> Result<(), FfmpegError> {
        tokio::select! {
            () = cancelled.cancelled() => Err(self.kill().await),
            done = io => done.map_err(|source| self.run_error(source)),
        }
    }

    async fn kill(&mut self) -> FfmpegError {
        // It fails only if the program has ended already.
        let _ = self.child.kill().await;
        FfmpegError::Cancelled {
            what: self.what.clone(),
        }
    }

    fn run_error(&self, source: io::Error) -> FfmpegError {
        FfmpegError::Run {
            what: self.what.clone(),
            path: self.path.clone(),
            source,
        }
    }
}

/// Whether a program ended because someone told it to. ffmpeg catches signals and ends with 255; so it does where something
/// is forbidden (`EPERM`, in newer versions), and then says so.
fn is_interrupted(status: ExitStatus, said: &str) -> bool {
    is_killed(status)
        || status.code() == Some(INTERRUPTED) && !said.contains("Operation not permitted")
}

/// A signal that comes from others: not the ones with which a program crashes.
#[cfg(unix)]
fn is_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    // SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM: the same numbers everywhere.
    matches!(status.signal(), Some(1 | 2 | 3 | 9 | 15))
}

#[cfg(not(unix))]
fn is_killed(_: ExitStatus) -> bool {
    false
}

pub(super) async fn read_pieces(
    stdout: Option<ChildStdout>,
    each: &mut (impl FnMut(&[u8]) + Send),
) -> io::Result<()> {
    let Some(mut stdout) = stdout else {
        return Ok(());
    };
    let mut buffer = vec![0; 64 * 1_024];
    loop {
        match stdout.read(&mut buffer).await? {
            0 => return Ok(()),
            read => each(&buffer[..read]),
        }
    }
}

/// Reads to the end and keeps the last of it, in whole lines where it can.
pub(super) async fn tail(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut kept = VecDeque::with_capacity(2 * STDERR_TAIL);
    let mut cut = false;
    if let Some(mut pipe) = pipe {
        let mut buffer = [0; 1_024];
        while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
            kept.extend(&buffer[..read]);
            let excess = kept.len().saturating_sub(STDERR_TAIL);
            cut |= excess > 0;
            kept.drain(..excess);
        }
    }
    let bytes: Vec<u8> = kept.into();
    let text = String::from_utf8_lossy(&bytes);
    let text = match (cut, text.split_once('\n')) {
        (true, Some((_, whole))) => whole,
        _ => &text,
    };
    text.trim().to_owned()
}
