//! From the grant to the report: the work itself, with its deadline, its progress and the orders to stop.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use shared::failure::{Failure, FailureKind, chain};
use shared::fields;
use shared::ids::ProfileName;
use shared::job::Outcome;
use shared::protocol::{AttemptFailed, AttemptSucceeded, ReleaseReason, RunAttempt, ToCoordinator};
use shared::trace::TraceContext;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::admission::{How, Left, Room, Shown, needs_room};
use crate::ask::released;
use crate::backend::{AttemptContext, Notebook, Progress, Step};
use crate::metrics::{Adopted, NO_DEVICE};
use crate::progress;
use crate::runs::{Run, RunGuard, StopReason};
use crate::slots::Slot;
use crate::traces::{AttemptTrace, RunTold};
use crate::worker::Worker;

/// How long the end of a backend's future is waited for once it is dropped.
const DROP_TIMEOUT: Duration = Duration::from_millis(100);

/// A run that may begin.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) run: Run,
    pub(crate) attempt: Box<RunAttempt>,
    pub(crate) lease: Duration,
    pub(crate) granted_at: Instant,
    pub(crate) progress: Progress,
    pub(crate) steps: watch::Receiver<Step>,
    pub(crate) guard: RunGuard,
    /// What it was promised of the card, if it needs one.
    pub(crate) room: Option<Box<Room>>,
    /// What it went through so far.
    pub(crate) trace: AttemptTrace,
}

/// How a run ended.
enum End {
    Succeeded(Outcome, Duration),
    Failed(Failure),
    Released(ReleaseReason),
}

/// Does the work and reports how it ended. Returns the slot once the report is written down.
pub(crate) async fn perform(worker: &Arc<Worker>, mut granted: Granted, slot: Slot) -> Slot {
    let run = granted.run;
    let room = granted.room.take();
    let began = SystemTime::now();
    tracing::info!({ fields::PROFILE } = %granted.attempt.profile, "the run begins");
    let (end, left) = work(worker, &granted, room.as_deref()).await;
    log(&end);
    let mut shown = Shown::default();
    if let Some(room) = room {
        // Before the report: the next job may come with the answer.
        shown = room.end(left).await;
        worker.takes(&granted.attempt.profile, shown.usual);
        worker.admission.look_now();
    }
    let told = Told {
        began,
        end: &end,
        shown,
        trace: granted.trace,
    };
    let part_of = told.tell(worker, &granted.attempt, granted.granted_at.elapsed());
    let report = match end {
        End::Succeeded(outcome, took) => {
            ToCoordinator::AttemptSucceeded(Box::new(AttemptSucceeded {
                run: run.of,
                worker: worker.me.clone(),
                outcome,
                took,
            }))
        }
        End::Failed(failure) => ToCoordinator::AttemptFailed(AttemptFailed {
            run: run.of,
            worker: worker.me.clone(),
            failure,
        }),
        End::Released(reason) => released(worker, run, reason),
    };
    let reporter = &worker.reporter;
    reporter
        .report(run.of.run, run.store, part_of, report)
        .await;
    drop(granted.guard);
    slot
}

/// How a run went, for those who watch the worker.
struct Told<'a> {
    began: SystemTime,
    end: &'a End,
    shown: Shown,
    trace: AttemptTrace,
}

impl Told<'_> {
    /// Counts the run and hands its trace over; what its report carries.
    fn tell(
        mut self,
        worker: &Worker,
        attempt: &RunAttempt,
        took: Duration,
    ) -> Option<TraceContext> {
        let (outcome, failure) = match self.end {
            End::Succeeded(..) => ("succeeded", None),
            End::Failed(failure) => ("failed", Some(failure.to_string())),
            End::Released(_) => ("released", None),
        };
        let kind = attempt.payload.kind();
        let offer = worker.offer(kind, &attempt.profile);
        let needs_card = offer.is_some_and(|offer| offer.profile.needs.device.is_some());
        let card = worker.admission.card().filter(|_| needs_card);
        let device = card.map_or_else(|| NO_DEVICE.to_owned(), |card| card.device.uuid.to_string());
        // Of what is not offered there may be any number of names.
        if let Some(offer) = offer {
            let profile = &offer.profile.name;
            let metrics = &worker.metrics;
            metrics.ran((kind, profile), &device, outcome, took);
            if self.shown.was_loaded {
                metrics.loaded(profile, &device, self.shown.load);
            }
        }
        self.trace.ran(RunTold {
            began: self.began,
            backend: offer.map(|offer| offer.profile.backend.as_str()),
            device: &device,
            outcome,
            failure: failure.clone(),
            load: self.shown.load,
        });
        self.trace.end(outcome, failure)
    }
}

