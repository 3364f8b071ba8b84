//! The port to whatever does the work.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use shared::artifacts::ArtifactStore;
use shared::byte_size::ByteSize;
use shared::failure::{Failure, FailureKind};
use shared::ids::ProfileName;
use shared::job::Outcome;
use shared::preview::Preview;
use shared::profile::Profile;
use shared::protocol::{Resident, RunAttempt};
use tokio_util::sync::CancellationToken;

pub use crate::gpu::gate::BackendSays;
pub use crate::gpu::ledger::{BackendId, BackendKind};
use crate::journal::NoteWriter;
use crate::traces::Phases;

/// Something that does the work of one or more profiles: an inference server, a render server, or code in this process.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Its name, as `outline`, `animatic` or `comfyui`.
    fn name(&self) -> &'static str;

    /// The profiles it offers.
    fn profiles(&self) -> Vec<Profile>;

    /// Makes sure that what it needs is there. Called before the first attempt and again after a failure here, until it
    /// succeeds; the worker takes none of its profiles meanwhile and shows the reason.
    ///
    /// # Errors
    /// What is missing and what to do about it.
    async fn prepare(&self) -> Result<(), NotReady>;

    /// Runs one attempt. It returns soon after `context.cancelled` fires (the answer is then thrown away), and when it is
    /// dropped it leaves no process behind. Files it makes go to the artifact store before it returns. When it returns, nothing
    /// of the attempt runs on a card any more, though its model may stay loaded.
    ///
    /// # Errors
    /// The classified failure of this attempt.
    async fn run(&self, attempt: &RunAttempt, context: &AttemptContext)
    -> Result<Outcome, Failure>;

    /// Models that it holds in memory now.
    fn residents(&self) -> Vec<Resident> {
        Vec::new()
    }

    /// How it uses the card, as far as it knows without asking anybody. Called for each decision.
    fn on_card(&self) -> OnCard {
        OnCard::default()
    }

    /// What the memory that a profile needs depends on beside its name: a version, a hash of model files and workflow. What was
    /// learned with another one counts for nothing. Absent: not known.
    fn made_by(&self, _profile: &ProfileName) -> Option<String> {
        None
    }

    /// What it does now, jobs of others and of earlier lives of this worker included. Asked when a worker has died in the
    /// middle of a job: that job's memory counts as promised until the backend has nothing to do.
    async fn says(&self) -> BackendSays {
        BackendSays::Idle
    }

    /// Puts that model out of device memory, or everything if none is named; returns when it was asked to, whether or not the
    /// memory is free yet. Never called while a job of ours runs in it.
    ///
    /// # Errors
    /// Why it could not be asked.
    async fn unload(&self, _profile: Option<&ProfileName>) -> Result<(), String> {
        Ok(())
    }

    /// Starts its process anew, if it is this worker's to start; whether it did. Called when it has been asked twice to unload
    /// and its memory has not come back.
    async fn restart(&self) -> bool {
        false
    }
}

/// How a backend uses the card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnCard {
    /// What its server is called by all workers of this host, as `comfyui@127.0.0.1:8188`; absent: it is this worker's own.
    pub id: Option<BackendId>,
    /// How its models share memory.
    pub kind: BackendKind,
    /// Its processes, where they are known. Where there are several, not each of them need hold device memory.
    pub pids: Vec<u32>,
    /// Device memory that it says it holds: a lower bound.
    pub reported: Option<ByteSize>,
    /// Device memory that stays with it when everything is unloaded.
    pub residue: ByteSize,
    /// Its models are not this worker's to put out: somebody else has loaded them, or wants them to stay.
    pub pinned: bool,
}

impl Default for OnCard {
    fn default() -> Self {
        Self {
            id: None,
            kind: BackendKind::Replacing,
            pids: Vec::new(),
            reported: None,
            residue: ByteSize::ZERO,
            pinned: false,
        }
    }
}

/// What a backend lacks before it can work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotReady(pub String);

/// What one attempt is given beside its arguments.
#[derive(Debug, Clone)]
pub struct AttemptContext {
    /// Where products go and inputs come from.
    pub artifacts: ArtifactStore,
    /// An empty folder of this attempt's own; removed after it.
    pub scratch: PathBuf,
    /// Fires when the result is not wanted any more: cancelled, out of time, drained.
    pub cancelled: CancellationToken,
    /// Fires just before `cancelled` when that is because the worker goes away. Work that goes on in a server without this
    /// worker may be left there then, to be found again under its job and take: whoever leaves it does not return, and is
    /// dropped after a moment; what it holds of a card is kept for it as long as its server is busy.
    pub leaving: CancellationToken,
    /// Where progress is told.
    pub progress: Progress,
    /// Processor threads that the work is to keep to, since something else on this host needs the others; absent: as many as it
    /// likes.
    pub threads: Option<u32>,
    /// What was written down about this job and take, by this run and by earlier ones at this worker.
    pub notebook: Notebook,
}

