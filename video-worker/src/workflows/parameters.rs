//! What a job says: the parameters of one render.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use shared::film::{Quality, Size};
use shared::job::{KeyframePayload, ScenePayload};

/// The parameters of one render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// What is to be seen.
    pub prompt: String,
    /// What is not to be seen; empty: nothing beside what the workflow says itself.
    pub negative_prompt: String,
    /// The image that a clip begins with, by the name that the server gave it; none for a keyframe.
    pub start_image: Option<String>,
    /// Size in pixels that is asked for.
    pub size: Size,
    /// Length of a clip that is asked for; none for a keyframe.
    pub clip: Option<ClipLength>,
    /// Seed of this take.
    pub seed: u64,
    /// How well it is to be made.
    pub quality: Quality,
    /// What the names of its files begin with; it names job and take.
    pub filename_prefix: String,
}

/// A number of frames at a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipLength {
    /// Number of frames.
    pub frames: u32,
    /// Frames per second.
    pub fps: u32,
}

impl Parameters {
    /// Those of a keyframe job.
    pub fn keyframe(payload: &KeyframePayload, filename_prefix: String) -> Self {
        Self {
            prompt: payload.scene.image_prompt.clone(),
            negative_prompt: payload.scene.negative_prompt.clone(),
            start_image: None,
            size: payload.size,
            clip: None,
            seed: payload.seed,
            quality: payload.quality,
            filename_prefix,
        }
    }

    /// Those of a scene job, with the name under which the server has its keyframe.
    pub fn scene(payload: &ScenePayload, start_image: String, filename_prefix: String) -> Self {
        Self {
            prompt: payload.scene.motion_prompt.clone(),
            negative_prompt: payload.scene.negative_prompt.clone(),
            start_image: Some(start_image),
            size: payload.size,
            clip: Some(ClipLength {
                frames: payload.frames,
                fps: payload.fps,
            }),
            seed: payload.seed,
            quality: payload.quality,
            filename_prefix,
        }
    }
}
