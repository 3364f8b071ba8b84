//! Films whose keyframes and clips need the same card.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::cell::Cell;
use std::time::Duration;

use shared::api::Happening;
use shared::byte_size::ByteSize;
use shared::failure::{Failure, FailureKind};
use shared::job::{JobKind, JobStatus};
use shared::profile::{DeviceMemory, Profile, ResourceRequest};
use shared::protocol::{AttemptFailed, Device, ToCoordinator, WorkerState};

use crate::support::{Studio, Worker, request, until};

/// A worker on a card, which its keyframes and its clips need.
fn state(worker: &Worker) -> WorkerState {
    let profile = |name: &str, kind| Profile {
        name: name.parse().unwrap(),
        kind,
        backend: "comfyui".to_owned(),
        needs: ResourceRequest {
            device: Some(DeviceMemory {
                load: ByteSize::gib(8),
                peak: ByteSize::gib(9),
                spike: ByteSize::gib(10),
            }),
            ..ResourceRequest::default()
        },
    };
    WorkerState {
        worker: worker.me.clone(),
        host: "here".to_owned(),
        program_version: "0".to_owned(),
        slots: 1,
        profiles: vec![
            profile("storyboard", JobKind::Keyframe),
            profile("animatic", JobKind::Scene),
        ],
        waiting: Vec::new(),
        running: Vec::new(),
        devices: vec![Device {
            uuid: "GPU-1".to_owned(),
            name: "Card".to_owned(),
            total: ByteSize::gib(24),
            free: ByteSize::gib(24),
            used: ByteSize::ZERO,
            promised: ByteSize::ZERO,
            age: Duration::ZERO,
            holders: Vec::new(),
            trouble: None,
            queue: Vec::new(),
            asked: Vec::new(),
        }],
        residents: Vec::new(),
        paused: false,
        draining: false,
    }
}

/// Whether a job of that kind is completed.
fn is_done(what: &Happening, kind: JobKind) -> bool {
    matches!(what, Happening::JobChanged { job } if job.kind == kind && job.status == JobStatus::Completed)
}

#[tokio::test]
async fn clips_come_after_all_keyframes_and_one_that_fails_for_good_holds_up_no_other_clip() {
    let studio = Studio::new();
    let running = studio.start().await;
    let mut worker = studio.worker("w").await;
    let known = ToCoordinator::WorkerState(Box::new(state(&worker)));
    worker.say(None, known).await;
    let submitted = running.coordinator.submit(request(3), None).await;
    let film = submitted.unwrap().film;
    worker.work(JobKind::Story).await;
    worker.work(JobKind::Keyframe).await;
    worker.work(JobKind::Keyframe).await;
    let done = Cell::new(0);
    until(&running, film, |what| {
        done.set(done.get() + u32::from(is_done(what, JobKind::Keyframe)));
        done.get() == 2
    })
    .await;
    let view = running.coordinator.film(film).await.unwrap();
    let clips = view.jobs.iter().filter(|job| job.kind == JobKind::Scene);
    let clips: Vec<_> = clips.collect();
    assert!(clips.iter().all(|job| job.status == JobStatus::Blocked));
    let waits = clips.iter().map(|job| job.waiting.clone().unwrap());
    let for_others = waits.filter(|why| why.contains("the other keyframes"));
    assert_eq!(for_others.count(), 2);

    let last = worker.begin(JobKind::Keyframe).await;
    let failed = AttemptFailed {
        run: last.run,
        worker: worker.me.clone(),
        failure: Failure::new(FailureKind::Permanent, "no"),
    };
    worker
        .say(last.store, ToCoordinator::AttemptFailed(failed))
        .await;
    last.delivery.ack().await;
    worker.work(JobKind::Scene).await;
    worker.work(JobKind::Scene).await;
    let seen = until(&running, film, |what| {
        matches!(what, Happening::FilmFailed { .. })
    })
    .await;
    let clips = seen
        .iter()
        .filter(|event| is_done(&event.what, JobKind::Scene));
    assert_eq!(clips.count(), 2, "the film fails when all else is done");
    running.shutdown().await;
}
