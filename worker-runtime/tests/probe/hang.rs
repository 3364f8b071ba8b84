//! A call that does not end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nvml_double::state::{Answer, Device, State, code};
use tokio::time::timeout;
use worker_runtime::gpu::probe::nvml::{NvmlOptions, NvmlProbe};
use worker_runtime::gpu::probe::sampler::{Rhythm, Sample, Sampler};
use worker_runtime::gpu::reading::Health;

use crate::support::{CARD, Host, NEVER, OTHER, gib, name};

const SOON: Duration = Duration::from_secs(20);
const OFTEN: Duration = Duration::from_millis(5);
const MEMORY: &str = "nvmlDeviceGetMemoryInfo_v2";

async fn sample(sampler: &Sampler, shall: impl Fn(&Sample) -> bool) -> Sample {
    let mut latest = sampler.latest();
    let seen = latest.wait_for(|sample| sample.as_ref().is_some_and(&shall));
    let seen = timeout(SOON, seen).await.unwrap().unwrap();
    seen.clone().unwrap()
}

#[tokio::test]
async fn a_card_that_hangs_has_old_readings_and_the_other_card_new_ones() {
    let cards = State::with([Device::idle(CARD, 24), Device::idle(OTHER, 12)]);
    let host = Host::new(&cards, &[], |_| {});
    // Both samplers use one probe, as both look at one driver.
    let probe = Arc::new(NvmlProbe::new(NvmlOptions {
        library: Some(host.double.library().to_owned()),
        ..NvmlOptions::default()
    }));
    let start =
        |uuid| Sampler::start(Arc::clone(&probe) as _, name(uuid), Rhythm::always(OFTEN)).unwrap();
    let [sick, well] = [CARD, OTHER].map(start);
    sample(&sick, |sample| sample.memory.is_ok()).await;

    host.change(CARD, |card| {
        card.answers.insert(MEMORY.to_owned(), Answer::after(NEVER));
        card.used = gib(20);
    });
    let hanging_since = Instant::now();
    let limit = Duration::from_millis(50);
    while sick.reading(limit).await.is_some() {}
    let latest = sick.latest().borrow().clone().unwrap();
    assert!(latest.age(Instant::now()) >= limit);
    assert!(latest.memory.as_ref().unwrap().used.as_bytes() < gib(20));
    sample(&well, |sample| sample.asked_at > hanging_since).await;
    assert!(well.reading(SOON).await.is_some());

    host.change(CARD, |card| card.answers.clear());
    let reading = sick.reading(SOON).await.unwrap();
    assert_eq!(reading.health, Health::Well);
    sample(&sick, |sample| {
        sample
            .memory
            .as_ref()
            .is_ok_and(|now| now.used.as_bytes() == gib(20))
    })
    .await;
}

#[tokio::test]
async fn sampling_does_not_ask_who_is_on_the_card() {
    let host = Host::with([Device::idle(CARD, 24).answering(
        "nvmlDeviceGetComputeRunningProcesses_v3",
        Answer::failure(code::GPU_IS_LOST),
    )]);
    let Host { probe, .. } = host;
    let sampler = Sampler::start(Arc::new(probe), name(CARD), Rhythm::always(OFTEN)).unwrap();
    let first = sample(&sampler, |_| true).await;
    let next = sample(&sampler, |sample| sample.asked_at > first.asked_at).await;
    assert!(first.memory.is_ok() && next.memory.is_ok());
    // Who does ask learns it.
    let reading = sampler.reading(SOON).await.unwrap();
    assert!(matches!(reading.health, Health::Down(_)), "{reading:?}");
}
