//! The command on hosts with and without a card.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it like the test itself"
)]

use std::path::Path;
use std::process::Command;

#[cfg(unix)]
use nvml_double::{
    install::Double,
    state::{Device, State},
};

/// What it says with the library in this folder.
fn said(folder: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_gpu-check"))
        .args(["--times", "3", "--library"])
        .arg(folder.join("libnvidia-ml.so.1"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_host_without_a_driver_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let said = said(folder.path());
    assert!(said.starts_with("there is no NVIDIA driver here"), "{said}");
}

// The stand-in finds its state beside itself, which it knows to do on Unix.
#[cfg(unix)]
#[test]
fn a_card_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let card = Device::idle("GPU-1", 24).with(std::process::id(), 6 << 30);
    Double::install(folder.path(), &State::with([card])).unwrap();
    let said = said(folder.path());
    for line in [
        "driver 580.65.06, devices: 1",
        "NVIDIA Double 24 GB, GPU-1",
        "reading for a decision",
        "memory by V2: total 24.0 GiB, free 17.5 GiB, used 6.0 GiB, reserved 512.0 MiB; free + used + reserved: 0 B apart",
        "processes: 1, holding 6.0 GiB, while 6.0 GiB are in use: 0 B apart",
        "a job of 9.6 GiB is admitted",
        "another of 10.5 GiB waits: ",
        "it is admitted once the first is given up",
        "one of 48.0 GiB is refused: ",
    ] {
        assert!(said.contains(line), "{line}\nis not in\n{said}");
    }
}
