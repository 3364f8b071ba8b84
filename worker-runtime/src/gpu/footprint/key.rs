//! What figures are kept for: jobs of one profile, on one model of card, of about one size.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;
use shared::film::Size;
use shared::ids::ProfileName;
use shared::job::Payload;

/// So many pixels are one step of size.
const PIXELS: u64 = 1 << 17;
/// So many frames are one step of length.
const FRAMES: u32 = 16;

/// A model of card. Figures of one say nothing certain of another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceModel {
    /// Its name, as `NVIDIA GeForce RTX 4090`.
    pub name: String,
    /// All its memory.
    pub total: ByteSize,
}

/// Jobs that need about the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// How they are done.
    pub profile: ProfileName,
    /// On which model of card.
    pub device: DeviceModel,
    /// Size of the picture, in steps; 0 for work without pictures.
    size: u64,
    /// Number of frames, in steps; 0 for work without.
    frames: u32,
    /// What else the figures depend on, as the backend names it: its version, its model files, its workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made_by: Option<String>,
}

/// Size and length of what a job makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Number of frames.
    pub frames: u32,
}

impl Extent {
    /// Of what a job is to make; none for a story or a film, whose need does not grow with it.
    pub fn of(payload: &Payload) -> Self {
        let of_size = |size: Size, frames| Self {
            width: size.width,
            height: size.height,
            frames,
        };
        match payload {
            Payload::Keyframe(keyframe) => of_size(keyframe.size, 1),
            Payload::Scene(scene) => of_size(scene.size, scene.frames),
            Payload::Story(_) | Payload::Assembly(_) => Self::default(),
        }
    }
}

impl Key {
    /// The jobs of that profile on that model of card that make such things.
    pub fn new(profile: ProfileName, device: DeviceModel, extent: Extent) -> Self {
        let pixels = u64::from(extent.width) * u64::from(extent.height);
        Self {
            profile,
            device,
            size: pixels.div_ceil(PIXELS),
            frames: extent.frames.div_ceil(FRAMES),
            made_by: None,
        }
    }

    /// The same as that is done by: figures of another version, or of other model files, tell nothing.
    #[must_use]
    pub fn made_by(self, made_by: Option<String>) -> Self {
        Self { made_by, ..self }
    }

    /// Whether both are the same but for the card.
    pub(super) fn is_elsewhere(&self, other: &Self) -> bool {
        self.device != other.device
            && (&self.profile, self.size, self.frames, &self.made_by)
                == (&other.profile, other.size, other.frames, &other.made_by)
    }
}

impl fmt::Display for DeviceModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {}", self.name, self.total)
    }
}