impl AttemptContext {
    /// A context that nobody listens to and that keeps its notes only in memory, to run a backend by itself.
    pub fn detached(artifacts: ArtifactStore, scratch: PathBuf) -> Self {
        Self {
            artifacts,
            scratch,
            cancelled: CancellationToken::new(),
            leaving: CancellationToken::new(),
            progress: Progress::channel().0,
            threads: None,
            notebook: Notebook::default(),
        }
    }
}

/// How far an attempt is. Telling is cheap: only the latest word is sent on, a few times a second at most.
#[derive(Debug, Clone)]
pub struct Progress {
    sender: tokio::sync::watch::Sender<Step>,
    /// Told with every word.
    note: Option<Arc<str>>,
    /// Where phases are noted, if anybody wants to know.
    phases: Option<Phases>,
}

/// The latest word of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// What it is doing, in a word or two.
    pub phase: String,
    /// Steps done.
    pub step: u32,
    /// Steps in all; 0 while unknown.
    pub steps: u32,
    /// How the work looks at present, if its backend shows it.
    pub preview: Option<Preview>,
}

impl Progress {
    /// A progress to tell, and where to hear it.
    pub fn channel() -> (Self, tokio::sync::watch::Receiver<Step>) {
        let (sender, receiver) = tokio::sync::watch::channel(Step::default());
        let progress = Self {
            sender,
            note: None,
            phases: None,
        };
        (progress, receiver)
    }

    /// The same, with that told beside every word; it is told at once.
    pub(crate) fn noting(&self, note: impl Into<Arc<str>>) -> Self {
        let noting = Self {
            note: Some(note.into()),
            ..self.clone()
        };
        noting.tell("begins", 0, 0);
        noting
    }

    /// The same, whose phases are noted there.
    pub(crate) fn noted_in(self, phases: Option<Phases>) -> Self {
        Self { phases, ..self }
    }

    /// Notes for whoever traces the run that a phase begins which is not worth a word to others.
    pub fn enter(&self, phase: &str) {
        if let Some(phases) = &self.phases {
            phases.note(phase);
        }
    }

    /// Tells that `step` of `steps` is done.
    pub fn tell(&self, phase: &str, step: u32, steps: u32) {
        self.enter(phase);
        let phase = match &self.note {
            Some(note) => format!("{phase} ({note})"),
            None => phase.to_owned(),
        };
        self.sender.send_modify(|said| {
            said.phase = phase;
            said.step = step;
            said.steps = steps;
        });
    }

    /// Shows how the work looks at present, in the place of what was shown before. Never waits: of what comes faster than it is
    /// told, only the newest is kept.
    pub fn show(&self, preview: Preview) {
        self.sender.send_modify(|said| said.preview = Some(preview));
    }
}

/// Where a backend writes down its own name for the work of a job and take, before it submits that work, so that the work is
/// found again and not paid for twice.
#[derive(Debug, Clone, Default)]
pub struct Notebook {
    earlier: Option<String>,
    writer: Option<NoteWriter>,
    /// Whether this run has submitted something of its own.
    is_written: Arc<AtomicBool>,
}

impl Notebook {
    pub(crate) fn new(earlier: Option<String>, writer: NoteWriter) -> Self {
        Self {
            earlier,
            writer: Some(writer),
            is_written: Arc::default(),
        }
    }

    /// The last note of an earlier run of the same job and take at this worker.
    pub fn earlier(&self) -> Option<&str> {
        self.earlier.as_deref()
    }

    /// Whether an earlier run had submitted work, and this one nothing: it has found that work again, if it has come to anything.
    pub(crate) fn is_adopting(&self) -> bool {
        self.earlier.is_some() && !self.is_written.load(Ordering::Relaxed)
    }

    /// Writes a note in the place of this run's last one. When this returns, the note is on disk.
    ///
    /// # Errors
    /// A transient failure, if the disk did not take it: do not submit the work then.
    pub async fn write(&self, note: &str) -> Result<(), Failure> {
        self.is_written.store(true, Ordering::Relaxed);
        let Some(writer) = &self.writer else {
            return Ok(());
        };
        writer
            .write(note)
            .await
            .map_err(|error| Failure::from_error(FailureKind::Transient, &error))
    }
}
