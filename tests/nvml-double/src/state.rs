//! What the double says: the devices, who holds their memory, and which calls fail or are slow.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Return codes of NVML that are scripted by name.
pub mod code {
    /// All is well.
    pub const SUCCESS: u32 = 0;
    /// The library was not initialised.
    pub const UNINITIALIZED: u32 = 1;
    /// An argument is of no use.
    pub const INVALID_ARGUMENT: u32 = 2;
    /// This device cannot do that.
    pub const NOT_SUPPORTED: u32 = 3;
    /// There is no such device.
    pub const NOT_FOUND: u32 = 6;
    /// The caller's list is too short.
    pub const INSUFFICIENT_SIZE: u32 = 7;
    /// The kernel module is not loaded.
    pub const DRIVER_NOT_LOADED: u32 = 9;
    /// The driver's half of this call is missing.
    pub const FUNCTION_NOT_FOUND: u32 = 13;
    /// The device has fallen off the bus.
    pub const GPU_IS_LOST: u32 = 15;
    /// The device must be reset.
    pub const RESET_REQUIRED: u32 = 16;
    /// The library and the kernel module are of different versions.
    pub const LIB_RM_VERSION_MISMATCH: u32 = 18;
    /// No reason given.
    pub const UNKNOWN: u32 = 999;
}

/// All that the double knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Version of the driver.
    pub driver: String,
    /// The devices in the order of their indices.
    pub devices: Vec<Device>,
    /// How calls to no device in particular go, by symbol, as `nvmlInit_v2`.
    pub answers: BTreeMap<String, Answer>,
}

/// One device, or one MIG instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// `GPU-…` or `MIG-…`.
    pub uuid: String,
    /// Model.
    pub name: String,
    /// All memory, in bytes.
    pub total: u64,
    /// What the driver keeps, in bytes; not part of `used`.
    pub reserved: u64,
    /// What is in use, in bytes. More than its processes hold if some are not listed.
    pub used: u64,
    /// Who is listed.
    pub processes: Vec<Process>,
    /// Whether the driver keeps to itself what each process holds, as under Windows.
    pub hides_figures: bool,
    /// Who starts between the question how long the list is and the list itself.
    pub joining: Vec<Process>,
    /// Why its clocks are low: NVML's bits.
    pub throttle_reasons: u64,
    /// In degrees Celsius.
    pub temperature: u32,
    /// MIG instances; MIG is on if there are any.
    pub instances: Vec<Device>,
    /// How every call to this device goes.
    pub always: Answer,
    /// How one call to this device goes, by symbol; comes before `always`.
    pub answers: BTreeMap<String, Answer>,
}

/// One entry in the list of a device's processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Which list it stands in.
    pub list: List,
    /// Process id.
    pub pid: u32,
    /// What it holds, in bytes; absent where the driver does not tell.
    pub used: Option<u64>,
}

/// The three lists of a device's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// Those that compute.
    Compute,
    /// Those that draw.
    Graphics,
    /// Those that compute through the multi-process service.
    Mps,
}

/// How a call goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What it returns. With anything but [`code::SUCCESS`] nothing else is written.
    pub code: u32,
    /// How long it takes, in milliseconds.
    pub delay_ms: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            driver: "580.65.06".to_owned(),
            devices: Vec::new(),
            answers: BTreeMap::new(),
        }
    }
}

impl State {
    /// These devices, all well.
    pub fn with<const N: usize>(devices: [Device; N]) -> Self {
        Self {
            devices: devices.into(),
            ..Self::default()
        }
    }

    /// The same, with one call scripted.
    #[must_use]
    pub fn answering(mut self, symbol: &str, answer: Answer) -> Self {
        self.answers.insert(symbol.to_owned(), answer);
        self
    }

    /// The device, or the instance, of that name.
    pub fn device(&self, uuid: &str) -> Option<&Device> {
        let all = self
            .devices
            .iter()
            .flat_map(|device| std::iter::once(device).chain(&device.instances));
        all.into_iter().find(|device| device.uuid == uuid)
    }

    /// The same, to change it.
    pub fn device_mut(&mut self, uuid: &str) -> Option<&mut Device> {
        let all = self.devices.iter_mut().flat_map(|device| {
            let is_it = device.uuid == uuid;
            match is_it {
                true => vec![device],
                false => device.instances.iter_mut().collect(),
            }
        });
        all.into_iter().find(|device| device.uuid == uuid)
    }
}

impl Device {
    /// A device of that many GiB that nobody uses.
    pub fn idle(uuid: &str, gib: u64) -> Self {
        Self {
            uuid: uuid.to_owned(),
            name: format!("NVIDIA Double {gib} GB"),
            total: gib << 30,
            reserved: 512 << 20,
            used: 0,
            processes: Vec::new(),
            hides_figures: false,
            joining: Vec::new(),
            throttle_reasons: 0,
            temperature: 40,
            instances: Vec::new(),
            always: Answer::default(),
            answers: BTreeMap::new(),
        }
    }

    /// The same, with a process that computes and holds that many bytes.
    #[must_use]
    pub fn with(mut self, pid: u32, bytes: u64) -> Self {
        self.used += bytes;
        self.processes.push(Process::computing(pid, Some(bytes)));
        self
    }

    /// The same, with one call scripted.
    #[must_use]
    pub fn answering(mut self, symbol: &str, answer: Answer) -> Self {
        self.answers.insert(symbol.to_owned(), answer);
        self
    }

    /// Memory that nobody holds, in bytes.
    pub fn free(&self) -> u64 {
        self.total.saturating_sub(self.reserved + self.used)
    }

    /// How a call goes.
    pub fn answer(&self, symbol: &str) -> Answer {
        self.answers.get(symbol).copied().unwrap_or(self.always)
    }
}

impl Process {
    /// One that computes.
    pub fn computing(pid: u32, used: Option<u64>) -> Self {
        Self {
            list: List::Compute,
            pid,
            used,
        }
    }
}

impl Answer {
    /// It fails at once.
    pub fn failure(code: u32) -> Self {
        Self { code, delay_ms: 0 }
    }

    /// It succeeds after that time; hours are a hang.
    pub fn after(delay: Duration) -> Self {
        Self {
            code: code::SUCCESS,
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
