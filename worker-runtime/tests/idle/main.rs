//! What a worker costs that has a card and nothing to do. In a process of its own, since its processor time is counted.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it like the test itself"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nvml_double::install::Double;
use nvml_double::state::{Answer, Device, State};
use shared::artifacts::ArtifactStore;
use shared::broker::embedded::EmbeddedBroker;
use shared::broker::{Queue, ReadOptions, SharedBroker};
use shared::byte_size::ByteSize;
use shared::failure::{Failure, FailureKind};
use shared::job::{JobKind, Outcome};
use shared::profile::{DeviceMemory, Profile, ResourceRequest};
use shared::protocol::{Envelope, RunAttempt, ToCoordinator};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use worker_runtime::backend::{AttemptContext, Backend, NotReady};
use worker_runtime::settings::{GpuSettings, WorkerConfig};

/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(5);
/// Ticks a second in /proc, on every Linux that Rust runs on.
const TICKS: f64 = 100.0;
/// At most this share of a core.
const SHARE: f64 = 0.01;

#[derive(Debug)]
struct Idle;

#[async_trait]
impl Backend for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn profiles(&self) -> Vec<Profile> {
        vec![Profile {
            name: "wan".parse().unwrap(),
            kind: JobKind::Scene,
            backend: "idle".to_owned(),
            needs: ResourceRequest {
                device: Some(DeviceMemory {
                    load: ByteSize::gib(18),
                    peak: ByteSize::gib(21),
                    spike: ByteSize::gib(23),
                }),
                ram: ByteSize::gib(1),
            },
        }]
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        Ok(())
    }

    async fn run(&self, _: &RunAttempt, _: &AttemptContext) -> Result<Outcome, Failure> {
        Err(Failure::new(FailureKind::Permanent, "there is no work"))
    }
}

#[tokio::test]
async fn an_idle_worker_with_the_probe_on_uses_at_most_a_hundredth_of_a_core() {
    let dir = tempfile::tempdir().unwrap();
    // As on a real card: process lists cost milliseconds.
    let lists = Answer::after(Duration::from_millis(2));
    let card = Device::idle("GPU-1", 24)
        .with(300, 2 << 30)
        .answering("nvmlDeviceGetComputeRunningProcesses_v3", lists);
    let double = Double::install(dir.path(), &State::with([card])).unwrap();
    let config = WorkerConfig::new("idle".parse().unwrap(), dir.path().join("worker"));
    let config = config.on(GpuSettings {
        library: Some(double.library().to_owned()),
        ledger: Some(dir.path().join("ledger")),
        ..GpuSettings::default()
    });
    let broker: SharedBroker = Arc::new(EmbeddedBroker::new());
    let artifacts = ArtifactStore::open_folder(&dir.path().join("artifacts")).unwrap();
    let stop = CancellationToken::new();
    let worker = tokio::spawn(worker_runtime::run(
        vec![Arc::new(Idle)],
        config,
        Arc::clone(&broker),
        artifacts,
        stop.clone(),
    ));
    let mut reports = broker
        .subscribe(&Queue::Reports, ReadOptions::default())
        .await
        .unwrap();
    loop {
        let report = reports.next().await.unwrap();
        let told = Envelope::<ToCoordinator>::from_json(&report.message.body).unwrap();
        report.ack().await;
        if let ToCoordinator::WorkerState(state) = told.message
            && state.devices.len() == 1
            && state.waiting.is_empty()
        {
            break;
        }
    }
    let before = cpu_seconds();
    sleep(WATCHED).await;
    let share = (cpu_seconds() - before) / WATCHED.as_secs_f64();
    stop.cancel();
    worker.await.unwrap().unwrap();
    assert!(share <= SHARE, "{:.2} % of a core", share * 100.0);
}

/// The processor time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = after_name.split(' ').collect();
    // Fields 14 and 15 of proc(5), counted from the third: time in user mode and in the kernel.
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS
}