fn log(end: &End) {
    match end {
        End::Succeeded(_, took) => {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::info!({ fields::TOOK_MS } = took_ms, "the run succeeded");
        }
        End::Failed(failure) => {
            tracing::warn!({ fields::FAILURE_KIND } = %failure.kind, { fields::ERROR } = failure.message, "the run failed");
        }
        End::Released(reason) => {
            tracing::info!({ fields::REASON } = ?reason, "the run is given back");
        }
    }
}

async fn work(worker: &Arc<Worker>, granted: &Granted, room: Option<&Room>) -> (End, Left) {
    if let Some(adopted) = adopt(worker, granted.run, &granted.attempt.profile).await {
        let end = End::Succeeded(adopted.outcome, adopted.took);
        return (end, Left::Untouched);
    }
    let attempt = &granted.attempt;
    let Some(offer) = worker.offer(attempt.payload.kind(), &attempt.profile) else {
        let refusal = format!(
            "worker {} does not offer {} for {} jobs",
            worker.me.worker,
            attempt.profile,
            attempt.payload.kind()
        );
        let failure = Failure::new(FailureKind::Permanent, refusal);
        return (End::Failed(failure), Left::Untouched);
    };
    if needs_room(&offer.profile) && room.is_none() {
        // It was to be adopted, and what was to be adopted is gone.
        return (End::Released(ReleaseReason::DidNotFit), Left::Untouched);
    }
    let threads = room.and_then(Room::threads);
    let terms = Terms {
        threads: threads.filter(|most| *most < offer.profile.needs.threads),
        expected: room.and_then(Room::expected),
    };
    in_scratch_folder(worker, granted, offer.backend, terms).await
}

/// On what terms a job was let in.
#[derive(Debug, Clone, Copy)]
struct Terms {
    /// Processor threads that it is to keep to.
    threads: Option<u32>,
    /// How long it is expected to take.
    expected: Option<Duration>,
}

/// The result of an earlier run of the same job and take here, if it is still there.
async fn adopt(worker: &Worker, run: Run, profile: &ProfileName) -> Option<AttemptSucceeded> {
    let success = worker.journal.success_of(run.of.job, run.take)?;
    if let Some(artifact) = success.outcome.product.artifact()
        && let Err(error) = worker.artifacts.verify(artifact).await
    {
        tracing::warn!(
            { fields::ERROR } = chain(&error),
            "an earlier result cannot be adopted; the work is done again"
        );
        return None;
    }
    tracing::info!({ fields::TAKE } = %run.take, "adopted an earlier result");
    worker.metrics.adopted(profile, Adopted::Result);
    Some(success)
}

async fn in_scratch_folder(
    worker: &Arc<Worker>,
    granted: &Granted,
    backend: usize,
    terms: Terms,
) -> (End, Left) {
    let scratch = worker.scratch_root().join(granted.run.of.run.to_string());
    if let Err(error) = tokio::fs::create_dir_all(&scratch).await {
        return (End::Failed(no_scratch(&scratch, &error)), Left::Untouched);
    }
    let ended = run_backend(worker, granted, backend, scratch.clone(), terms).await;
    if let Err(error) = tokio::fs::remove_dir_all(&scratch).await {
        tracing::warn!({ fields::ERROR } = %error, folder = %scratch.display(), "a scratch folder stays behind until the next start");
    }
    ended
}

fn no_scratch(folder: &Path, error: &io::Error) -> Failure {
    Failure::new(
        FailureKind::Transient,
        format!(
            "cannot make the scratch folder {}: {error}",
            folder.display()
        ),
    )
}

