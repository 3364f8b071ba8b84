//! Every message between coordinator and workers, field by field.
//!
//! A message travels as JSON in an [`Envelope`]. Its `version` is [`VERSION`]; a reader that finds another version, or JSON
//! that does not fit, parks the message with the reason. Orders are imperative (`run_attempt`), reports are in the past
//! tense (`attempt_started`). `docs/messages.md` tells the walk; the JSON Schemas beside it are made from these types.
//!
//! One attempt, told in messages: `run_attempt` → `attempt_started` → `attempt_granted` → `attempt_progress`* →
//! `attempt_succeeded` or `attempt_failed` or `attempt_released`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::byte_size::ByteSize;
use crate::failure::Failure;
use crate::ids::{
    Attempt, BootId, FilmId, JobId, MessageId, ProfileName, RunId, StoreId, Take, WorkerId,
};
use crate::job::{JobKind, Outcome, Payload};
use crate::preview::{self, Preview};
use crate::profile::Profile;
use crate::time::{Timestamp, millis};

/// The version of this protocol that this program writes and reads.
pub const VERSION: u16 = 1;

/// What every message travels in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope<M> {
    /// Version of the protocol.
    pub version: u16,
    /// Identity of this message; a repeat carries the same one.
    pub message_id: MessageId,
    /// The store that the message speaks of. Absent only from a worker that has heard of none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreId>,
    /// When it was written, by the sender's clock.
    pub sent_at: Timestamp,
    /// The message itself.
    #[serde(flatten)]
    pub message: M,
}

impl<M> Envelope<M> {
    /// Puts a message in an envelope of its own.
    pub fn new(store: Option<StoreId>, message: M) -> Self {
        Self {
            version: VERSION,
            message_id: MessageId::generate(),
            store,
            sent_at: Timestamp::now(),
            message,
        }
    }
}

/// Why a message cannot be read. It is parked with this reason.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The sender speaks another version.
    #[error("version {found} of the protocol; this program reads version {VERSION}")]
    Version {
        /// The version that was found.
        found: u64,
    },
    /// No message of this protocol.
    #[error("not a message of this protocol")]
    Malformed(#[source] serde_json::Error),
}

impl<M: Serialize> Envelope<M> {
    /// The bytes that travel.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self)
            .expect("messages consist of strings, numbers and lists, which JSON can hold")
    }
}

impl<M: for<'de> Deserialize<'de>> Envelope<M> {
    /// Reads the bytes that travelled.
    ///
    /// # Errors
    /// If the version is another one or the bytes are no such message.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Unreadable> {
        match serde_json::from_slice::<Self>(bytes) {
            Ok(envelope) if envelope.version == VERSION => Ok(envelope),
            Ok(envelope) => Err(Unreadable::Version {
                found: envelope.version.into(),
            }),
            Err(error) => Err(match serde_json::from_slice::<VersionOnly>(bytes) {
                Ok(VersionOnly { version }) if version != u64::from(VERSION) => {
                    Unreadable::Version { found: version }
                }
                _ => Unreadable::Malformed(error),
            }),
        }
    }
}

/// Another version's message may differ in everything but this.
#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

/// What the coordinator says to workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToWorker {
    /// Run this attempt. Durable; to the queue of its kind and profile, for whichever worker takes it.
    RunAttempt(Box<RunAttempt>),
    /// The run may begin. To the inbox of one worker; lost ones are asked for again.
    AttemptGranted(AttemptGranted),
    /// The run must not begin. To the inbox of one worker; lost ones are asked for again.
    AttemptDenied(AttemptDenied),
    /// Stop the run. To the inbox of one worker; repeated until the worker no longer speaks of the run.
    CancelAttempt(CancelAttempt),
    /// Take no new work, or take work again. To the inbox of one worker; repeated until its state says so.
    PauseWorker(PauseWorker),
    /// What is waiting. To all workers, every few seconds.
    BacklogHints(BacklogHints),
}

/// What workers say to the coordinator. All of it goes to one queue, so that its order tells a story: whoever has read a
/// message has read all that was sent before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToCoordinator {
    /// A worker has taken an attempt and asks whether it may begin. Durable; asked again until answered.
    AttemptStarted(AttemptStarted),
    /// A run is alive. Not durable.
    AttemptProgress(AttemptProgress),
    /// A run ended with a product. Durable.
    AttemptSucceeded(Box<AttemptSucceeded>),
    /// A run ended without one. Durable.
    AttemptFailed(AttemptFailed),
    /// A worker gives a granted attempt back without having failed. Durable.
    AttemptReleased(AttemptReleased),
    /// What a worker is, has and does. Not durable; every few seconds and at each change.
    WorkerState(Box<WorkerState>),
    /// The coordinator's word to itself: when it comes back, everything sent before it has been read.
    Probe(Probe),
}

