//! A story and its scenes: what the language model writes and the video model shows.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A story, ready to be filmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Story {
    /// Title of the film.
    pub title: String,
    /// The story in one or two sentences.
    pub logline: String,
    /// How the film looks: medium, light, palette. Goes into every image prompt.
    pub look: String,
    /// Who appears in it.
    #[serde(default)]
    pub characters: Vec<Character>,
    /// Its scenes in order, numbered from 1 without gaps.
    pub scenes: Vec<Scene>,
}

/// Someone who appears in a story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Character {
    /// Name, unique in the story.
    pub name: String,
    /// Fixed description, injected unchanged into every prompt that shows the character.
    pub description: String,
}

/// One scene: one clip of the film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scene {
    /// Position in the film, from 1.
    pub number: u32,
    /// A few words; also the chapter mark.
    pub title: String,
    /// What is seen, for a reader.
    pub action: String,
    /// The dramatic beat it stands for, as "Catalyst"; empty if it has none.
    #[serde(default)]
    pub beat: String,
    /// Prompt for the still image.
    pub image_prompt: String,
    /// Prompt for the movement.
    pub motion_prompt: String,
    /// What must not be seen.
    #[serde(default)]
    pub negative_prompt: String,
    /// How the camera moves.
    pub camera: Camera,
    /// Length in seconds.
    pub seconds: f64,
    /// Names of the characters in it.
    #[serde(default)]
    pub characters: Vec<String>,
}

/// A camera move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Camera {
    /// No move.
    #[default]
    Static,
    /// Towards the subject.
    PushIn,
    /// Away from the subject.
    PullOut,
    /// Turning to the left.
    PanLeft,
    /// Turning to the right.
    PanRight,
    /// Turning upwards.
    TiltUp,
    /// Turning downwards.
    TiltDown,
}

impl Camera {
    /// Every move.
    pub const ALL: [Self; 7] = [
        Self::Static,
        Self::PushIn,
        Self::PullOut,
        Self::PanLeft,
        Self::PanRight,
        Self::TiltUp,
        Self::TiltDown,
    ];

    /// The name that scripts and messages use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::PushIn => "push-in",
            Self::PullOut => "pull-out",
            Self::PanLeft => "pan-left",
            Self::PanRight => "pan-right",
            Self::TiltUp => "tilt-up",
            Self::TiltDown => "tilt-down",
        }
    }
}

impl fmt::Display for Camera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no camera move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown camera move; known are static, push-in, pull-out, pan-left, pan-right, tilt-up and tilt-down"
)]
pub struct UnknownCamera;

impl FromStr for Camera {
    type Err = UnknownCamera;

    fn from_str(text: &str) -> Result<Self, UnknownCamera> {
        Self::ALL
            .into_iter()
            .find(|camera| camera.name() == text)
            .ok_or(UnknownCamera)
    }
}
