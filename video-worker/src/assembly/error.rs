//! Why clips did not become a film.

use std::io;

use shared::artifacts::ArtifactError;
use shared::failure::{Failure, FailureKind};

use crate::content_check::Rejection;
use crate::ffmpeg::{FfmpegError, FfmpegPrograms};

/// What stood between the clips and the film.
#[derive(Debug, thiserror::Error)]
pub(super) enum AssemblyError {
    #[error("there are no clips to join")]
    NoClips,
    #[error("cannot fetch the clip of scene {scene}")]
    Fetch { scene: u32, source: ArtifactError },
    #[error("the clip of scene {scene} cannot be used: {why}")]
    Clip { scene: u32, why: Rejection },
    #[error("the clip of scene {scene} has {found} frames instead of {expected}")]
    Frames {
        scene: u32,
        expected: u32,
        found: u32,
    },
    #[error("the clips still differ after all of them were encoded again ({0})")]
    Uneven(String),
    #[error("cannot write `{name}` into the attempt's folder")]
    Write {
        name: &'static str,
        source: io::Error,
    },
    #[error(transparent)]
    Ffmpeg(#[from] FfmpegError),
    #[error("the film is not as it should be: {0}")]
    Film(#[from] Rejection),
    #[error(
        "the chapters of the film are not as they should be: {found:?} s instead of {expected:?} s"
    )]
    Chapters { expected: Vec<f64>, found: Vec<f64> },
    #[error("cannot store the film")]
    Store { source: ArtifactError },
    #[error("the assembly was cancelled")]
    Cancelled,
}

impl AssemblyError {
    /// A program that ran and gave up on a clip says that the clip is bad; anything else says nothing of it.
    pub(super) async fn of_reading(
        programs: &FfmpegPrograms,
        scene: u32,
        error: FfmpegError,
    ) -> Self {
        match programs.complaint(error).await {
            Ok(said) => {
                let why = Rejection::unreadable(&said);
                Self::Clip { scene, why }
            }
            Err(error) => error.into(),
        }
    }
}

impl From<AssemblyError> for Failure {
    fn from(error: AssemblyError) -> Self {
        use AssemblyError as E;
        let kind = match error {
            E::Ffmpeg(error) => return error.into(),
            E::Cancelled => FailureKind::Cancelled,
            E::Fetch { .. } | E::Write { .. } | E::Store { .. } => FailureKind::Transient,
            // A clip is named by its content: it will be the same the next time.
            E::NoClips | E::Clip { .. } | E::Frames { .. } | E::Uneven(_) => FailureKind::Permanent,
            E::Film(_) | E::Chapters { .. } => FailureKind::RejectedContent,
        };
        Self::from_error(kind, &error)
    }
}
