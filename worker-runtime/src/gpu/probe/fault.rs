//! Why a device cannot be read, in words that say what to do.

use std::time::Duration;

use nvml_wrapper::error::NvmlError;
use shared::byte_size::ByteSize;

use crate::gpu::reading::{DeviceReading, DeviceUuid, Health, Holders};

/// Why a device cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The library or the driver is not there.
    #[error("there is no NVIDIA driver here ({0})")]
    NoDriver(String),
    /// The library belongs to another version of the driver.
    #[error(
        "the NVIDIA driver was replaced while it was loaded: restart the machine or reload its kernel module"
    )]
    Mismatch,
    /// It does not answer any more.
    #[error(
        "the device has fallen off the bus: if it does not come back, restart the machine and look after its power and seat"
    )]
    Lost,
    /// It waits for a reset.
    #[error(
        "the device must be reset: stop what uses it and run `nvidia-smi --gpu-reset`, or restart the machine"
    )]
    ResetRequired,
    /// It is not among those that the driver knows.
    #[error("there is no such device now")]
    NotFound,
    /// It has no memory that the driver counts.
    #[error(
        "the driver does not tell how much memory the device has; it may share that of the host"
    )]
    NotTold,
    /// The driver fails and does not say why.
    #[error(
        "the driver fails without a reason; in a container this mostly means that it has lost its devices: create it anew"
    )]
    Unexplained,
    /// Anything else.
    #[error("the driver answers: {0}")]
    Other(String),
}

impl Fault {
    /// Whether this is simply a host without a card.
    pub fn is_no_driver(&self) -> bool {
        matches!(self, Self::NoDriver(_))
    }

    /// Whether opening the library anew may mend it.
    pub(super) fn may_be_mended(&self) -> bool {
        match self {
            Self::NoDriver(_)
            | Self::Mismatch
            | Self::Lost
            | Self::ResetRequired
            | Self::NotFound
            | Self::Unexplained => true,
            Self::NotTold | Self::Other(_) => false,
        }
    }

    /// A device that could not be read, as a reading: there is nothing on it to be had, and why.
    pub(super) fn reading(&self, device: &DeviceUuid) -> DeviceReading {
        DeviceReading {
            uuid: device.clone(),
            name: String::new(),
            total: ByteSize::ZERO,
            reserved: ByteSize::ZERO,
            used: ByteSize::ZERO,
            free: ByteSize::ZERO,
            holders: Holders::Unknown(self.to_string()),
            health: Health::Down(self.to_string()),
            age: Duration::ZERO,
        }
    }
}

impl From<NvmlError> for Fault {
    fn from(error: NvmlError) -> Self {
        match error {
            NvmlError::LibloadingError(error) => Self::NoDriver(error.to_string()),
            NvmlError::DriverNotLoaded | NvmlError::LibraryNotFound | NvmlError::Uninitialized => {
                Self::NoDriver(error.to_string())
            }
            NvmlError::LibRmVersionMismatch => Self::Mismatch,
            NvmlError::GpuLost | NvmlError::IrqIssue => Self::Lost,
            NvmlError::ResetRequired => Self::ResetRequired,
            // What NVML says of a handle that it has forgotten, as after a change of MIG instances.
            NvmlError::NotFound | NvmlError::InvalidArg => Self::NotFound,
            NvmlError::NotSupported => Self::NotTold,
            NvmlError::Unknown => Self::Unexplained,
            error => Self::Other(error.to_string()),
        }
    }
}