/// Which run of which job: the fence that every report and every answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct RunRef {
    /// The job.
    pub job: JobId,
    /// The attempt that was taken.
    pub attempt: Attempt,
    /// The worker's try to run it.
    pub run: RunId,
}

/// One life of one worker: where answers go. Its inbox is the queue `callsheet.worker.WORKER.BOOT`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct WorkerRef {
    /// The worker's name.
    pub worker: WorkerId,
    /// This life of it.
    pub boot: BootId,
}

/// Run this attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunAttempt {
    /// The film it belongs to.
    pub film: FilmId,
    /// The job.
    pub job: JobId,
    /// Which attempt this is.
    pub attempt: Attempt,
    /// Which take to render. Work in a backend is found again by job and take.
    pub take: Take,
    /// The profile to run it on.
    pub profile: ProfileName,
    /// Longest time that the run may take from its grant, in milliseconds.
    #[serde(rename = "time_limit_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub time_limit: Duration,
    /// Runs of this job that were granted before and whose work may still be found.
    #[serde(default)]
    pub earlier: Vec<EarlierRun>,
    /// The arguments.
    pub payload: Payload,
}

/// A run that was granted before: its work may still be running, or be finished and lie in its worker's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EarlierRun {
    /// The attempt it ran.
    pub attempt: Attempt,
    /// The run.
    pub run: RunId,
    /// The worker that had it.
    pub worker: WorkerId,
    /// The take it rendered.
    pub take: Take,
}

/// A worker has taken an attempt and asks whether it may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptStarted {
    /// The run that would begin.
    #[serde(flatten)]
    pub run: RunRef,
    /// Who asks.
    #[serde(flatten)]
    pub worker: WorkerRef,
}

/// The run may begin; the worker starts, and acks its delivery within about 100 ms. If it dies in between, the delivery comes
/// again and is denied: its attempt has its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptGranted {
    /// The run that may begin.
    #[serde(flatten)]
    pub run: RunRef,
    /// How long the coordinator believes in the run without a word from it, in milliseconds. A worker speaks at least four
    /// times as often.
    #[serde(rename = "lease_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub lease: Duration,
}

/// The run must not begin; the worker acks its delivery and forgets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptDenied {
    /// The run that must not begin.
    #[serde(flatten)]
    pub run: RunRef,
    /// Why not.
    pub reason: DenyReason,
}

/// Why a run must not begin, or go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DenyReason {
    /// A later attempt has taken the place of this one, or this one was given up.
    Stale,
    /// The job was cancelled.
    Cancelled,
    /// The job has its result, or has failed for good.
    Done,
    /// Another run of this attempt was granted.
    GrantedToAnother,
    /// This coordinator's store knows no such job.
    Unknown,
}

/// Stop the run: its result is not wanted any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelAttempt {
    /// The run to stop.
    #[serde(flatten)]
    pub run: RunRef,
    /// Why.
    pub reason: DenyReason,
}

/// Take no new work, or take work again. What runs goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PauseWorker {
    /// Whether the worker is to stand still.
    pub paused: bool,
}

/// What is waiting, so that workers can choose which queues to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BacklogHints {
    /// One entry for each kind and profile that has jobs waiting or running.
    pub backlogs: Vec<Backlog>,
}

/// What is waiting for one profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backlog {
    /// The kind of job.
    pub kind: JobKind,
    /// The profile.
    pub profile: ProfileName,
    /// Jobs queued.
    pub queued: u32,
    /// Jobs running.
    pub running: u32,
    /// How long the oldest queued job has waited, in milliseconds; 0 if none waits.
    #[serde(rename = "oldest_wait_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub oldest_wait: Duration,
    /// Workers heard of lately that serve it.
    pub workers: u32,
}

