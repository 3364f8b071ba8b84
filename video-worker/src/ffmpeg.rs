//! Runs ffmpeg and ffprobe as child processes.
//!
//! Arguments go to the program as a list, never through a shell, and files are named as `file:PATH`, so that no name is
//! taken for an option or a protocol. A child is killed when its attempt is cancelled and when its owner is dropped.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde::Deserialize;
use shared::failure::{Failure, FailureKind};
use shared::film::Mistake;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How much of what a program says on stderr is kept: its end, as the reason stands there.
const STDERR_TAIL: usize = 2_048;
/// The oldest major version that has every filter and option used here.
const OLDEST_MAJOR: u32 = 4;

/// Where the two programs are: a name to look up in `PATH`, or a path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FfmpegPrograms {
    /// Encodes, decodes and joins.
    pub ffmpeg: PathBuf,
    /// Tells what is in a file.
    pub ffprobe: PathBuf,
}

impl Default for FfmpegPrograms {
    fn default() -> Self {
        Self {
            ffmpeg: "ffmpeg".into(),
            ffprobe: "ffprobe".into(),
        }
    }
}

/// Why a run of ffmpeg or ffprobe came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum FfmpegError {
    /// The program is not there.
    #[error(
        "cannot find `{}`: install ffmpeg ({INSTALL}) or set the path of {program} under [ffmpeg] in the settings",
        path.display()
    )]
    Missing {
        /// Which of the two.
        program: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The program is there and cannot do what is needed.
    #[error("`{}` will not do: {reason}; install a current ffmpeg ({INSTALL})", path.display())]
    Unfit {
        /// The program.
        path: PathBuf,
        /// What it lacks.
        reason: String,
    },
    /// The program could not be started, or the pipe to it broke without a word from it.
    #[error("{what}: cannot run `{}`", path.display())]
    Run {
        /// What was being done, as `encode scene 3`.
        what: String,
        /// The program.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program ran and reported failure.
    #[error("{what} failed ({status}): {stderr}")]
    Failed {
        /// What was being done, as `encode scene 3`.
        what: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        stderr: String,
    },
    /// The work is not wanted any more; the program has been killed.
    #[error("{what} was cancelled")]
    Cancelled {
        /// What was being done.
        what: String,
    },
}

const INSTALL: &str = "Debian, Ubuntu: `apt install ffmpeg`; macOS: `brew install ffmpeg`; Windows: `winget install ffmpeg`";

impl From<FfmpegError> for Failure {
    fn from(error: FfmpegError) -> Self {
        let kind = match error {
            FfmpegError::Cancelled { .. } => FailureKind::Cancelled,
            // A full disk, a killed process, a program that is being updated: all may pass.
            FfmpegError::Missing { .. }
            | FfmpegError::Unfit { .. }
            | FfmpegError::Run { .. }
            | FfmpegError::Failed { .. } => FailureKind::Transient,
        };
        Self::from_error(kind, &error)
    }
}

impl FfmpegPrograms {
    /// What is wrong with the settings, whatever is installed.
    pub fn mistakes(&self) -> Vec<Mistake> {
        [
            ("ffmpeg.ffmpeg", &self.ffmpeg),
            ("ffmpeg.ffprobe", &self.ffprobe),
        ]
        .into_iter()
        .filter(|(_, path)| path.as_os_str().is_empty())
        .map(|(field, _)| Mistake::new(field, "give the name of the program or its path"))
        .collect()
    }

    /// Begins a call of ffmpeg. `what` names the work in errors, as `encode scene 3`.
    pub fn ffmpeg(&self, what: impl Into<String>) -> Call {
        let call = Call::new("ffmpeg", &self.ffmpeg, what.into());
        call.args(["-nostdin", "-hide_banner", "-v", "error", "-y"])
    }

    /// Begins a call of ffprobe. `what` names the work in errors, as `probe scene 3`.
    pub fn ffprobe(&self, what: impl Into<String>) -> Call {
        let call = Call::new("ffprobe", &self.ffprobe, what.into());
        call.args(["-hide_banner", "-v", "error"])
    }

    /// Makes sure that both programs are there, new enough, and can write H.264. Returns ffmpeg's version.
    ///
    /// # Errors
    /// If one is missing, too old or built without x264; the message says what to install.
    pub async fn check(&self) -> Result<String, FfmpegError> {
        let never = CancellationToken::new();
        let version = |program, path| {
            let call = Call::new(program, path, format!("ask {program} for its version"));
            call.arg("-version")
        };
        version("ffprobe", &self.ffprobe).run(&never).await?;
        let said = version("ffmpeg", &self.ffmpeg).run(&never).await?;
        let version = version_in(&String::from_utf8_lossy(&said));
        let unfit = |reason| FfmpegError::Unfit {
            path: self.ffmpeg.clone(),
            reason,
        };
        if let Some(major) = major_of(&version)
            && major < OLDEST_MAJOR
        {
            let reason = format!("version {version} is too old, {OLDEST_MAJOR}.0 is needed");
            return Err(unfit(reason));
        }
        let encoders = self.ffmpeg("list the encoders").arg("-encoders");
        let encoders = encoders.run(&never).await?;
        if String::from_utf8_lossy(&encoders).contains("libx264") {
            Ok(version)
        } else {
            Err(unfit("it was built without x264".to_owned()))
        }
    }
}

/// The version in the first line, as `5.1.6-0+deb12u1`; the whole line where it reads otherwise.
fn version_in(said: &str) -> String {
    let line = said.lines().next().unwrap_or_default();
    let version = line
        .strip_prefix("ffmpeg version ")
        .and_then(|rest| rest.split_whitespace().next());
    version.unwrap_or(line).to_owned()
}

/// Builds from the source repository call themselves `N-112345-g…` and have no major version: they pass.
fn major_of(version: &str) -> Option<u32> {
    version
        .trim_start_matches('n')
        .split('.')
        .next()?
        .parse()
        .ok()
}

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
    fn new(program: &'static str, path: &Path, what: String) -> Self {
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
        let spawned = Command::new(&self.path)
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

fn as_file(path: &Path) -> OsString {
    let mut name = OsString::from("file:");
    name.push(path);
    name
}

/// A program at work. Dropping it kills the program.
#[derive(Debug)]
pub struct Running {
    what: String,
    path: PathBuf,
    child: Child,
    stdin: Option<ChildStdin>,
    stderr: Option<JoinHandle<String>>,
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

    async fn end(&mut self, cancelled: &CancellationToken) -> Result<(), FfmpegError> {
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
        Err(FfmpegError::Failed {
            what: self.what.clone(),
            status,
            stderr: said,
        })
    }

    /// Does some I/O with the program, and kills it if `cancelled` fires before that is done.
    async fn unless(
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

async fn read_pieces(
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
async fn tail(pipe: Option<impl AsyncRead + Unpin>) -> String {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn programs() -> FfmpegPrograms {
        FfmpegPrograms::default()
    }

    #[tokio::test]
    async fn the_installed_programs_will_do() {
        let version = programs().check().await.unwrap();
        assert!(!version.is_empty());
    }

    #[tokio::test]
    async fn a_missing_program_says_what_to_install_and_what_to_set() {
        let programs = FfmpegPrograms {
            ffmpeg: "/nowhere/ffmpeg".into(),
            ..programs()
        };
        let error = programs.check().await.unwrap_err();
        assert!(matches!(error, FfmpegError::Missing { .. }), "{error:?}");
        let text = error.to_string();
        for part in ["/nowhere/ffmpeg", "apt install ffmpeg", "[ffmpeg]"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn an_old_version_is_told_from_a_new_one() {
        let version = |line: &str| major_of(&version_in(line));
        assert_eq!(version("ffmpeg version 5.1.6-0+deb12u1 Copyright"), Some(5));
        assert_eq!(version("ffmpeg version n7.0 Copyright"), Some(7));
        assert_eq!(version("ffmpeg version 3.4.8 Copyright"), Some(3));
        assert_eq!(version("ffmpeg version N-112345-gabc Copyright"), None);
    }

    #[tokio::test]
    async fn a_failure_carries_what_the_program_said() {
        let call = programs().ffmpeg("read nothing");
        let call = call
            .input(Path::new("/nowhere/-odd:name%d.mp4"))
            .args(["-f", "null", "-"]);
        let error = call.run(&CancellationToken::new()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("read nothing failed"), "{text}");
        assert!(text.contains("No such file or directory"), "{text}");
        assert_eq!(Failure::from(error).kind, FailureKind::Transient);
    }

    #[tokio::test]
    async fn odd_names_are_files_and_neither_options_nor_protocols() {
        let folder = tempfile::tempdir().unwrap();
        let cancelled = CancellationToken::new();
        for name in [
            "-y.mkv",
            "http:x.mkv",
            "a'b \"c\".mkv",
            "ü%03d\n.mkv",
            "concat:a|b.mkv",
        ] {
            let file = folder.path().join(name);
            let call = programs().ffmpeg("make a clip").args([
                "-f",
                "lavfi",
                "-i",
                "color=s=16x16:d=0.1",
                "-c:v",
                "rawvideo",
            ]);
            call.output(&file).run(&cancelled).await.unwrap();
            assert!(file.is_file(), "{name:?}");
            let call = programs()
                .ffprobe("probe it")
                .args(["-show_entries", "stream=width"]);
            let said = call.input(&file).run(&cancelled).await.unwrap();
            assert!(
                String::from_utf8_lossy(&said).contains("width=16"),
                "{name:?}"
            );
        }
    }

    #[tokio::test]
    async fn cancelling_kills_a_program_that_would_run_for_ever() {
        let cancelled = CancellationToken::new();
        let call = programs().ffmpeg("wait for ever");
        let call = call.args(["-f", "rawvideo", "-s", "16x16", "-i", "pipe:0"]);
        let mut running = call.args(["-f", "null", "-"]).start().unwrap();
        running.write(&[0; 512], &cancelled).await.unwrap();
        let id = running.child.id().unwrap();
        // The first write that has to wait for room in the pipe lets the cancellation happen.
        let canceller = cancelled.clone();
        let cancel = async move {
            tokio::task::yield_now().await;
            canceller.cancel();
        };
        let write = async {
            loop {
                if let Err(error) = running.write(&[0; 384], &cancelled).await {
                    return error;
                }
            }
        };
        let both = async { tokio::join!(write, cancel).0 };
        let error = tokio::time::timeout(Duration::from_secs(2), both).await;
        assert!(
            matches!(error, Ok(FfmpegError::Cancelled { .. })),
            "{error:?}"
        );
        // It has been waited for, so that not even a zombie stays.
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[tokio::test]
    async fn a_program_that_dies_while_it_is_fed_tells_why() {
        let call = programs().ffmpeg("encode nonsense");
        let call = call.args(["-f", "no_such_format", "-i", "pipe:0", "-f", "null", "-"]);
        let mut running = call.start().unwrap();
        let error = loop {
            let written = running.write(&[0; 65_536], &CancellationToken::new()).await;
            if let Err(error) = written {
                break error;
            }
        };
        assert!(error.to_string().contains("no_such_format"), "{error}");
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_complaint_is_kept() {
        let long = "first line\n".repeat(1_000) + "the reason\n";
        let kept = tail(Some(long.as_bytes())).await;
        assert!(kept.len() <= STDERR_TAIL);
        assert!(kept.starts_with("first line") && kept.ends_with("the reason"));
    }
}
