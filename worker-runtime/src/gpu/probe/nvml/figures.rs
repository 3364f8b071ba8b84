//! The memory of a device, by whichever call the driver knows.

use nvml_wrapper::Device;
use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};
use shared::byte_size::ByteSize;

use crate::gpu::probe::Memory;

/// The calls of the library that tell the memory of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryCall {
    /// The old one, which counts what the driver reserves as used.
    V1,
    /// The one that tells what is reserved.
    V2,
}

impl MemoryCall {
    pub(super) fn read(self, device: &Device<'_>) -> Result<Memory, NvmlError> {
        match self {
            Self::V1 => v1(device),
            Self::V2 => v2(device),
        }
    }
}

/// The memory of a device.
pub(super) fn memory(device: &Device<'_>) -> Result<Memory, NvmlError> {
    match v2(device) {
        // The first drivers of version 510 have the call and not what is behind it, and old ones of WSL fail in it.
        Err(
            NvmlError::FailedToLoadSymbol(_)
            | NvmlError::FunctionNotFound
            | NvmlError::NotSupported
            | NvmlError::InvalidArg
            | NvmlError::UnexpectedVariant(_)
            | NvmlError::Unknown,
        ) => v1(device),
        told => told,
    }
}

fn v2(device: &Device<'_>) -> Result<Memory, NvmlError> {
    let memory = device.memory_info()?;
    Ok(Memory {
        total: ByteSize::bytes(memory.total),
        reserved: ByteSize::bytes(memory.reserved),
        used: ByteSize::bytes(memory.used),
        free: ByteSize::bytes(memory.free),
    })
}

#[expect(
    unsafe_code,
    reason = "the wrapper loads this call and has no safe function for it"
)]
fn v1(device: &Device<'_>) -> Result<Memory, NvmlError> {
    let call = nvml_sym(device.nvml().lib().nvmlDeviceGetMemoryInfo.as_ref())?;
    // SAFETY: the handle is of this session, and the struct of three numbers is filled by the call.
    let memory = unsafe {
        let mut memory = std::mem::zeroed();
        nvml_try(call(device.handle(), &raw mut memory))?;
        memory
    };
    Ok(Memory {
        total: ByteSize::bytes(memory.total),
        reserved: ByteSize::ZERO,
        used: ByteSize::bytes(memory.used),
        free: ByteSize::bytes(memory.free),
    })
}
