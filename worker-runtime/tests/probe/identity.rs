//! Which devices there are, and that a name stays with its device.

use nvml_double::state::{Device, State};
use worker_runtime::gpu::probe::GpuProbe;
use worker_runtime::gpu::reading::{Health, Holders};

use crate::support::{CARD, Host, NEVER, OTHER, gib, holders, name};

fn both() -> [Device; 2] {
    [
        Device::idle(CARD, 24).with(std::process::id(), gib(6)),
        Device::idle(OTHER, 12),
    ]
}

#[test]
fn a_reading_says_what_the_card_says() {
    let host = Host::with(both());
    let reading = host.read(CARD);
    assert_eq!(reading.uuid, name(CARD));
    assert_eq!(reading.name, "NVIDIA Double 24 GB");
    let figures = [reading.total, reading.reserved, reading.used, reading.free];
    let figures = figures.map(|figure| figure.as_bytes() >> 20);
    assert_eq!(figures, [24 * 1024, 512, 6 * 1024, 18 * 1024 - 512]);
    assert_eq!(holders(&reading), [(std::process::id(), 6)]);
    assert_eq!(reading.health, Health::Well);
    assert!(reading.age < NEVER);
    assert_eq!(host.probe.driver_version().unwrap(), "580.65.06");
}

#[test]
fn a_holder_that_runs_here_is_named() {
    let host = Host::with(both());
    let Holders::Known(holders) = host.read(CARD).holders else {
        panic!("the holders are known");
    };
    assert!(holders[0].program.is_some());
}

#[test]
fn a_card_keeps_its_name_when_the_order_changes() {
    let host = Host::with(both());
    assert_eq!([CARD, OTHER].map(|uuid| host.free_gib(uuid)), [17, 11]);
    host.double.update(|state| state.devices.reverse()).unwrap();
    assert_eq!([CARD, OTHER].map(|uuid| host.free_gib(uuid)), [17, 11]);
    let found = host.probe.devices().unwrap();
    let order: Vec<_> = found.iter().map(|device| device.uuid.0.as_str()).collect();
    assert_eq!(order, [OTHER, CARD]);
}

#[test]
fn a_divided_card_is_its_instances() {
    const INSTANCE: &str = "MIG-00000000-0000-0000-0000-000000000003";
    let divided = Device {
        instances: vec![Device::idle(INSTANCE, 10).with(7, gib(4))],
        ..Device::idle(CARD, 80)
    };
    let host = Host::with([divided, Device::idle(OTHER, 12)]);
    let found = host.probe.devices().unwrap();
    let names: Vec<_> = found.iter().map(|device| device.uuid.0.as_str()).collect();
    assert_eq!(names, [INSTANCE, OTHER]);
    assert_eq!(holders(&host.read(INSTANCE)), [(7, 4)]);
}

#[test]
fn a_host_can_have_a_driver_and_no_card() {
    let host = Host::new(&State::default(), &[], |_| {});
    assert_eq!(host.probe.devices(), Ok(Vec::new()));
}
