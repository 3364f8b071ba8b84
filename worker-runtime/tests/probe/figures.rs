//! What drivers say of memory and of processes when they do not say it all.

use nvml_double::state::{Answer, Device, List, Process, State, code};
use worker_runtime::gpu::probe::GpuProbe;
use worker_runtime::gpu::probe::nvml::MemoryCall;
use worker_runtime::gpu::reading::Health;

use crate::support::{CARD, Host, NEVER, gib, holders, name, unknown};

const COMFY: u32 = 4_000_001;
const OLLAMA: u32 = 4_000_002;
const MEMORY_V2: &str = "nvmlDeviceGetMemoryInfo_v2";
const COMPUTE: &str = "nvmlDeviceGetComputeRunningProcesses_v3";
const GRAPHICS: &str = "nvmlDeviceGetGraphicsRunningProcesses_v3";
const MPS: &str = "nvmlDeviceGetMPSComputeRunningProcesses_v3";

fn card() -> Device {
    Device::idle(CARD, 24)
        .with(COMFY, gib(18))
        .with(OLLAMA, gib(2))
}

/// A card whose first process is listed like this.
fn listing(used: Option<u64>) -> Host {
    let host = Host::with([card()]);
    host.change(CARD, |card| card.processes[0].used = used);
    host
}

#[test]
fn a_figure_that_is_not_told_makes_the_holders_unknown() {
    let reading = listing(None).read(CARD);
    assert!(unknown(&reading).contains("4000001"), "{reading:?}");
    assert_eq!(reading.free.as_bytes() >> 20, 4 * 1024 - 512);
    assert_eq!(reading.health, Health::Well);
}

#[test]
fn nothing_but_zeroes_make_the_holders_unknown() {
    let host = listing(Some(0));
    host.change(CARD, |card| card.processes[1].used = Some(0));
    let reading = host.read(CARD);
    assert!(unknown(&reading).contains("20.0 GiB"), "{reading:?}");
}

#[test]
fn more_listed_than_used_makes_the_holders_unknown() {
    let reading = listing(Some(gib(23))).read(CARD);
    assert!(unknown(&reading).contains("25.0 GiB"), "{reading:?}");
}

#[test]
fn what_could_not_be_believed_is_looked_at_again_later() {
    let host = Host::new(&State::with([card()]), &[], |options| {
        options.distrust_for = NEVER;
    });
    host.change(CARD, |card| card.processes[0].used = None);
    let before = host.read(CARD);
    host.change(CARD, |card| card.processes[0].used = Some(gib(18)));
    // It is not even asked: that would fail.
    host.change(CARD, |card| {
        let lost = Answer::failure(code::GPU_IS_LOST);
        card.answers.insert(COMPUTE.to_owned(), lost);
    });
    assert_eq!(unknown(&host.read(CARD)), unknown(&before));

    let host = listing(None);
    unknown(&host.read(CARD));
    host.change(CARD, |card| card.processes[0].used = Some(gib(18)));
    assert_eq!(holders(&host.read(CARD)), [(COMFY, 18), (OLLAMA, 2)]);
}

#[test]
fn a_list_that_grows_a_little_is_read() {
    let host = Host::with([card()]);
    host.change(CARD, |card| {
        card.joining = vec![Process::computing(9, Some(0)); 5];
    });
    let reading = host.read(CARD);
    assert_eq!(reading.health, Health::Well);
    assert!(holders(&reading).contains(&(COMFY, 18)));
}

#[test]
fn a_list_that_grows_too_fast_is_for_later() {
    let host = Host::new(&State::with([card()]), &[], |options| {
        options.distrust_for = NEVER;
    });
    host.change(CARD, |card| {
        card.joining = vec![Process::computing(9, Some(0)); 6];
    });
    let reading = host.read(CARD);
    assert!(
        matches!(reading.health, Health::Unsettled(_)),
        "{reading:?}"
    );
    unknown(&reading);
    // It was too fast, and not wrong: it is asked again at once.
    host.change(CARD, |card| card.joining.clear());
    assert_eq!(holders(&host.read(CARD)), [(COMFY, 18), (OLLAMA, 2)]);
}