/// A run is alive. Extends its lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptProgress {
    /// The run.
    #[serde(flatten)]
    pub run: RunRef,
    /// Who runs it.
    #[serde(flatten)]
    pub worker: WorkerRef,
    /// What it is doing, in a word or two, as `encoding`.
    pub phase: String,
    /// Steps done.
    pub step: u32,
    /// Steps in all; 0 while unknown.
    pub steps: u32,
    /// How long it is expected to need still, in milliseconds; absent if nobody knows. The lease is never shorter.
    #[serde(
        default,
        rename = "expected_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub expected_ms: Option<u64>,
    /// How it looks at present; absent if its backend shows nothing, or nothing new. Told every two seconds at most. One that
    /// cannot be read is left out, and the rest counts.
    #[serde(
        default,
        deserialize_with = "preview::if_readable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<Preview>")]
    pub preview: Option<Box<Preview>>,
}

impl AttemptProgress {
    /// The share that is done, from 0 to 1; `None` while it is not known how many steps there are.
    pub fn share(&self) -> Option<f64> {
        match self.steps {
            0 => None,
            steps => Some((f64::from(self.step) / f64::from(steps)).min(1.0)),
        }
    }
}

/// A run ended with a product, whose file is in the artifact store already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptSucceeded {
    /// The run.
    #[serde(flatten)]
    pub run: RunRef,
    /// Who ran it.
    #[serde(flatten)]
    pub worker: WorkerRef,
    /// What came of it.
    pub outcome: Outcome,
    /// How long the work took, in milliseconds, from grant to product.
    #[serde(rename = "took_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub took: Duration,
}

/// A run ended without a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptFailed {
    /// The run.
    #[serde(flatten)]
    pub run: RunRef,
    /// Who ran it.
    #[serde(flatten)]
    pub worker: WorkerRef,
    /// Why.
    pub failure: Failure,
}

/// A worker gives a granted attempt back. It does not count against the job's retries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptReleased {
    /// The run.
    #[serde(flatten)]
    pub run: RunRef,
    /// Who had it.
    #[serde(flatten)]
    pub worker: WorkerRef,
    /// Why.
    pub reason: ReleaseReason,
}

/// Why a worker gives an attempt back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseReason {
    /// The worker is going away.
    Drain,
    /// The worker was restarted and found nothing left of the run.
    Restarted,
    /// It did not fit after all.
    DidNotFit,
    /// Somebody else's work took the memory.
    OutOfMemoryElsewhere,
}

/// What a worker is, has and does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerState {
    /// Who.
    #[serde(flatten)]
    pub worker: WorkerRef,
    /// Name of its host.
    pub host: String,
    /// Version of its program.
    pub program_version: String,
    /// Attempts it may run at once.
    pub slots: u32,
    /// What it can do.
    pub profiles: Vec<Profile>,
    /// What it will never take, or not now, and why.
    #[serde(default)]
    pub waiting: Vec<Waiting>,
    /// What it runs.
    #[serde(default)]
    pub running: Vec<RunRef>,
    /// Its GPUs.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Models that its backends hold in memory.
    #[serde(default)]
    pub residents: Vec<Resident>,
    /// It stands still because someone asked for it.
    pub paused: bool,
    /// It is going away and takes nothing new.
    pub draining: bool,
}

/// Why a worker does not take jobs of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// The kind of job.
    pub kind: JobKind,
    /// The profile.
    pub profile: ProfileName,
    /// Whether no time will change it.
    pub never: bool,
    /// The reason, with the numbers, for a person.
    pub reason: String,
}

/// A GPU as its worker sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// NVML's UUID of it.
    pub uuid: String,
    /// Model name.
    pub name: String,
    /// Memory in all, in bytes.
    pub total: ByteSize,
    /// Memory free, in bytes.
    pub free: ByteSize,
    /// Memory in use, in bytes.
    #[serde(default)]
    pub used: ByteSize,
    /// Memory promised to runs that have not taken it yet, in bytes.
    pub promised: ByteSize,
    /// How old these figures were when they were told, in milliseconds.
    #[serde(default, rename = "age_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub age: Duration,
    /// Who holds its memory, the largest first.
    #[serde(default)]
    pub holders: Vec<Holding>,
    /// Why it is not known who holds it, or why the device cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Jobs of any worker of this host that wait for it, first come first.
    #[serde(default)]
    pub queue: Vec<CardTicket>,
    /// Models that were asked to leave and have not yet.
    #[serde(default)]
    pub asked: Vec<AskedToLeave>,
}

/// Memory of a device that somebody holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holding {
    /// The program, or the backend if it is one of ours; absent if it cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Its process.
    pub pid: u32,
    /// Whether it is a backend of ours.
    pub ours: bool,
    /// What it holds, in bytes.
    pub used: ByteSize,
}

