//! The C symbols. Those that we ask for and no others: a call of another one fails as it does with an old driver.
#![expect(
    unsafe_code,
    reason = "symbols of C take and fill raw pointers, and the wrapper under test finds them by name"
)]

use std::ffi::{CStr, c_char};
use std::ptr;

use crate::library;
use crate::state::{Device, List, Process, State, code};

/// A figure or an instance that there is not.
const NONE: u32 = u32::MAX;
/// Bytes of a process that the driver does not tell.
const NOT_AVAILABLE: u64 = u64::MAX;
/// Size and number of [`MemoryV2`], without which NVML refuses to fill it.
const MEMORY_V2: u32 = 0x0200_0028;

/// `nvmlMemory_t`
#[repr(C)]
struct Memory {
    total: u64,
    free: u64,
    used: u64,
}

/// `nvmlMemory_v2_t`
#[repr(C)]
struct MemoryV2 {
    version: u32,
    total: u64,
    reserved: u64,
    free: u64,
    used: u64,
}

/// `nvmlProcessInfo_t`
#[repr(C)]
struct ProcessInfo {
    pid: u32,
    used: u64,
    gpu_instance: u32,
    compute_instance: u32,
}

/// Exports functions that answer from the whole state.
macro_rules! general {
    ($(fn $symbol:ident($($argument:ident: $type:ty),*) = |$state:ident| $answer:expr;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $symbol($($argument: $type),*) -> u32 {
            match library::ask(stringify!($symbol)) {
                Ok(state) => {
                    let $state: &State = &state;
                    // SAFETY: the caller's pointers are good, as NVML's own contract asks.
                    unsafe { $answer }
                }
                Err(code) => code,
            }
        }
    )*};
}

