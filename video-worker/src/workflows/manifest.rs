//! The manifest of a workflow, `NAME.toml`: what its graph makes, takes and needs. Each field's description is also the
//! one in `docs/workflows.md`; a test holds the two equal.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;
use shared::film::Quality;
use shared::job::JobKind;
use shared::profile::{DeviceMemory, ResourceRequest};

use super::binding::Bindings;

/// The manifest as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What it makes: `keyframe` (an image from text) or `scene` (a clip from an image).
    pub kind: WorkflowKind,
    /// What people call it.
    pub title: String,
    /// Where each thing that a job says goes in the graph.
    pub inputs: Bindings,
    /// Where the file comes out.
    pub output: Output,
    /// Which sizes it can make.
    pub size: SizeRule,
    /// Which lengths it can make. Only for clips, and there it is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipRule>,
    /// How a draft is made: fewer steps, less time.
    pub draft: QualitySettings,
    /// How it is made for the film.
    #[serde(rename = "final")]
    pub for_film: QualitySettings,
    /// What it needs of the machine that ComfyUI runs on.
    pub memory: Memory,
    /// How long it may be silent.
    pub limits: Limits,
    /// Files of models that the graph names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelFile>,
    /// Where node classes come from that ComfyUI does not bring: class = "the package". Told when they are missing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, String>,
}

/// What a workflow makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkflowKind {
    /// An image from text.
    Keyframe,
    /// A clip from an image.
    Scene,
}

impl From<WorkflowKind> for JobKind {
    fn from(kind: WorkflowKind) -> Self {
        match kind {
            WorkflowKind::Keyframe => Self::Keyframe,
            WorkflowKind::Scene => Self::Scene,
        }
    }
}

/// Where the file comes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The node that writes the file. Everything in the graph must lead to it.
    pub node: String,
    /// Under which key the server lists its files. Any, if absent: the key says little (`SaveVideo` lists its clip under `images`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Which sizes can be made. What is asked for is made as it is, or in the nearest size of the same shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SizeRule {
    /// Width and height are multiples of this many pixels: 16 for WAN's 14B models, 32 for its 5B model, 8 for SDXL.
    pub multiple: u32,
    /// Fewest pixels (width times height): a smaller size is made larger. Models draw badly far below the size that they learned.
    #[serde(default)]
    pub min_pixels: u32,
    /// Most pixels: a larger size is made smaller. It bounds memory and time.
    pub max_pixels: u32,
}

/// Which lengths can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClipRule {
    /// Frames per second that the model learned; a clip asked for at another rate gets as many frames as make its length at this one. Absent: the rate that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<u32>,
    /// The number of frames is a multiple of this and one more: 4 for WAN (5, 9, 13 …), 1 if every number will do. Rounded up.
    pub frame_step: u32,
    /// Most frames. A longer clip is refused and not cut.
    pub max_frames: u32,
}

/// One quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QualitySettings {
    /// Steps of the sampler. Needed if `inputs.steps` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// Longest run in seconds, from the moment the server begins with it.
    pub time_limit_s: u32,
}

/// What it needs of the machine, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Device memory that its model holds between jobs. Leave out all three for work without a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_mib: Option<u32>,
    /// The most device memory that one job holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_mib: Option<u32>,
    /// The most that ComfyUI holds while one of its jobs gives way to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spike_mib: Option<u32>,
    /// Host memory with no model loaded yet: all files of models together, and what the pictures take.
    pub ram_mib: u32,
}

/// How long it may be silent, in seconds. Who is silent for longer is taken to hang: it is interrupted and tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Longest time between two steps of a node that has begun to count steps.
    pub stall_s: u32,
    /// Longest silence otherwise: while a model is loaded (also before the first step of a sampler), while a VAE decodes, while a file is written.
    pub silence_s: u32,
    /// Longest silence of single nodes, where it is another: NODE = seconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub silence_of_s: BTreeMap<String, u32>,
}

impl Limits {
    /// Longest time between two steps.
    pub fn stall(&self) -> Duration {
        Duration::from_secs(self.stall_s.into())
    }

    /// Longest silence of a node that counts no steps.
    pub fn silence(&self) -> Duration {
        Duration::from_secs(self.silence_s.into())
    }

    /// Nodes whose longest silence is another.
    pub fn silences(&self) -> impl Iterator<Item = (String, Duration)> {
        let seconds = |(node, seconds): (&String, &u32)| {
            (node.clone(), Duration::from_secs((*seconds).into()))
        };
        self.silence_of_s.iter().map(seconds)
    }
}

/// A file of a model that the graph names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Its folder below ComfyUI's `models`, as `diffusion_models`.
    pub folder: String,
    /// Its name there, as it stands in the graph.
    pub file: String,
    /// Its size in MiB, to tell people what there is to download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mib: Option<u32>,
    /// Where to get it. Told when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl Manifest {
    /// How it is made in that quality.
    pub const fn quality(&self, quality: Quality) -> &QualitySettings {
        match quality {
            Quality::Draft => &self.draft,
            Quality::Final => &self.for_film,
        }
    }
}

impl Memory {
    /// What one attempt needs at its worker.
    pub fn needs(&self) -> ResourceRequest {
        let mib = |count: u32| ByteSize::mib(count.into());
        let device = match (self.load_mib, self.peak_mib, self.spike_mib) {
            (Some(load), Some(peak), Some(spike)) => Some(DeviceMemory {
                load: mib(load),
                peak: mib(peak),
                spike: mib(spike),
            }),
            // Checked when the manifest was read: all or none.
            (_, _, _) => None,
        };
        ResourceRequest {
            device,
            ram: mib(self.ram_mib),
            threads: 0,
        }
    }
}
