//! The assembly: clips become a film.
//!
//! Clips that are encoded alike are joined as they are, packet by packet; only if they differ are all of them encoded again
//! first, and the film-maker is told. The film gets a chapter for each scene and is checked before it is a result.

mod error;
mod even;
mod film;
mod metadata;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use shared::artifact::MediaType;
use shared::byte_size::ByteSize;
use shared::failure::{Failure, FailureKind};
use shared::job::{AssemblyClip, AssemblyPayload, JobKind, Outcome, Payload, Product};
use shared::profile::{Profile, ResourceRequest};
use shared::protocol::RunAttempt;
use worker_runtime::backend::{AttemptContext, Backend, NotReady};

use self::error::AssemblyError;
use crate::content_check::FRAMES_TOLERANCE;
use crate::content_check::probe::{self, Video};
use crate::ffmpeg::FfmpegPrograms;

/// Its name as a backend.
const BACKEND: &str = "assembly";
/// Its one profile.
const PROFILE: &str = "ffmpeg";
/// Clips that are fetched and probed at a time.
const FETCHES: usize = 4;
/// What ffmpeg needs to encode a large clip again.
const RAM: ByteSize = ByteSize::mib(512);

/// Joins clips with ffmpeg.
#[derive(Debug)]
pub struct Assembly {
    programs: FfmpegPrograms,
}

/// A clip in the scratch folder.
#[derive(Debug)]
struct LocalClip {
    /// Number of its scene.
    scene: u32,
    /// Its file's name in the scratch folder: made here, of plain letters and digits.
    name: String,
    /// Its number of frames, counted.
    frames: u32,
    video: Video,
}

/// What ffmpeg is run with, and where.
#[derive(Debug)]
struct Workshop<'a> {
    programs: &'a FfmpegPrograms,
    context: &'a AttemptContext,
}

impl Workshop<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.context.scratch.join(name)
    }
}

impl Assembly {
    /// An assembly that uses these programs.
    pub const fn new(programs: FfmpegPrograms) -> Self {
        Self { programs }
    }

    async fn assemble(
        &self,
        payload: &AssemblyPayload,
        context: &AttemptContext,
    ) -> Result<Outcome, AssemblyError> {
        if payload.clips.is_empty() {
            return Err(AssemblyError::NoClips);
        }
        let workshop = Workshop {
            programs: &self.programs,
            context,
        };
        let clips = workshop.fetch_all(&payload.clips).await?;
        let (clips, fallbacks) = match even::difference(&clips, payload.size, payload.fps) {
            None => (clips, Vec::new()),
            Some(difference) => {
                let clips = workshop.make_even(&clips, payload).await?;
                let AssemblyPayload { size, fps, .. } = payload;
                let told = format!(
                    "the clips differ, so all of them were encoded again in {size} at {fps} frames a second ({difference})"
                );
                (clips, vec![told])
            }
        };
        context.progress.tell("join", 0, 1);
        let (film, seconds) = workshop.join(&clips, payload).await?;
        context.progress.tell("store", 0, 1);
        let film = context.artifacts.put_file(&film, MediaType::Mp4).await;
        let film = film.map_err(|source| AssemblyError::Store { source })?;
        Ok(Outcome {
            product: Product::Assembly { film, seconds },
            fallbacks,
        })
    }
}

impl Workshop<'_> {
    async fn fetch_all(&self, clips: &[AssemblyClip]) -> Result<Vec<LocalClip>, AssemblyError> {
        let steps = u32::try_from(clips.len()).unwrap_or(u32::MAX);
        let mut fetches = Vec::with_capacity(clips.len());
        for (index, clip) in clips.iter().enumerate() {
            fetches.push(self.fetch(index, clip));
        }
        let mut fetched = Vec::with_capacity(clips.len());
        let mut fetches = futures::stream::iter(fetches).buffered(FETCHES);
        while let Some(clip) = fetches.try_next().await? {
            fetched.push(clip);
            let step = u32::try_from(fetched.len()).unwrap_or(u32::MAX);
            self.context.progress.tell("fetch", step, steps);
        }
        Ok(fetched)
    }

    async fn fetch(&self, index: usize, clip: &AssemblyClip) -> Result<LocalClip, AssemblyError> {
        let scene = clip.number;
        let name = format!("clip-{index:03}.mp4");
        let path = self.path(&name);
        let fetched = tokio::select! {
            () = self.context.cancelled.cancelled() => return Err(AssemblyError::Cancelled),
            fetched = self.context.artifacts.fetch(&clip.clip, &path) => fetched,
        };
        fetched.map_err(|source| AssemblyError::Fetch { scene, source })?;
        let local = self.inspect(scene, name, &path).await?;
        // As the check of the clip allows. What is joined is timed by what was counted here.
        if local.frames.abs_diff(clip.frames) > FRAMES_TOLERANCE {
            return Err(AssemblyError::Frames {
                scene,
                expected: clip.frames,
                found: local.frames,
            });
        }
        Ok(local)
    }

    /// Looks at a clip in the scratch folder.
    async fn inspect(
        &self,
        scene: u32,
        name: String,
        path: &Path,
    ) -> Result<LocalClip, AssemblyError> {
        let what = format!("probe the clip of scene {scene}");
        let probe = probe::probe(self.programs, &what, path, &self.context.cancelled).await;
        let probe = match probe {
            Ok(probe) => probe,
            Err(error) => return Err(AssemblyError::of_reading(self.programs, scene, error).await),
        };
        let video = probe
            .video()
            .map_err(|why| AssemblyError::Clip { scene, why })?;
        Ok(LocalClip {
            scene,
            name,
            frames: video.packets(),
            video: video.clone(),
        })
    }
}

#[async_trait]
impl Backend for Assembly {
    fn name(&self) -> &'static str {
        BACKEND
    }

    fn profiles(&self) -> Vec<Profile> {
        vec![Profile {
            name: PROFILE.parse().expect("the name keeps the rule for names"),
            kind: JobKind::Assembly,
            backend: BACKEND.to_owned(),
            needs: ResourceRequest {
                device: None,
                ram: RAM,
                threads: 0,
            },
        }]
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        match self.programs.check().await {
            Ok(_) => Ok(()),
            Err(error) => Err(NotReady(shared::failure::chain(&error))),
        }
    }

    async fn run(
        &self,
        attempt: &RunAttempt,
        context: &AttemptContext,
    ) -> Result<Outcome, Failure> {
        let Payload::Assembly(payload) = &attempt.payload else {
            let kind = attempt.payload.kind();
            let message =
                format!("`{PROFILE}` makes films out of clips and was given a {kind} job");
            return Err(Failure::new(FailureKind::Permanent, message));
        };
        self.assemble(payload, context).await.map_err(Failure::from)
    }
}
