//! What a worker costs that has a card and nothing to do. In a process of its own, since its wakes are counted: what a wake costs
//! is the machine's affair, and goes up and down by ten times on a virtual one.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it like the test itself"
)]

use std::io::{Write as _, stderr};
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
/// At most this many wakes a second, of all threads; 8 were counted. At 250 µs each, 40 would be one hundredth of a
/// core.
const WAKES: f64 = 20.0;

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
                threads: 0,
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
async fn an_idle_worker_with_the_probe_on_wakes_seldom() {
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
    let before = wakes();
    sleep(WATCHED).await;
    let each_second = (wakes() - before) / WATCHED.as_secs_f64();
    stop.cancel();
    worker.await.unwrap().unwrap();
    // Past the test's own output, which is shown only if it fails.
    let _ = writeln!(
        stderr(),
        "an idle worker with a card: {each_second:.1} wakes a second"
    );
    assert!(each_second <= WAKES, "{each_second:.0} wakes a second");
}

/// How often a thread of this process has waited for something so far.
fn wakes() -> f64 {
    let mut wakes = 0.0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let told = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        wakes += told.unwrap().trim().parse::<f64>().unwrap();
    }
    wakes
}
