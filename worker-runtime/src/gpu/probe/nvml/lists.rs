//! Which processes the driver lists on a device. Each list costs milliseconds, in which other users of the card wait.

use nvml_wrapper::Device;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use shared::byte_size::ByteSize;

use crate::gpu::probe::trust::{Figures, add};

/// All lists of a device as one. [`NvmlError::InsufficientSize`] means that a list grew while it was read.
pub(super) fn figures(device: &Device<'_>) -> Result<Figures, NvmlError> {
    let mut figures = Figures::new();
    let computing = device.running_compute_processes()?;
    let drawing = if_there(device.running_graphics_processes())?;
    // Behind the service that several processes compute through. Empty without it.
    let sharing = if_there(device.mps_running_compute_processes())?;
    for process in computing.iter().chain(&drawing).chain(&sharing) {
        let used = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(ByteSize::bytes(bytes)),
            UsedGpuMemory::Unavailable => None,
        };
        add(&mut figures, process.pid, used);
    }
    Ok(figures)
}

/// Not every driver and device has every list.
fn if_there(list: Result<Vec<ProcessInfo>, NvmlError>) -> Result<Vec<ProcessInfo>, NvmlError> {
    match list {
        Err(
            NvmlError::NotSupported
            | NvmlError::FailedToLoadSymbol(_)
            | NvmlError::FunctionNotFound,
        ) => Ok(Vec::new()),
        list => list,
    }
}
