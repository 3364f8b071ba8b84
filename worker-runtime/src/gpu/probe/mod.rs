//! Reads the devices and the host. What a reading means for a job is decided in `admit`; nothing here judges that.
//!
//! A device is read in two ways. Its memory alone costs microseconds: a [`Sampler`](sampler::Sampler) takes it several times
//! a second. Who holds the memory costs milliseconds and makes other users of the card wait: that is read for a decision only.

pub mod fault;
#[cfg(test)]
mod fixed;
pub mod host;
pub mod memory;
pub mod nvml;
pub mod sampler;
mod trust;

use std::fmt;

pub use self::fault::Fault;
pub use self::memory::Memory;
use crate::gpu::reading::{DeviceReading, DeviceUuid};

/// Field of the log: NVML's name of a device.
const GPU_UUID: &str = "gpu.uuid";

/// Reads devices. Its calls block, and with a sick card they may never end: not for the async threads.
pub trait GpuProbe: fmt::Debug + Send + Sync {
    /// The devices that can be used: MIG instances in place of the device that they are parts of.
    ///
    /// # Errors
    /// If there is no driver ([`Fault::is_no_driver`]: a host without a card, which is nothing bad), or it does not work.
    fn devices(&self) -> Result<Vec<FoundDevice>, Fault>;

    /// The memory of a device, without who holds it.
    ///
    /// # Errors
    /// If it cannot be told now.
    fn memory(&self, device: &DeviceUuid) -> Result<Memory, Fault>;

    /// Everything about a device.
    fn reading(&self, device: &DeviceUuid) -> DeviceReading;
}

/// A device that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDevice {
    /// Its name for us.
    pub uuid: DeviceUuid,
    /// Its model, for people.
    pub name: String,
}
