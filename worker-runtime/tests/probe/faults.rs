//! What breaks, and how it mends.

use nvml_double::state::{Answer, Device, State, code};
use worker_runtime::gpu::probe::{Fault, GpuProbe};
use worker_runtime::gpu::reading::Health;

use crate::support::{CARD, Host, NEVER, OTHER, down, gib, name};

fn cards() -> [Device; 2] {
    [
        Device::idle(CARD, 24).with(7, gib(6)),
        Device::idle(OTHER, 12),
    ]
}

fn fail(host: &Host, code: u32) {
    host.change(CARD, |card| card.always = Answer::failure(code));
}

fn fault(host: &Host) -> Fault {
    host.probe.memory(&name(CARD)).unwrap_err()
}

#[test]
fn a_lost_card_is_down_and_the_others_go_on() {
    let host = Host::with(cards());
    fail(&host, code::GPU_IS_LOST);
    assert!(down(&host.read(CARD)).contains("fallen off the bus"));
    assert_eq!(fault(&host), Fault::Lost);
    assert_eq!(host.read(OTHER).health, Health::Well);
    let found = host.probe.devices().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].uuid, name(OTHER));
}

#[test]
fn each_fault_is_told_with_what_to_do_and_goes_when_it_goes() {
    let table = [
        (code::GPU_IS_LOST, "power"),
        (code::RESET_REQUIRED, "nvidia-smi --gpu-reset"),
        (code::LIB_RM_VERSION_MISMATCH, "reload its kernel module"),
        (code::UNKNOWN, "create it anew"),
        (code::DRIVER_NOT_LOADED, "no NVIDIA driver"),
    ];
    for (code, what_to_do) in table {
        let host = Host::with(cards());
        fail(&host, code);
        let reading = host.read(CARD);
        assert!(down(&reading).contains(what_to_do), "{reading:?}");
        fail(&host, code::SUCCESS);
        assert_eq!(host.read(CARD).health, Health::Well);
        assert_eq!(host.free_gib(CARD), 17);
    }
}

#[test]
fn a_card_that_only_a_new_session_sees_again_is_found_in_it() {
    let host = Host::with(cards());
    assert_eq!(host.free_gib(CARD), 17);
    host.double
        .update(|state| state.devices.retain(|device| device.uuid != CARD))
        .unwrap();
    assert_eq!(fault(&host), Fault::NotFound);
    // As after a reset: at another place in the order.
    host.double
        .update(|state| state.devices.push(cards()[0].clone()))
        .unwrap();
    assert_eq!(host.free_gib(CARD), 17);
}

#[test]
fn lost_then_another_version_then_unloaded_then_back() {
    let host = Host::with(cards());
    assert_eq!(host.free_gib(CARD), 17);
    fail(&host, code::GPU_IS_LOST);
    assert_eq!(fault(&host), Fault::Lost);
    let opening = |code| {
        let opened = |state: &mut State| {
            let answer = Answer::failure(code);
            state.answers.insert("nvmlInit_v2".to_owned(), answer);
        };
        host.double.update(opened).unwrap();
    };
    opening(code::LIB_RM_VERSION_MISMATCH);
    assert_eq!(fault(&host), Fault::Mismatch);
    opening(code::DRIVER_NOT_LOADED);
    assert!(fault(&host).is_no_driver());
    opening(code::SUCCESS);
    assert_eq!(fault(&host), Fault::Lost);
    fail(&host, code::SUCCESS);
    assert_eq!(host.free_gib(CARD), 17);
}

#[test]
fn a_replaced_driver_is_left_alone_for_a_while() {
    let mismatch = State::with(cards()).answering(
        "nvmlInit_v2",
        Answer::failure(code::LIB_RM_VERSION_MISMATCH),
    );
    let host = Host::new(&mismatch, &[], |options| options.reopen_after = NEVER);
    assert_eq!(fault(&host), Fault::Mismatch);
    // It would work again, but is not tried.
    host.double.set(&State::with(cards())).unwrap();
    assert_eq!(fault(&host), Fault::Mismatch);
    assert!(down(&host.read(CARD)).contains("kernel module"));
}

#[test]
fn a_lost_card_does_not_make_us_open_the_library_at_every_look() {
    let host = Host::new(&State::with(cards()), &[], |options| {
        options.renew_after = NEVER;
    });
    fail(&host, code::GPU_IS_LOST);
    assert_eq!(fault(&host), Fault::Lost);
    // Whoever opened it now would see this.
    let unloaded = |state: &mut State| {
        let answer = Answer::failure(code::DRIVER_NOT_LOADED);
        state.answers.insert("nvmlInit_v2".to_owned(), answer);
    };
    host.double.update(unloaded).unwrap();
    assert_eq!(fault(&host), Fault::Lost);
    assert_eq!(host.free_gib(OTHER), 11);
}
