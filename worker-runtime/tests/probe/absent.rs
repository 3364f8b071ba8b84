//! Hosts without a card, or with half a driver.

use nvml_double::state::{Answer, Device, State, code};
use worker_runtime::gpu::probe::nvml::{NvmlOptions, NvmlProbe};
use worker_runtime::gpu::probe::{Fault, GpuProbe};
use worker_runtime::gpu::reading::Health;

use crate::support::{CARD, Host, down, name};

#[test]
fn a_host_without_the_library_has_no_driver() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libnvidia-ml.so.1");
    let nothing = NvmlProbe::new(NvmlOptions {
        library: Some(library),
        ..NvmlOptions::default()
    });
    let fault = nothing.devices().unwrap_err();
    assert!(fault.is_no_driver(), "{fault}");
    let told = fault.to_string();
    assert!(
        told.contains("no NVIDIA driver here") && told.contains("libnvidia-ml.so.1"),
        "{told}"
    );
    assert_eq!(down(&nothing.reading(&name(CARD))), told);
}

#[test]
fn a_file_that_is_no_library_is_no_driver() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libnvidia-ml.so.1");
    std::fs::write(&library, "nothing of the kind").unwrap();
    let nothing = NvmlProbe::new(NvmlOptions {
        library: Some(library),
        ..NvmlOptions::default()
    });
    assert!(nothing.devices().unwrap_err().is_no_driver());
}

#[test]
fn a_library_without_its_driver_is_no_driver_until_it_is_loaded() {
    let unloaded = State::with([Device::idle(CARD, 24)])
        .answering("nvmlInit_v2", Answer::failure(code::DRIVER_NOT_LOADED));
    let host = Host::new(&unloaded, &[], |_| {});
    assert!(host.probe.devices().unwrap_err().is_no_driver());
    host.double
        .set(&State::with([Device::idle(CARD, 24)]))
        .unwrap();
    assert_eq!(host.probe.devices().unwrap().len(), 1);
}

#[test]
fn a_library_that_cannot_even_begin_is_no_driver() {
    let state = State::with([Device::idle(CARD, 24)]);
    let host = Host::new(&state, &["nvmlInit_v2"], |_| {});
    assert!(host.probe.devices().unwrap_err().is_no_driver());
}

#[test]
fn an_unknown_failure_at_the_start_is_told() {
    let state = State::default().answering("nvmlInit_v2", Answer::failure(code::UNKNOWN));
    let host = Host::new(&state, &[], |_| {});
    assert_eq!(host.probe.devices(), Err(Fault::Unexplained));
}

#[test]
fn symbols_that_are_not_needed_may_be_absent() {
    let absent = [
        "nvmlSystemGetDriverVersion",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
    ];
    let state = State::with([Device::idle(CARD, 24)]);
    let host = Host::new(&state, &absent, |_| {});
    assert_eq!(host.probe.devices().unwrap().len(), 1);
    assert_eq!(host.read(CARD).health, Health::Well);
    assert!(host.probe.driver_version().is_err());
}
