//! Jobs: one unit of work each, what it is given and what comes of it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::film::{Quality, Size};
use crate::script::Script;
use crate::story::{Scene, Story};

/// Which sort of job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Premise or script → story.
    Story,
    /// Scene → still image.
    Keyframe,
    /// Scene and still image → clip.
    Scene,
    /// Clips → film.
    Assembly,
}

impl JobKind {
    /// Every kind, in the order in which a film needs them.
    pub const ALL: [Self; 4] = [Self::Story, Self::Keyframe, Self::Scene, Self::Assembly];

    /// The name in messages, queues and settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Story => "story",
            Self::Keyframe => "keyframe",
            Self::Scene => "scene",
            Self::Assembly => "assembly",
        }
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no kind of job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of job; known are story, keyframe, scene and assembly")]
pub struct UnknownKind;

impl FromStr for JobKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or(UnknownKind)
    }
}

/// The flat status of a job that clients see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Waits for another job.
    Blocked,
    /// Waits for a worker.
    Queued,
    /// A worker has been granted it.
    Running,
    /// Failed, and waits for its next attempt.
    Retryable,
    /// Final: its result is there.
    Completed,
    /// Final: its tries are spent.
    Failed,
    /// Final: someone cancelled it.
    Cancelled,
}

impl JobStatus {
    /// The name in messages and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retryable => "retryable",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen to it by itself.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Cancelled => true,
            Self::Blocked | Self::Queued | Self::Running | Self::Retryable => false,
        }
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a job is given: the typed arguments of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Payload {
    /// For a story.
    Story(StoryPayload),
    /// For a still image.
    Keyframe(KeyframePayload),
    /// For a clip.
    Scene(ScenePayload),
    /// For the film.
    Assembly(AssemblyPayload),
}

impl Payload {
    /// The kind of job it belongs to.
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::Story(_) => JobKind::Story,
            Self::Keyframe(_) => JobKind::Keyframe,
            Self::Scene(_) => JobKind::Scene,
            Self::Assembly(_) => JobKind::Assembly,
        }
    }
}

/// Arguments of a story job. Exactly one of `premise` and `script` is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoryPayload {
    /// What the film is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub premise: Option<String>,
    /// A finished script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// Title, if the film-maker gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How many scenes to write.
    pub scenes: u32,
    /// Length of a scene in seconds, where the script says nothing else.
    pub seconds: f64,
    /// The film's seed.
    pub seed: u64,
}

/// Arguments of a keyframe job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeyframePayload {
    /// Title of the film.
    pub title: String,
    /// How the film looks.
    pub look: String,
    /// The scene to show.
    pub scene: Scene,
    /// How many scenes the film has.
    pub scenes: u32,
    /// Size of the image in pixels.
    pub size: Size,
    /// How well it is to be made.
    #[serde(default, skip_serializing_if = "Quality::is_final")]
    pub quality: Quality,
    /// Seed of this take.
    pub seed: u64,
}

/// Arguments of a scene job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenePayload {
    /// The scene to film.
    pub scene: Scene,
    /// The image that the clip begins with.
    pub keyframe: Artifact,
    /// Size of the clip in pixels.
    pub size: Size,
    /// Frames per second.
    pub fps: u32,
    /// Number of frames.
    pub frames: u32,
    /// How well it is to be made.
    #[serde(default, skip_serializing_if = "Quality::is_final")]
    pub quality: Quality,
    /// Seed of this take.
    pub seed: u64,
}

/// Arguments of an assembly job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AssemblyPayload {
    /// Title of the film, for its metadata.
    pub title: String,
    /// The story in a sentence, for its metadata.
    pub logline: String,
    /// The clips in scene order.
    pub clips: Vec<AssemblyClip>,
    /// Size of the film in pixels.
    pub size: Size,
    /// Frames per second.
    pub fps: u32,
}

/// One clip in an assembly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AssemblyClip {
    /// Number of its scene, from 1.
    pub number: u32,
    /// Title of its scene: the chapter mark.
    pub title: String,
    /// The clip.
    pub clip: Artifact,
    /// Its number of frames.
    pub frames: u32,
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// The product.
    pub product: Product,
    /// Everything that is not as it was asked for: another model, a smaller size, a template story. Shown to the
    /// film-maker and kept in the manifest.
    #[serde(default)]
    pub fallbacks: Vec<String>,
}

impl From<Product> for Outcome {
    fn from(product: Product) -> Self {
        Self {
            product,
            fallbacks: Vec::new(),
        }
    }
}

/// The product of a job, by kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Product {
    /// Of a story job.
    Story {
        /// The story.
        story: Story,
    },
    /// Of a keyframe job.
    Keyframe {
        /// The image (PNG).
        image: Artifact,
    },
    /// Of a scene job.
    Scene {
        /// The clip (MP4).
        clip: Artifact,
        /// Its number of frames, counted.
        frames: u32,
    },
    /// Of an assembly job.
    Assembly {
        /// The film (MP4).
        film: Artifact,
        /// Its running time in seconds, measured.
        seconds: f64,
    },
}

impl Product {
    /// The kind of job it is the product of.
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::Story { .. } => JobKind::Story,
            Self::Keyframe { .. } => JobKind::Keyframe,
            Self::Scene { .. } => JobKind::Scene,
            Self::Assembly { .. } => JobKind::Assembly,
        }
    }

    /// The file it consists of; a story has none.
    pub const fn artifact(&self) -> Option<&Artifact> {
        match self {
            Self::Story { .. } => None,
            Self::Keyframe { image: file }
            | Self::Scene { clip: file, .. }
            | Self::Assembly { film: file, .. } => Some(file),
        }
    }
}
