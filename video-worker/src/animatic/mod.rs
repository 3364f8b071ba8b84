//! The built-in backend for keyframes and clips: storyboard frames drawn from the scene, and camera moves over them.
//! It needs no model and no GPU, and shows timing and order of a film before a GPU minute is spent.

mod clip;

use async_trait::async_trait;
use shared::artifact::MediaType;
use shared::byte_size::ByteSize;
use shared::failure::{Failure, FailureKind};
use shared::ids::ProfileName;
use shared::job::{JobKind, KeyframePayload, Outcome, Payload, Product, ScenePayload};
use shared::profile::{Profile, ResourceRequest};
use shared::protocol::RunAttempt;
use storyboard::{FramesError, ImageError};
use worker_runtime::backend::{AttemptContext, Backend, NotReady};

use self::clip::ClipError;
use crate::ffmpeg::FfmpegPrograms;

/// The profile that draws keyframes.
const STORYBOARD: &str = "storyboard";
/// The profile that films them.
const ANIMATIC: &str = "animatic";
/// Host memory that one attempt takes at the usual sizes, that of ffmpeg included.
const MEMORY: ByteSize = ByteSize::mib(128);

/// Draws storyboard frames and moves a camera over them.
#[derive(Debug)]
pub struct Animatic {
    programs: FfmpegPrograms,
}

impl Animatic {
    /// With the programs to encode with.
    pub fn new(programs: FfmpegPrograms) -> Self {
        Self { programs }
    }

    async fn draw(
        &self,
        payload: &KeyframePayload,
        context: &AttemptContext,
    ) -> Result<Outcome, ClipError> {
        context.progress.tell("drawing", 0, 1);
        let png = clip::keyframe(payload, context).await?;
        context.progress.enter("store");
        let stored = context
            .artifacts
            .put_bytes(png.into(), MediaType::Png)
            .await;
        let image = stored.map_err(ClipError::Store)?;
        context.progress.tell("drawing", 1, 1);
        Ok(Product::Keyframe { image }.into())
    }

    async fn film(
        &self,
        payload: &ScenePayload,
        context: &AttemptContext,
    ) -> Result<Outcome, ClipError> {
        let (file, checked) = clip::make(&self.programs, payload, context).await?;
        context.progress.enter("store");
        let stored = context.artifacts.put_file(&file, MediaType::Mp4).await;
        let clip = stored.map_err(ClipError::Store)?;
        Ok(Product::Scene {
            clip,
            frames: checked.frames,
        }
        .into())
    }
}

#[async_trait]
impl Backend for Animatic {
    fn name(&self) -> &'static str {
        "animatic"
    }

    fn profiles(&self) -> Vec<Profile> {
        let profile = |name: &str, kind| Profile {
            name: name
                .parse::<ProfileName>()
                .expect("our own names are names"),
            kind,
            backend: self.name().to_owned(),
            needs: ResourceRequest {
                device: None,
                ram: MEMORY,
                threads: 0,
            },
        };
        vec![
            profile(STORYBOARD, JobKind::Keyframe),
            profile(ANIMATIC, JobKind::Scene),
        ]
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        let version = self.programs.check().await;
        let version = version.map_err(|error| NotReady(shared::failure::chain(&error)))?;
        tracing::debug!(ffmpeg.version = version, "ffmpeg is ready");
        Ok(())
    }

    async fn run(
        &self,
        attempt: &RunAttempt,
        context: &AttemptContext,
    ) -> Result<Outcome, Failure> {
        let made = match &attempt.payload {
            Payload::Keyframe(payload) => self.draw(payload, context).await,
            Payload::Scene(payload) => self.film(payload, context).await,
            other @ (Payload::Story(_) | Payload::Assembly(_)) => {
                let message = format!(
                    "the animatic makes keyframes and clips, and was given a {} job",
                    other.kind()
                );
                return Err(Failure::new(FailureKind::Permanent, message));
            }
        };
        made.map_err(failure)
    }
}

/// Classifies what went wrong.
fn failure(error: ClipError) -> Failure {
    let kind = match error {
        ClipError::Ffmpeg(error) => return error.into(),
        ClipError::Check(error) => return error.into(),
        ClipError::Cancelled => FailureKind::Cancelled,
        ClipError::Fetch(_) | ClipError::Store(_) | ClipError::Read(_) => FailureKind::Transient,
        ClipError::Image(ImageError::TooLarge(_))
        | ClipError::Frames(FramesError::Image(ImageError::TooLarge(_))) => {
            FailureKind::OutOfMemory
        }
        ClipError::OddSize(_) | ClipError::Empty | ClipError::Image(_) | ClipError::Frames(_) => {
            FailureKind::Permanent
        }
    };
    Failure::from_error(kind, &error)
}

#[cfg(test)]
mod tests;
