//! What `admit` is told beside the request: the device with the backends on it, and what was promised.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::JobId;

use crate::gpu::ledger::{BackendId, BackendKind, Entry, State};
use crate::gpu::reading::DeviceReading;

/// One device with our backends on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// What was read; absent when nothing could be.
    pub reading: Option<DeviceReading>,
    /// Our backends on it.
    pub backends: Vec<Backend>,
}

impl Device {
    /// What stays with that backend when everything is unloaded.
    pub(super) fn residue(&self, backend: &BackendId) -> ByteSize {
        self.backends
            .iter()
            .find(|it| it.id == *backend)
            .map_or(ByteSize::ZERO, |it| it.residue)
    }
}

/// One serving process of ours (or a group of them).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Which.
    pub id: BackendId,
    /// How its models share memory.
    pub kind: BackendKind,
    /// Its processes, where they are known.
    pub pids: Vec<u32>,
    /// Whether it answers.
    pub live: bool,
    /// Device memory that it says it holds: a lower bound.
    pub reported: Option<ByteSize>,
    /// Device memory that stays with it when everything is unloaded, at least; learned. Nothing as long as it has not used
    /// the device.
    pub residue: ByteSize,
}

/// What was promised on this host, and who waits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Books {
    /// Entries of this device.
    pub entries: Vec<Booked>,
    /// Entries of all other devices of the host, and of work without a device.
    pub elsewhere: Vec<Booked>,
    /// Host memory that our backends hold, all of them on this host, where it is known.
    pub ram_held: BTreeMap<BackendId, ByteSize>,
    /// Requests that come before this one, first come first.
    pub ahead: Vec<Waiting>,
    /// How long ago a promise on this device last became smaller.
    pub lowered: Option<Duration>,
    /// Files that cannot be read. What they promise is not known.
    pub unreadable: Vec<String>,
}

/// One entry as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct Booked {
    /// What is written down.
    pub entry: Entry,
    /// Its owner is gone.
    pub orphaned: bool,
    /// How long it has been in its state.
    pub age: Duration,
}

impl Booked {
    /// Whether its backend may still allocate for it.
    pub fn is_active(&self) -> bool {
        match self.entry.state {
            State::Claim { .. } | State::Job | State::Settling { .. } => true,
            State::Resident { .. } => false,
        }
    }

    /// Whether its job is, or will be, in the backend's own queue.
    pub fn is_in_line(&self) -> bool {
        match self.entry.state {
            State::Claim { .. } | State::Job => true,
            State::Settling { .. } | State::Resident { .. } => false,
        }
    }
}

/// A request that comes before this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its job.
    pub job: JobId,
    /// How long it has waited.
    pub waited: Duration,
}