/// Exports functions that answer from the state of one device.
macro_rules! of_device {
    ($(fn $symbol:ident($($argument:ident: $type:ty),*) = |$state:ident, $device:ident| $answer:expr;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $symbol(device: usize, $($argument: $type),*) -> u32 {
            match library::ask_device(device, stringify!($symbol)) {
                Ok((state, device)) => {
                    let ($state, $device): (&State, &Device) = (&state, &device);
                    // SAFETY: the caller's pointers are good, as NVML's own contract asks.
                    unsafe { $answer }
                }
                Err(code) => code,
            }
        }
    )*};
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> u32 {
    library::enter("nvmlInit_v2")
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInitWithFlags(_flags: u32) -> u32 {
    library::enter("nvmlInitWithFlags")
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> u32 {
    library::leave()
}

general! {
    fn nvmlSystemGetDriverVersion(text: *mut c_char, length: u32) = |state| put_text(text, length, &state.driver);
    fn nvmlDeviceGetCount_v2(count: *mut u32) = |state| put(count, length(&state.devices));
    fn nvmlDeviceGetHandleByIndex_v2(index: u32, handle: *mut usize) = |state| {
        put_handle(handle, state.devices.get(index as usize))
    };
    fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, handle: *mut usize) = |state| {
        let uuid = CStr::from_ptr(uuid).to_string_lossy();
        put_handle(handle, state.device(&uuid))
    };
}

of_device! {
    fn nvmlDeviceGetUUID(text: *mut c_char, length: u32) = |_state, device| put_text(text, length, &device.uuid);
    fn nvmlDeviceGetName(text: *mut c_char, length: u32) = |_state, device| put_text(text, length, &device.name);
    fn nvmlDeviceGetIndex(index: *mut u32) = |state, device| {
        match state.devices.iter().position(|other| other.uuid == device.uuid) {
            Some(place) => put(index, u32::try_from(place).unwrap_or(NONE)),
            None => code::NOT_FOUND,
        }
    };
    fn nvmlDeviceGetMemoryInfo(memory: *mut Memory) = |_state, device| {
        let used = device.used + device.reserved;
        put(memory, Memory { total: device.total, free: device.free(), used })
    };
    fn nvmlDeviceGetMemoryInfo_v2(memory: *mut MemoryV2) = |_state, device| {
        if memory.is_null() || (*memory).version != MEMORY_V2 {
            return code::INVALID_ARGUMENT;
        }
        let &Device { total, reserved, used, .. } = device;
        put(memory, MemoryV2 { version: MEMORY_V2, total, reserved, free: device.free(), used })
    };
    fn nvmlDeviceGetComputeRunningProcesses_v3(count: *mut u32, list: *mut ProcessInfo) = |_state, device| {
        put_list(count, list, device, List::Compute)
    };
    fn nvmlDeviceGetGraphicsRunningProcesses_v3(count: *mut u32, list: *mut ProcessInfo) = |_state, device| {
        put_list(count, list, device, List::Graphics)
    };
    fn nvmlDeviceGetMPSComputeRunningProcesses_v3(count: *mut u32, list: *mut ProcessInfo) = |_state, device| {
        put_list(count, list, device, List::Mps)
    };
    fn nvmlDeviceGetTemperature(_sensor: u32, degrees: *mut u32) = |_state, device| put(degrees, device.temperature);
    fn nvmlDeviceGetCurrentClocksThrottleReasons(reasons: *mut u64) = |_state, device| {
        put(reasons, device.throttle_reasons)
    };
    fn nvmlDeviceGetMigMode(now: *mut u32, pending: *mut u32) = |_state, device| {
        let on = u32::from(!device.instances.is_empty());
        put(now, on).max(put(pending, on))
    };
    fn nvmlDeviceGetMaxMigDeviceCount(count: *mut u32) = |_state, device| put(count, length(&device.instances));
    fn nvmlDeviceGetMigDeviceHandleByIndex(index: u32, handle: *mut usize) = |_state, device| {
        put_handle(handle, device.instances.get(index as usize))
    };
}

/// Fills one field of the caller.
///
/// # Safety
/// `place` is null or may be written.
unsafe fn put<T>(place: *mut T, value: T) -> u32 {
    if place.is_null() {
        return code::INVALID_ARGUMENT;
    }
    // SAFETY: as this function asks.
    unsafe { place.write(value) };
    code::SUCCESS
}

/// Gives the caller a handle of a device.
///
/// # Safety
/// `place` is null or may be written.
unsafe fn put_handle(place: *mut usize, device: Option<&Device>) -> u32 {
    match device {
        // SAFETY: as this function asks.
        Some(device) => unsafe { put(place, library::handle_of(&device.uuid)) },
        None => code::NOT_FOUND,
    }
}

/// Fills a text of the caller, of which `length` bytes may be written.
///
/// # Safety
/// `place` is null or may be written that far.
unsafe fn put_text(place: *mut c_char, length: u32, text: &str) -> u32 {
    if place.is_null() {
        return code::INVALID_ARGUMENT;
    }
    if text.len() >= length as usize {
        return code::INSUFFICIENT_SIZE;
    }
    // SAFETY: as this function asks; the text and its end are within the length.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), place.cast(), text.len());
        place.add(text.len()).write(0);
    }
    code::SUCCESS
}

/// Fills a list of the caller, or says how long it would have to be.
///
/// # Safety
/// `count` is null or may be read and written; `list` is null or holds as many entries as `count` says.
unsafe fn put_list(count: *mut u32, list: *mut ProcessInfo, device: &Device, which: List) -> u32 {
    if count.is_null() {
        return code::INVALID_ARGUMENT;
    }
    // SAFETY: as this function asks.
    let room = if list.is_null() { 0 } else { unsafe { *count } };
    // Who only asks how many there are is not told of those that join before the list is read.
    let joining = if room == 0 { &[][..] } else { &device.joining };
    let entries: Vec<&Process> = device
        .processes
        .iter()
        .chain(joining)
        .filter(|process| process.list == which)
        .collect();
    // SAFETY: as this function asks.
    unsafe { count.write(length(&entries)) };
    if entries.len() > room as usize {
        return code::INSUFFICIENT_SIZE;
    }
    for (place, process) in entries.iter().enumerate() {
        let entry = ProcessInfo {
            pid: process.pid,
            used: process
                .used
                .filter(|_| !device.hides_figures)
                .unwrap_or(NOT_AVAILABLE),
            gpu_instance: NONE,
            compute_instance: NONE,
        };
        // SAFETY: there is room for all of them.
        unsafe { list.add(place).write(entry) };
    }
    code::SUCCESS
}

fn length<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}