/// A job that waits for a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CardTicket {
    /// The job.
    pub job: JobId,
    /// How it will be done.
    pub profile: ProfileName,
    /// The worker that has it in hand.
    pub worker: WorkerId,
    /// How long it has waited, in milliseconds.
    #[serde(rename = "waited_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub waited: Duration,
    /// Why, as it was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A model that was asked to leave a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedToLeave {
    /// The backend that holds it.
    pub backend: String,
    /// Its profile; absent: everything that the backend has loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileName>,
    /// The job that needs the memory.
    #[serde(rename = "for_job")]
    pub by: JobId,
    /// How long ago, in milliseconds.
    #[serde(rename = "ago_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub ago: Duration,
}

/// A model in device memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resident {
    /// Its profile.
    pub profile: ProfileName,
    /// The backend that holds it.
    pub backend: String,
    /// The device that it is on.
    pub device: String,
    /// What it holds, in bytes; absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
}

/// The coordinator's word to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// Counts up within one life of the coordinator.
    pub number: u64,
    /// That life.
    pub boot: BootId,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe() -> Envelope<ToCoordinator> {
        Envelope::new(
            None,
            ToCoordinator::Probe(Probe {
                number: 3,
                boot: BootId::generate(),
            }),
        )
    }

    #[test]
    fn a_message_survives_the_journey() {
        let sent = probe();
        assert_eq!(Envelope::from_json(&sent.to_json()).unwrap(), sent);
    }

    #[test]
    fn how_far_a_run_is_stays_unknown_while_its_steps_are() {
        let said = |step, steps| AttemptProgress {
            run: RunRef {
                job: JobId::generate(),
                attempt: Attempt::FIRST,
                run: RunId::generate(),
            },
            worker: WorkerRef {
                worker: "w".parse().unwrap(),
                boot: BootId::generate(),
            },
            phase: "drawing".to_owned(),
            step,
            steps,
            expected_ms: None,
            preview: None,
        };
        assert_eq!(said(3, 0).share(), None);
        assert_eq!(said(3, 4).share(), Some(0.75));
        assert_eq!(said(9, 4).share(), Some(1.0));
    }

    #[test]
    fn a_word_counts_whatever_stands_in_the_place_of_its_picture() {
        let mut said = serde_json::json!({
            "version": VERSION, "message_id": MessageId::generate(), "sent_at": "2026-03-01T12:00:00.000Z",
            "type": "attempt_progress", "job": JobId::generate(), "attempt": 1, "run": RunId::generate(),
            "worker": "w", "boot": BootId::generate(), "phase": "sampler", "step": 2, "steps": 4,
        });
        let mut read = |preview: Option<serde_json::Value>| {
            if let Some(preview) = preview {
                said["preview"] = preview;
            }
            let read = Envelope::<ToCoordinator>::from_json(said.to_string().as_bytes()).unwrap();
            match read.message {
                ToCoordinator::AttemptProgress(said) => (said.step, said.preview.map(|it| *it)),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(read(None), (2, None));
        let jpeg = Preview::new(b"\xff\xd8\xff\xe0"[..].into()).unwrap();
        assert_eq!(read(Some(serde_json::json!(jpeg))), (2, Some(jpeg)));
        for odd in [
            serde_json::json!(null),
            serde_json::json!("a picture"),
            serde_json::json!({"media_type": "image/webp", "data": "UklGRg=="}),
            serde_json::json!({"media_type": "image/jpeg", "data": "UklGRg=="}),
            serde_json::json!({"media_type": "image/jpeg"}),
        ] {
            assert_eq!(read(Some(odd)), (2, None));
        }
    }

    #[test]
    fn another_version_is_told_from_a_broken_message() {
        let read = |json: &[u8]| Envelope::<ToCoordinator>::from_json(json).unwrap_err();
        assert!(matches!(
            read(br#"{"version": 2, "something": "new"}"#),
            Unreadable::Version { found: 2 }
        ));
        let mut later = probe();
        later.version = 7;
        assert!(matches!(
            read(&later.to_json()),
            Unreadable::Version { found: 7 }
        ));
        assert!(matches!(
            read(br#"{"version": 1}"#),
            Unreadable::Malformed(_)
        ));
        assert!(matches!(read(b"\xff\x00"), Unreadable::Malformed(_)));
    }
}
