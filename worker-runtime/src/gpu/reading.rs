//! What the probe saw of a device and of the host, with its age. Data only: nothing here reads anything.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;

/// NVML's name of a device, or of a MIG instance of one: `GPU-…` or `MIG-…`. The same after a restart, unlike its index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceUuid(pub String);

impl fmt::Display for DeviceUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One device, as it was seen in one reading.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceReading {
    /// Which device.
    pub uuid: DeviceUuid,
    /// Model name, as `NVIDIA GeForce RTX 4090`.
    pub name: String,
    /// All its memory, in bytes, as NVML counts it.
    pub total: ByteSize,
    /// What the driver keeps for itself, in bytes.
    pub reserved: ByteSize,
    /// Memory in use, in bytes. NVIDIA's texts disagree on whether `reserved` is part of it: never derive `free` from it.
    pub used: ByteSize,
    /// Memory that nobody holds now, in bytes.
    pub free: ByteSize,
    /// Which process holds how much.
    pub holders: Holders,
    /// Whether the device can be given work.
    pub health: Health,
    /// How old the reading is at the moment of the decision.
    pub age: Duration,
}

/// Which process holds how much of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holders {
    /// Figures that passed the trust test.
    Known(Vec<Holder>),
    /// There are none, or they cannot be believed; why, for a person.
    Unknown(String),
}

/// One process that holds memory of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, as this host counts them.
    pub pid: u32,
    /// Its program's name, where it can be read.
    pub program: Option<String>,
    /// What it holds, in bytes.
    pub used: ByteSize,
}

/// Whether a device can be given work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Well,
    /// It works, but should be given nothing new for now: too hot, braked, memory still moving while it was read.
    Unsettled(String),
    /// It cannot be used before something is done; what is wrong and what to do.
    Down(String),
}

/// The host, as it was seen in one reading.
#[derive(Debug, Clone, PartialEq)]
pub struct HostReading {
    /// Memory that this process may use at most, in bytes: the machine's, or its container's limit.
    pub ram_total: ByteSize,
    /// Memory that can be had without swapping, in bytes.
    pub ram_available: ByteSize,
    /// Processors that this process may use.
    pub cores: u32,
    /// The idle share of them over the last seconds, from 0 to 1; absent until it was measured twice.
    pub cpu_idle: Option<f64>,
    /// How old the reading is at the moment of the decision.
    pub age: Duration,
}
