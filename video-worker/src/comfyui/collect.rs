//! From a file at the server to an artifact: downloaded piece by piece, looked at, stored.

use std::path::Path;
use std::time::Duration;

use shared::artifact::{Artifact, MediaType};
use shared::artifacts::ArtifactError;
use shared::failure::{Failure, FailureKind, chain};
use shared::fields;
use shared::job::Product;
use tokio::time::sleep;
use worker_runtime::backend::AttemptContext;

use super::client::{Client, ComfyError, OutputFile};
use super::render::NotCollected;
use super::still;
use super::template::Expects;
use crate::conform;
use crate::content_check::{self, CheckError};
use crate::ffmpeg::FfmpegPrograms;

/// Pause before a result that its store did not take is offered again.
const AGAIN: Duration = Duration::from_secs(2);

/// Why a file is not ours.
#[derive(Debug)]
pub(super) enum Uncollected {
    /// The server went away meanwhile: to be tried again.
    Away(String),
    /// Something that another try does not change.
    Not(NotCollected),
}

impl From<Failure> for Uncollected {
    fn from(failure: Failure) -> Self {
        Self::Not(NotCollected::Failed(failure))
    }
}

/// Fetches, checks and stores a file.
pub(super) async fn collect(
    client: &Client,
    file: &OutputFile,
    expects: &Expects,
    programs: &FfmpegPrograms,
    context: &AttemptContext,
) -> Result<Product, Uncollected> {
    // A name of our own: what the server calls it never becomes a path here.
    let local = context.scratch.join("result");
    download(client, file, &local).await?;
    match expects {
        Expects::Clip { made, wanted } => {
            let cancelled = &context.cancelled;
            match content_check::check(programs, &local, made, cancelled).await {
                Ok(_) if conform::differs(made, wanted) => {
                    let conformed = context.scratch.join("conformed");
                    conform::conform(programs, &local, made, wanted, &conformed, cancelled)
                        .await
                        .map_err(Failure::from)?;
                    Ok(Product::Scene {
                        clip: store(context, &conformed, MediaType::Mp4).await?,
                        frames: wanted.frames,
                    })
                }
                Ok(checked) => Ok(Product::Scene {
                    clip: store(context, &local, MediaType::Mp4).await?,
                    frames: checked.frames,
                }),
                Err(CheckError::Rejected(rejection)) => {
                    let why = CheckError::Rejected(rejection).to_string();
                    Err(rejected(context, &local, MediaType::Mp4, why).await)
                }
                Err(error @ CheckError::Ffmpeg(_)) => Err(Failure::from(error).into()),
            }
        }
        Expects::Still(size) => {
            let (path, size) = (local.clone(), *size);
            let checked = tokio::task::spawn_blocking(move || still::check(&path, size)).await;
            match checked {
                Ok(Ok(())) => Ok(Product::Keyframe {
                    image: store(context, &local, MediaType::Png).await?,
                }),
                Ok(Err(error)) => {
                    let said = chain(&error);
                    let why = format!("the check turned the keyframe down: {said}");
                    Err(rejected(context, &local, MediaType::Png, why).await)
                }
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        }
    }
}

async fn download(client: &Client, file: &OutputFile, to: &Path) -> Result<(), Uncollected> {
    let Err(error) = client.download(file, to).await else {
        return Ok(());
    };
    Err(match error {
        ComfyError::NoFile(_) => Uncollected::Not(NotCollected::Missing),
        ComfyError::File { .. } => Failure::from_error(FailureKind::Transient, &error).into(),
        // Half a file, too, is a server that went away.
        error if error.is_absence() || matches!(error, ComfyError::Unreadable { .. }) => {
            Uncollected::Away(chain(&error))
        }
        error => Failure::from_error(FailureKind::Permanent, &error).into(),
    })
}

/// Stores a result. It is paid for, and no fault of its own keeps it out: it is offered again until it is taken, or not wanted any
/// more, or the attempt's time is over. To fail here would have it rendered a second time.
async fn store(
    context: &AttemptContext,
    path: &Path,
    media_type: MediaType,
) -> Result<Artifact, Failure> {
    loop {
        let error = match offer(context, path, media_type).await {
            Ok(artifact) => return Ok(artifact),
            Err(error) => error,
        };
        if !is_of_the_store(&error) || context.cancelled.is_cancelled() {
            return Err(Failure::from_error(FailureKind::Transient, &error));
        }
        tracing::warn!(
            { fields::ERROR } = chain(&error),
            "a result waits for the artifact store"
        );
        context
            .progress
            .tell("waiting for the artifact store", 0, 0);
        tokio::select! {
            () = sleep(AGAIN) => {}
            () = context.cancelled.cancelled() => {}
        }
    }
}

/// Whether the store is to blame, and not the file.
fn is_of_the_store(error: &ArtifactError) -> bool {
    match error {
        ArtifactError::Away { .. }
        | ArtifactError::Full(_)
        | ArtifactError::Refused { .. }
        | ArtifactError::Untrusted { .. }
        | ArtifactError::Store(_) => true,
        ArtifactError::Url { .. }
        | ArtifactError::Folder { .. }
        | ArtifactError::Missing(_)
        | ArtifactError::Damaged(_)
        | ArtifactError::File { .. } => false,
    }
}

async fn offer(
    context: &AttemptContext,
    path: &Path,
    media_type: MediaType,
) -> Result<Artifact, ArtifactError> {
    context.progress.enter("store");
    context.artifacts.put_file(path, media_type).await
}

/// A file that was turned down, kept as evidence for as long as the store keeps what nobody wants.
async fn rejected(
    context: &AttemptContext,
    path: &Path,
    media_type: MediaType,
    why: String,
) -> Uncollected {
    let message = match offer(context, path, media_type).await {
        Ok(evidence) => format!("{why}; the file is kept as artifact {}", evidence.sha256),
        Err(_) => why,
    };
    let failure = Failure::new(FailureKind::RejectedContent, message);
    Uncollected::Not(NotCollected::Rejected(failure))
}
