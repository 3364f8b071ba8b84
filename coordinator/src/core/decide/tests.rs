//! Jobs and events to decide about. Every job that goes into a decision or comes out of it is written as JSON and read back,
//! which tests how it is stored.

use shared::artifact::{Artifact, MediaType, Sha256};
use shared::byte_size::ByteSize;
use shared::ids::{Attempt, BootId, FilmId, RunId, Take};
use shared::job::{JobKind, JobStatus, Product};

use super::*;

mod scenarios;
mod table;
mod walk;

const JOB: JobId = JobId::from_u128(7);
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const TOOK: Duration = Duration::from_secs(90);

/// A job for a clip that nobody has worked on.
fn new_job() -> Job {
    Job::new(
        JOB,
        FilmId::from_u128(1),
        JobKind::Scene,
        Some(2),
        "animatic".parse().unwrap(),
    )
}

/// The worker of that number, in its first life.
fn worker(number: u32) -> WorkerRef {
    life(number, 1)
}

/// That life of the worker of that number.
fn life(number: u32, boot: u32) -> WorkerRef {
    WorkerRef {
        worker: format!("worker-{number}").parse().unwrap(),
        boot: BootId::from_u128(u128::from(boot)),
    }
}

const fn run(attempt: u32, number: u128) -> RunRef {
    RunRef {
        job: JOB,
        attempt: Attempt::new(attempt),
        run: RunId::from_u128(number),
    }
}

/// A clip that can be told from others by its number of frames.
fn clip(frames: u32) -> Outcome {
    Outcome::from(Product::Scene {
        clip: Artifact {
            sha256: Sha256::new([7; 32]),
            size: ByteSize::bytes(12_345),
            media_type: MediaType::Mp4,
        },
        frames,
    })
}

fn started(run: RunRef, worker: WorkerRef) -> Event {
    Event::Started { run, worker }
}

/// A run is heard of, with the share of it that is done and that of the current run.
fn heard(run: RunRef, worker: WorkerRef, share: f64, current_share: f64) -> Event {
    Event::Heard {
        run,
        worker,
        share: Some(share),
        current_share: Some(current_share),
    }
}

fn succeeded(run: RunRef, worker: WorkerRef) -> Event {
    Event::Succeeded {
        run,
        worker,
        outcome: clip(96),
        took: TOOK,
    }
}

fn failed(run: RunRef, kind: FailureKind) -> Event {
    let failure = Failure::new(kind, "the kettle is empty");
    Event::Failed { run, failure }
}

fn released(run: RunRef) -> Event {
    Event::Released {
        run,
        reason: ReleaseReason::Drain,
    }
}

fn expired(run: RunRef) -> Event {
    Event::LeaseExpired { run: run.run }
}

fn granted(run: RunRef, to: WorkerRef) -> Effect {
    Effect::Grant { to, run }
}

fn denied(run: RunRef, to: WorkerRef, reason: DenyReason) -> Effect {
    Effect::Deny { to, run, reason }
}

fn stopped(run: RunRef, to: WorkerRef, reason: DenyReason) -> Effect {
    Effect::Cancel { to, run, reason }
}

/// A job as it comes back from the store.
fn stored(job: &Job) -> Job {
    let json = serde_json::to_string(job).unwrap();
    let read: Job = serde_json::from_str(&json).unwrap();
    assert_eq!(read, *job, "stored as {json}");
    read
}

/// Decides about a job that comes from the store, and stores what becomes of it.
fn decide_stored(job: &Job, event: &Event, now: Timestamp, policy: &Policy) -> Decision {
    match decide(&stored(job), event, now, policy) {
        Decision::Change { job, effects } => Decision::Change {
            job: Box::new(stored(&job)),
            effects,
        },
        same @ (Decision::Ignore(_) | Decision::Answer(_)) => same,
    }
}
