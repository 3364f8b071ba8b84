//! What each reading costs.
#![expect(
    clippy::print_stdout,
    reason = "a program of the command line speaks to its user"
)]

use std::time::{Duration, Instant};

use nvml_wrapper::{Device, Nvml};
use worker_runtime::gpu::probe::GpuProbe;
use worker_runtime::gpu::probe::host::HostProbe;
use worker_runtime::gpu::probe::nvml::{MemoryCall, NvmlProbe};
use worker_runtime::gpu::reading::DeviceUuid;

/// Shows what the readings of the host cost.
pub(crate) fn of_host(times: u32) {
    match HostProbe::new() {
        Ok(mut host) => show("memory and processors of the host", times, || {
            host.read();
            true
        }),
        Err(why) => println!("  the host cannot be read: {why}"),
    }
}

/// Shows what the readings of a device cost: as a worker makes them, and call by call.
pub(crate) fn of_device(probe: &NvmlProbe, nvml: &Nvml, uuid: &DeviceUuid, times: u32) {
    show("reading for a decision", times, || {
        probe.reading(uuid);
        true
    });
    show("reading of the memory", times, || {
        probe.memory(uuid).is_ok()
    });
    show("  its call v2", times, || {
        probe.memory_by(uuid, MemoryCall::V2).is_ok()
    });
    show("  its call v1", times, || {
        probe.memory_by(uuid, MemoryCall::V1).is_ok()
    });
    let call = |what: &str, call: fn(&Device<'_>) -> bool| {
        let device = nvml.device_by_uuid(uuid.0.as_str());
        show(what, times, || device.as_ref().is_ok_and(call));
    };
    show("  finding the device by its name", times, || {
        nvml.device_by_uuid(uuid.0.as_str()).is_ok()
    });
    call("  list of those that compute", |device| {
        device.running_compute_processes().is_ok()
    });
    call("  list of those that draw", |device| {
        device.running_graphics_processes().is_ok()
    });
    call("  list of those behind MPS", |device| {
        device.mps_running_compute_processes().is_ok()
    });
    call("  why its clocks are low", |device| {
        device.current_throttle_reasons().is_ok()
    });
}

/// Measures something that often, and shows how long it took.
pub(crate) fn show(what: &str, times: u32, mut reading: impl FnMut() -> bool) {
    let mut all: Vec<Duration> = Vec::new();
    for _ in 0..times {
        let began = Instant::now();
        if !reading() {
            println!("  {what:<36} fails");
            return;
        }
        all.push(began.elapsed());
    }
    all.sort_unstable();
    let at = |share: usize| micros(all[(all.len() - 1) * share / 100]);
    println!(
        "  {what:<36} {:>10} median {:>10} at 95 % {:>10} at most",
        at(50),
        at(95),
        at(100)
    );
}

fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}
