//! A host with made-up cards.

use std::time::Duration;

use nvml_double::install::Double;
use nvml_double::state::{Device, State};
use shared::byte_size::ByteSize;
use tempfile::TempDir;
use worker_runtime::gpu::probe::GpuProbe;
use worker_runtime::gpu::probe::nvml::{NvmlOptions, NvmlProbe};
use worker_runtime::gpu::reading::{DeviceReading, DeviceUuid, Health, Holders};

/// The card of most tests, of 24 GiB.
pub(crate) const CARD: &str = "GPU-00000000-0000-0000-0000-000000000001";
/// Another one, of 12 GiB.
pub(crate) const OTHER: &str = "GPU-00000000-0000-0000-0000-000000000002";
/// Long enough to happen never, where something must not happen again.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

/// A host, and a probe that looks at it.
pub(crate) struct Host {
    pub(crate) double: Double,
    pub(crate) probe: NvmlProbe,
    _folder: TempDir,
}

impl Host {
    /// With these cards; everything that failed is tried again at once.
    pub(crate) fn with<const N: usize>(devices: [Device; N]) -> Self {
        Self::new(&State::with(devices), &[], |_| {})
    }

    /// That says this, lacks these symbols, and is read with other options than those of [`Host::with`].
    pub(crate) fn new(
        state: &State,
        absent: &[&str],
        change: impl FnOnce(&mut NvmlOptions),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let double = Double::install_without(absent, folder.path(), state).unwrap();
        let mut options = NvmlOptions {
            library: Some(double.library().to_owned()),
            renew_after: Duration::ZERO,
            reopen_after: Duration::ZERO,
            distrust_for: Duration::ZERO,
            rest_for: Duration::ZERO,
        };
        change(&mut options);
        Self {
            double,
            probe: NvmlProbe::new(options),
            _folder: folder,
        }
    }

    /// Changes a card.
    pub(crate) fn change(&self, uuid: &str, change: impl FnOnce(&mut Device)) {
        let changed = self
            .double
            .update(|state| change(state.device_mut(uuid).unwrap()));
        changed.unwrap();
    }

    /// Reads a card.
    pub(crate) fn read(&self, uuid: &str) -> DeviceReading {
        self.probe.reading(&name(uuid))
    }

    /// What is free on a card, in GiB.
    pub(crate) fn free_gib(&self, uuid: &str) -> u64 {
        let memory = self.probe.memory(&name(uuid)).unwrap();
        memory.free.as_bytes() >> 30
    }
}

pub(crate) fn name(uuid: &str) -> DeviceUuid {
    DeviceUuid(uuid.to_owned())
}

pub(crate) fn gib(count: u64) -> u64 {
    ByteSize::gib(count).as_bytes()
}

/// Who holds what, in GiB.
pub(crate) fn holders(reading: &DeviceReading) -> Vec<(u32, u64)> {
    match &reading.holders {
        Holders::Known(holders) => holders
            .iter()
            .map(|holder| (holder.pid, holder.used.as_bytes() >> 30))
            .collect(),
        Holders::Unknown(why) => panic!("the holders are not known: {why}"),
    }
}

/// Why it is not known who holds what.
pub(crate) fn unknown(reading: &DeviceReading) -> &str {
    match &reading.holders {
        Holders::Unknown(why) => why,
        Holders::Known(holders) => panic!("they are known: {holders:?}"),
    }
}

/// Why a card cannot be used.
pub(crate) fn down(reading: &DeviceReading) -> &str {
    match &reading.health {
        Health::Down(why) => why,
        health => panic!("it is {health:?}"),
    }
}
