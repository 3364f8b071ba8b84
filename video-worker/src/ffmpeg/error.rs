//! Why a run of a program came to nothing.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use shared::failure::{Failure, FailureKind};

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
    #[error(
        "`{}` will not do: {reason}; install ffmpeg {OLDEST} or newer ({INSTALL}) or set another path under [ffmpeg] in the settings",
        path.display()
    )]
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
    #[error("{what} failed ({status}){}", colon(stderr))]
    Failed {
        /// What was being done, as `encode scene 3`.
        what: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        stderr: String,
    },
    /// Someone ended the program, and not this worker: it says nothing of what it worked on.
    #[error("{what} was interrupted ({status})")]
    Interrupted {
        /// What was being done.
        what: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The work is not wanted any more; the program has been killed.
    #[error("{what} was cancelled")]
    Cancelled {
        /// What was being done.
        what: String,
    },
}

/// The oldest version that has every filter and option used here. Told to people; checked is the major version.
const OLDEST: &str = "4.4";
const INSTALL: &str = "Debian, Ubuntu: `apt install ffmpeg`; macOS: `brew install ffmpeg`; Windows: `winget install ffmpeg`";

impl From<FfmpegError> for Failure {
    fn from(error: FfmpegError) -> Self {
        let kind = match error {
            FfmpegError::Interrupted { .. } | FfmpegError::Cancelled { .. } => {
                FailureKind::Cancelled
            }
            // A full disk, a crash, a program that is being updated: all may pass.
            FfmpegError::Missing { .. }
            | FfmpegError::Unfit { .. }
            | FfmpegError::Run { .. }
            | FfmpegError::Failed { .. } => FailureKind::Transient,
        };
        Self::from_error(kind, &error)
    }
}

/// What a program said, to stand behind what failed; nothing if it said nothing.
pub(super) fn colon(said: &str) -> String {
    match said {
        "" => String::new(),
        said => format!(": {said}"),
    }
}
