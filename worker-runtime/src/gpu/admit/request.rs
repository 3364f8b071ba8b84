//! What is asked of the gate.

use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::{JobId, ProfileName};
use shared::profile::{DeviceMemory, ResourceRequest};

use crate::gpu::ledger::{BackendId, Precedence};

/// One job that wants to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The job.
    pub job: JobId,
    /// How it will be done.
    pub profile: ProfileName,
    /// The backend that will do it.
    pub backend: BackendId,
    /// What it needs.
    pub need: Need,
    /// Its place among those who wait on this host.
    pub precedence: Precedence,
    /// How long it has waited.
    pub waited: Duration,
    /// What was put out for it so far.
    pub evictions: Evictions,
}

/// What a job needs of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nobody knows. Such a job waits.
    Unknown,
    /// Device memory, and host memory beside it.
    Device {
        /// Device memory.
        memory: DeviceMemory,
        /// Host memory with the model not yet loaded.
        ram: ByteSize,
        /// What was learned of how far free memory falls during such a job.
        growth: Growth,
    },
    /// No device memory.
    Host {
        /// Host memory with the model not yet loaded.
        ram: ByteSize,
        /// Whether it keeps the processors busy.
        busy: bool,
    },
}

impl Need {
    /// What a profile declares, with nothing learned yet. Figures that contradict themselves tell nothing.
    pub fn declared(request: &ResourceRequest) -> Self {
        match request.device {
            None => Self::Host {
                ram: request.ram,
                busy: request.threads > 0,
            },
            Some(memory)
                if memory.peak == ByteSize::ZERO
                    || memory.load > memory.peak
                    || memory.peak > memory.spike =>
            {
                Self::Unknown
            }
            Some(memory) => Self::Device {
                memory,
                ram: request.ram,
                growth: Growth::default(),
            },
        }
    }
}

/// How far free memory falls from a job's admission to its lowest point, where that was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Growth {
    /// With the model not loaded.
    pub cold: Option<ByteSize>,
    /// With the model loaded.
    pub warm: Option<ByteSize>,
}

/// What was put out for a request so far: eviction is tried a few times, then the request waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evictions {
    /// Plans that were carried out.
    pub plans: u32,
    /// Whether one of them asked everything idle to leave.
    pub swept: bool,
    /// Whether one of them did not give back what was expected.
    pub failed: bool,
}
