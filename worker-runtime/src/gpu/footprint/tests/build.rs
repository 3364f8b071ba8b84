//! What the tests are made of.

use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::profile::{DeviceMemory, ResourceRequest};
use shared::time::Timestamp;

use crate::gpu::admit::Need;
use crate::gpu::footprint::{DeviceModel, End, Extent, Key, Sample, Start};

/// Walks of a law, and steps of a walk.
pub(super) const WALKS: u64 = 200;
pub(super) const STEPS: u64 = 150;

pub(super) const WAN: DeviceMemory = DeviceMemory {
    load: ByteSize::gib(18),
    peak: ByteSize::gib(21),
    spike: ByteSize::gib(23),
};
pub(super) const TOTAL: ByteSize = ByteSize::gib(24);
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000);
pub(super) const DRIFT: ByteSize = ByteSize::mib(256);

pub(super) fn gib(tenths: u64) -> ByteSize {
    ByteSize::mib(tenths * 1024 / 10)
}

pub(super) fn percent(amount: ByteSize, hundredths: u64) -> ByteSize {
    ByteSize::bytes(amount.as_bytes() * hundredths / 100)
}

/// A scene that began with nothing loaded and came to hold so many tenths of a GiB.
pub(super) fn scene(held: u64) -> Sample {
    Sample {
        end: End::Finished,
        start: Start::Empty,
        free_before: gib(235),
        lowest_free: gib(235u64.saturating_sub(held)),
        highest_held: Some(gib(held)),
        resident: None,
        foreign_rise: ByteSize::ZERO,
        run: Duration::from_secs(50),
        load: Some(Duration::from_secs(45)),
        clocks_normal: true,
    }
}

/// The same on a card of 48 GiB, where it need not be modest.
pub(super) fn roomy_scene(held: u64) -> Sample {
    Sample {
        free_before: gib(470),
        lowest_free: gib(470 - held),
        ..scene(held)
    }
}

pub(super) fn ran_out(held: u64) -> Sample {
    Sample {
        end: End::OutOfMemory,
        ..scene(held)
    }
}

pub(super) fn many(sample: &Sample, count: usize) -> Vec<Sample> {
    vec![sample.clone(); count]
}

pub(super) fn card(name: &str, gib: u64) -> DeviceModel {
    DeviceModel {
        name: name.to_owned(),
        total: ByteSize::gib(gib),
    }
}

pub(super) fn key(device: &DeviceModel) -> Key {
    let extent = Extent {
        width: 832,
        height: 480,
        frames: 81,
    };
    Key::new("wan".parse().unwrap(), device.clone(), extent)
}

pub(super) fn declared() -> ResourceRequest {
    ResourceRequest {
        device: Some(WAN),
        ram: ByteSize::gib(20),
        threads: 0,
    }
}

pub(super) fn memory(need: Need) -> DeviceMemory {
    match need {
        Need::Device { memory, .. } => memory,
        need @ (Need::Unknown | Need::Host { .. }) => panic!("{need:?}"),
    }
}

pub(super) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
