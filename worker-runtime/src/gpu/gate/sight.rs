//! What is to be seen before anything is decided.

use std::collections::BTreeMap;
use std::fmt;

use shared::byte_size::ByteSize;

use crate::gpu::admit::Backend;
use crate::gpu::ledger::{BackendId, BootTime};
use crate::gpu::reading::{DeviceReading, HostReading};

/// Where a gate gets its readings. At times called while the host's other workers wait for the decision: it answers within
/// milliseconds, or with the last reading and its age.
pub trait Sight: fmt::Debug + Send + Sync {
    /// What is to be seen now.
    fn look(&self) -> Seen;

    /// The same where nothing is decided by it and nothing runs: it may cost less and tell the holders of a moment ago, as
    /// long as free memory has not moved since.
    fn glance(&self) -> Seen {
        self.look()
    }

    /// What time it is.
    fn now(&self) -> BootTime {
        BootTime::now()
    }
}

/// What is to be seen of a device, its host and the backends of this worker.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The device.
    pub device: Option<DeviceReading>,
    /// The host.
    pub host: Option<HostReading>,
    /// This worker's backends on the device.
    pub backends: Vec<Backend>,
    /// Host memory that our backends hold, where it is known.
    pub ram_held: BTreeMap<BackendId, ByteSize>,
}

/// What was seen, and when.
pub(super) struct Looked {
    pub(super) seen: Seen,
    pub(super) at: BootTime,
}

impl Looked {
    /// The same as it stands now.
    pub(super) fn at(self, now: BootTime) -> Seen {
        let since = now.since(self.at);
        let mut seen = self.seen;
        if let Some(device) = &mut seen.device {
            device.age += since;
        }
        if let Some(host) = &mut seen.host {
            host.age += since;
        }
        seen
    }
}