#[test]
fn every_list_counts_and_who_stands_in_two_counts_once() {
    let host = Host::with([card()]);
    host.change(CARD, |card| {
        for list in [List::Graphics, List::Mps] {
            let pid = if list == List::Mps { 9 } else { COMFY };
            let used = Some(gib(1));
            card.processes.push(Process { list, pid, used });
        }
        card.used += gib(1);
    });
    assert_eq!(
        holders(&host.read(CARD)),
        [(9, 1), (COMFY, 18), (OLLAMA, 2)]
    );
}

#[test]
fn a_driver_without_some_lists_is_believed_in_the_others() {
    let host = Host::new(&State::with([card()]), &[MPS], |_| {});
    host.change(CARD, |card| {
        let refused = Answer::failure(code::NOT_SUPPORTED);
        card.answers.insert(GRAPHICS.to_owned(), refused);
    });
    assert_eq!(holders(&host.read(CARD)), [(COMFY, 18), (OLLAMA, 2)]);
}

#[test]
fn a_driver_that_lists_nobody_still_tells_what_is_free() {
    let without = Host::new(&State::with([card()]), &[COMPUTE], |_| {});
    let refusing = Host::with([card().answering(COMPUTE, Answer::failure(code::NOT_SUPPORTED))]);
    for host in [without, refusing] {
        let reading = host.read(CARD);
        unknown(&reading);
        assert_eq!(reading.health, Health::Well);
        assert_eq!(reading.free.as_bytes() >> 20, 4 * 1024 - 512);
    }
}

#[test]
fn the_old_memory_call_stands_in_for_the_new_one() {
    let without = Host::new(&State::with([card()]), &[MEMORY_V2], |_| {});
    let hollow =
        Host::with([card().answering(MEMORY_V2, Answer::failure(code::FUNCTION_NOT_FOUND))]);
    let wsl = Host::with([card().answering(MEMORY_V2, Answer::failure(code::UNKNOWN))]);
    for host in [without, hollow, wsl] {
        let reading = host.read(CARD);
        let figures = [reading.total, reading.reserved, reading.used, reading.free];
        let figures = figures.map(|figure| figure.as_bytes() >> 20);
        // The old call counts what is reserved as used.
        assert_eq!(figures, [24 * 1024, 0, 20 * 1024 + 512, 4 * 1024 - 512]);
        assert_eq!(holders(&reading), [(COMFY, 18), (OLLAMA, 2)]);
        assert!(host.probe.memory_by(&name(CARD), MemoryCall::V2).is_err());
    }
}

#[test]
fn a_card_that_shares_the_hosts_memory_says_so() {
    let refused = Answer::failure(code::NOT_SUPPORTED);
    let shared = card()
        .answering(MEMORY_V2, refused)
        .answering("nvmlDeviceGetMemoryInfo", refused);
    let host = Host::with([shared]);
    let fault = host.probe.memory(&name(CARD)).unwrap_err();
    assert!(fault.to_string().contains("that of the host"), "{fault}");
}

#[test]
fn heat_lets_a_card_rest_for_a_while() {
    const HW_THERMAL: u64 = 0x40;
    const POWER_CAP: u64 = 0x4;
    let host = Host::new(&State::with([card()]), &[], |options| {
        options.rest_for = NEVER;
    });
    host.change(CARD, |card| card.throttle_reasons = POWER_CAP);
    assert_eq!(host.read(CARD).health, Health::Well);
    host.change(CARD, |card| card.throttle_reasons = HW_THERMAL);
    let hot = host.read(CARD).health;
    assert!(matches!(&hot, Health::Unsettled(why) if why.contains("hot")));
    host.change(CARD, |card| card.throttle_reasons = 0);
    assert_eq!(host.read(CARD).health, hot);
}
