//! From a file at the server to an artifact: downloaded piece by piece, looked at, stored.

use std::path::Path;

use shared::artifact::{Artifact, MediaType};
use shared::failure::{Failure, FailureKind};
use shared::job::Product;
use worker_runtime::backend::AttemptContext;

use super::client::{Client, ComfyError, OutputFile};
use super::render::NotCollected;
use super::still;
use super::template::Expects;
use crate::conform;
use crate::content_check::{self, CheckError};
use crate::ffmpeg::FfmpegPrograms;

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
                    let said = shared::failure::chain(&error);
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
            Uncollected::Away(shared::failure::chain(&error))
        }
        error => Failure::from_error(FailureKind::Permanent, &error).into(),
    })
}

async fn store(
    context: &AttemptContext,
    path: &Path,
    media_type: MediaType,
) -> Result<Artifact, Failure> {
    context.progress.enter("store");
    let stored = context.artifacts.put_file(path, media_type).await;
    stored.map_err(|error| Failure::from_error(FailureKind::Transient, &error))
}

/// A file that was turned down, kept as evidence for as long as the store keeps what nobody wants.
async fn rejected(
    context: &AttemptContext,
    path: &Path,
    media_type: MediaType,
    why: String,
) -> Uncollected {
    let message = match store(context, path, media_type).await {
        Ok(evidence) => format!("{why}; the file is kept as artifact {}", evidence.sha256),
        Err(_) => why,
    };
    let failure = Failure::new(FailureKind::RejectedContent, message);
    Uncollected::Not(NotCollected::Rejected(failure))
}