async fn run_backend(
    worker: &Arc<Worker>,
    granted: &Granted,
    place: usize,
    scratch: PathBuf,
    Terms { threads, expected }: Terms,
) -> (End, Left) {
    let run = granted.run;
    let context = AttemptContext {
        artifacts: worker.artifacts.clone(),
        scratch,
        cancelled: CancellationToken::new(),
        leaving: CancellationToken::new(),
        progress: match threads {
            Some(most) => {
                let limit = format!("on {most} threads at most, beside a video job");
                granted.progress.noting(limit)
            }
            None => granted.progress.clone(),
        },
        threads,
        notebook: Notebook::new(
            worker.journal.note_of(run.of.job, run.take),
            worker.journal.note_writer(run.of.run),
        ),
    };
    let (cancelled, leaving) = (context.cancelled.clone(), context.leaving.clone());
    let notebook = context.notebook.clone();
    let _told = {
        let (worker, steps, lease) = (Arc::clone(worker), granted.steps.clone(), granted.lease);
        AbortOnDropHandle::new(tokio::spawn(async move {
            progress::tell(&worker, run, steps, lease, expected).await;
        }))
    };
    let mut task = {
        let backend = Arc::clone(&worker.backends[place]);
        let attempt = granted.attempt.clone();
        let work = async move { backend.run(&attempt, &context).await };
        AbortOnDropHandle::new(tokio::spawn(work.in_current_span()))
    };
    let (end, left) = tokio::select! {
        biased;
        ended = &mut task => of_backend(ended, granted),
        reason = granted.guard.stop.stopped() => {
            if reason == StopReason::Drained {
                leaving.cancel();
            }
            let stopped = stop(worker, task, &cancelled).await;
            let end = match (stopped.outcome, reason) {
                (Some(outcome), StopReason::Drained) => End::Succeeded(outcome, granted.granted_at.elapsed()),
                (_, reason) => of_stop(reason),
            };
            (end, stopped.left)
        }
        () = sleep_until(granted.granted_at + granted.attempt.time_limit) => {
            let stopped = stop(worker, task, &cancelled).await;
            let end = match stopped.outcome {
                Some(outcome) => End::Succeeded(outcome, granted.granted_at.elapsed()),
                None => End::Failed(Failure::new(
                    FailureKind::TimedOut,
                    format!("ran longer than its limit of {} s", granted.attempt.time_limit.as_secs_f64()),
                )),
            };
            (end, stopped.left)
        }
    };
    if matches!(&end, End::Failed(failure) if failure.kind != FailureKind::Cancelled) {
        worker.doubt(place);
    }
    if matches!(&end, End::Succeeded(..)) && notebook.is_adopting() {
        let profile = &granted.attempt.profile;
        worker.metrics.adopted(profile, Adopted::Render);
    }
    (end, left)
}

fn of_backend(
    ended: Result<Result<Outcome, Failure>, JoinError>,
    granted: &Granted,
) -> (End, Left) {
    let panic = match ended {
        Ok(Ok(outcome)) => {
            let end = End::Succeeded(outcome, granted.granted_at.elapsed());
            return (end, Left::Ended(How::Well));
        }
        Ok(Err(failure)) => {
            let left = Left::Ended(how(&failure));
            return (End::Failed(failure), left);
        }
        Err(error) => error
            .try_into_panic()
            .map_or_else(|error| error.to_string(), |panic| text_of(panic.as_ref())),
    };
    // Transient: a panic tells nothing about the job itself, and another worker or the next try may do better. The number of
    // tries is bounded all the same.
    let failure = Failure::new(
        FailureKind::Transient,
        format!("the backend panicked: {panic}"),
    );
    (End::Failed(failure), Left::MayGoOn)
}

fn of_stop(reason: StopReason) -> End {
    match reason {
        StopReason::Drained => End::Released(ReleaseReason::Drain),
        StopReason::Cancelled(why) => End::Failed(Failure::new(
            FailureKind::Cancelled,
            format!("cancelled by the coordinator: {why:?}"),
        )),
    }
}

/// How a backend has finished with a job that failed.
fn how(failure: &Failure) -> How {
    match failure.kind {
        FailureKind::OutOfMemory => How::OutOfMemory,
        _ => How::Otherwise,
    }
}

/// What came of telling a backend to stop.
struct Stopped {
    /// The result, if it has one all the same: the work is paid for.
    outcome: Option<Outcome>,
    left: Left,
}

/// Tells a backend to stop, and drops it when it takes too long about it.
async fn stop(
    worker: &Worker,
    mut task: AbortOnDropHandle<Result<Outcome, Failure>>,
    cancelled: &CancellationToken,
) -> Stopped {
    cancelled.cancel();
    let ended = match timeout(worker.config.stop_timeout, &mut task).await {
        Ok(ended) => ended.ok(),
        Err(_) => {
            tracing::warn!("a backend did not stop when it was told to; it is dropped");
            task.abort();
            // A future that does not even yield cannot be dropped; nobody waits for it.
            let ended = timeout(DROP_TIMEOUT, task).await.ok();
            ended.and_then(Result::ok)
        }
    };
    Stopped {
        left: match &ended {
            Some(Ok(_)) => Left::Ended(How::Well),
            Some(Err(failure)) => Left::Ended(how(failure)),
            // Dropped, or it panicked.
            None => Left::MayGoOn,
        },
        outcome: ended.and_then(Result::ok),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
