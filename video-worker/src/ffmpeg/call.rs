//! A call of a program: its arguments, put together, and its start.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::running::{read_pieces, tail};
use super::{FfmpegError, Running};

/// A call of one of the programs, being put together.
#[derive(Debug)]
#[must_use = "a call does nothing until it is run"]
pub struct Call {
    program: &'static str,
    path: PathBuf,
    what: String,
    args: Vec<OsString>,
}

impl Call {
    pub(super) fn new(program: &'static str, path: &Path, what: String) -> Self {
        Self {
            program,
            path: path.to_owned(),
            what,
            args: Vec::new(),
        }
    }

    /// Adds one argument. Never a file name from outside: see [`Call::input`] and [`Call::output`].
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds an input file: `-i file:PATH`.
    pub fn input(self, path: &Path) -> Self {
        self.arg("-i").arg(as_file(path))
    }

    /// Adds an output file: `file:PATH`. It is overwritten if it is there.
    pub fn output(self, path: &Path) -> Self {
        self.arg(as_file(path))
    }

    /// Runs to the end with nothing on stdin. Returns what the program wrote to stdout.
    ///
    /// # Errors
    /// If it cannot be run, fails, or `cancelled` fires.
    pub async fn run(self, cancelled: &CancellationToken) -> Result<Vec<u8>, FfmpegError> {
        let mut stdout = Vec::new();
        self.run_streaming(cancelled, |bytes| stdout.extend_from_slice(bytes))
            .await?;
        Ok(stdout)
    }

    /// Runs to the end with nothing on stdin, handing over stdout piece by piece, as it comes.
    ///
    /// # Errors
    /// If it cannot be run, fails, or `cancelled` fires.
    pub async fn run_streaming(
        self,
        cancelled: &CancellationToken,
        mut each: impl FnMut(&[u8]) + Send,
    ) -> Result<(), FfmpegError> {
        let mut running = self.spawn(Stdio::null(), Stdio::piped())?;
        let stdout = running.child.stdout.take();
        running
            .unless(cancelled, read_pieces(stdout, &mut each))
            .await?;
        running.end(cancelled).await
    }

    /// Starts the program with a pipe on its stdin (`-i pipe:0`); what it writes to stdout is dropped.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(self) -> Result<Running, FfmpegError> {
        self.spawn(Stdio::piped(), Stdio::null())
    }

    fn spawn(self, stdin: Stdio, stdout: Stdio) -> Result<Running, FfmpegError> {
        let mut command = Command::new(&self.path);
        shield(&mut command);
        let spawned = command
            .args(&self.args)
            .env("AV_LOG_FORCE_NOCOLOR", "1")
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => FfmpegError::Missing {
                program: self.program,
                path: self.path.clone(),
            },
            _ => FfmpegError::Run {
                what: self.what.clone(),
                path: self.path.clone(),
                source,
            },
        })?;
        // Read all along: a program whose stderr is full stops.
        let stderr = tokio::spawn(tail(child.stderr.take()));
        Ok(Running {
            what: self.what,
            path: self.path,
            stdin: child.stdin.take(),
            child,
            stderr: Some(stderr),
        })
    }
}

/// Puts a program into a process group of its own. Ctrl-C at a terminal goes to all of the group in front: ffmpeg would end
/// on it while this worker only begins to drain, and the job would pay for it.
///
/// On a second Ctrl-C this process exits at once, and `kill_on_drop` does not run. Whoever reads or writes a pipe then ends
/// with it; one that goes from file to file (the join, clips that are made even) runs on to its end and into a folder that
/// the next start empties.
#[cfg(unix)]
fn shield(command: &mut Command) {
    command.process_group(0);
}

/// As above, in the words of Windows.
#[cfg(windows)]
fn shield(command: &mut Command) {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
}

fn as_file(path: &Path) -> OsString {
    let mut name = OsString::from("file:");
    name.push(path);
    name
}
