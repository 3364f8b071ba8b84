//! Profiles: named ways to do one kind of job, with what they need.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::byte_size::ByteSize;
use crate::ids::ProfileName;
use crate::job::JobKind;

/// A named way to do one kind of job, as a worker declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// Its name, unique within its kind.
    pub name: ProfileName,
    /// The kind of job it does.
    pub kind: JobKind,
    /// The backend that does it, as `outline`, `animatic` or `comfyui`.
    pub backend: String,
    /// What one attempt needs.
    pub needs: ResourceRequest,
}

/// What one attempt needs at its worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceRequest {
    /// Device memory; absent for work that needs no GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceMemory>,
    /// Host memory, in bytes, with the model not yet loaded.
    #[serde(default)]
    pub ram: ByteSize,
    /// Processor threads that it keeps busy; 0 for work that leaves the processors alone.
    #[serde(default)]
    pub threads: u32,
}

/// Device memory that a profile declares, in bytes. `load` ≤ `peak` ≤ `spike`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceMemory {
    /// What the resident model holds between jobs.
    pub load: ByteSize,
    /// The most one job holds.
    pub peak: ByteSize,
    /// The most the backend holds while two of its jobs overlap.
    pub spike: ByteSize,
}
