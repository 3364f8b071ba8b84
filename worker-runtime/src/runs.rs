//! The runs of this worker that wait for their grant or go on: where answers and orders from the inbox find them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use shared::fields;
use shared::ids::{JobId, RunId, StoreId, Take, WorkerId};
use shared::protocol::{DenyReason, RunRef};
use shared::trace::TraceContext;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::backend::Step;

/// What identifies a run in every message about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) of: RunRef,
    pub(crate) take: Take,
    pub(crate) store: Option<StoreId>,
    /// What its attempt was sent as part of.
    pub(crate) part_of: Option<TraceContext>,
}

impl Run {
    /// The span of everything that is said about it in the log.
    pub(crate) fn span(&self, worker: &WorkerId) -> Span {
        tracing::info_span!(
            "attempt",
            { fields::JOB_ID } = %self.of.job,
            { fields::ATTEMPT } = %self.of.attempt,
            { fields::RUN_ID } = %self.of.run,
            { fields::WORKER_ID } = %worker,
            { fields::TRACE_ID } = self.part_of.map(|it| display(it.trace_id())),
        )
    }
}

/// The coordinator's answer to a worker that asks whether it may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Begin; the lease is that long.
    Granted(Duration),
    /// Do not begin.
    Denied(DenyReason),
    /// It was granted, and then the coordinator thought otherwise.
    Cancelled(DenyReason),
}

/// Why a run is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The coordinator does not want its result any more.
    Cancelled(DenyReason),
    /// The worker is going away.
    Drained,
}

/// Tells one run to stop. The first reason counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    token: CancellationToken,
    reason: Arc<OnceLock<StopReason>>,
}

impl Stop {
    pub(crate) fn stop(&self, why: StopReason) {
        // A second reason comes too late.
        let _ = self.reason.set(why);
        self.token.cancel();
    }

    /// Waits until the run is told to stop.
    pub(crate) async fn stopped(&self) -> StopReason {
        self.token.cancelled().await;
        *self
            .reason
            .get()
            .expect("the reason is set before the token fires")
    }
}

#[derive(Debug)]
struct Entry {
    run: Run,
    stop: Stop,
    steps: watch::Receiver<Step>,
    /// Where the answer goes; `None` from the answer on.
    answer: Option<oneshot::Sender<Answer>>,
    granted: bool,
}

/// All runs of one worker.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    entries: Mutex<BTreeMap<RunId, Entry>>,
    changed: watch::Sender<()>,
}

impl Runs {
    /// Enters a run that asks for its grant. It is gone when the guard is dropped.
    pub(crate) fn enter(
        self: &Arc<Self>,
        run: Run,
        steps: watch::Receiver<Step>,
    ) -> (RunGuard, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let stop = Stop::default();
        let entry = Entry {
            run,
            stop: stop.clone(),
            steps,
            answer: Some(answer),
            granted: false,
        };
        self.lock().insert(run.of.run, entry);
        let guard = RunGuard {
            runs: Arc::clone(self),
            run: run.of.run,
            stop,
        };
        (guard, answered)
    }

    /// Passes an answer on. `false` if nobody waits for it: it was given before, or the run is over.
    pub(crate) fn answer(&self, run: RunId, answer: Answer) -> bool {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&run) else {
            return false;
        };
        let Some(waiting) = entry.answer.take() else {
            return false;
        };
        entry.granted = matches!(answer, Answer::Granted(_));
        drop(entries);
        self.changed.send_replace(());
        waiting.send(answer).is_ok()
    }

    /// Stops a run, or the question whether it may begin. `false` if there is no such run.
    pub(crate) fn cancel(&self, run: RunId, reason: DenyReason) -> bool {
        if self.answer(run, Answer::Cancelled(reason)) {
            return true;
        }
        match self.lock().get(&run) {
            Some(entry) => {
                entry.stop.stop(StopReason::Cancelled(reason));
                true
            }
            None => false,
        }
    }

    /// Stops everything.
    pub(crate) fn stop_all(&self, why: StopReason) {
        for entry in self.lock().values() {
            entry.stop.stop(why);
        }
    }

    /// The granted run that does that work now, and how far it is.
    pub(crate) fn at_work_on(&self, job: JobId, take: Take) -> Option<(Run, Step)> {
        self.lock()
            .values()
            .find(|entry| entry.granted && entry.run.of.job == job && entry.run.take == take)
            .map(|entry| (entry.run, entry.steps.borrow().clone()))
    }

    /// All granted runs.
    pub(crate) fn granted(&self) -> Vec<RunRef> {
        let entries = self.lock();
        let granted = entries.values().filter(|entry| entry.granted);
        granted.map(|entry| entry.run.of).collect()
    }

    /// Tells when that changes.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Entry>> {
        self.entries
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

/// A run's place among the runs.
#[derive(Debug)]
pub(crate) struct RunGuard {
    runs: Arc<Runs>,
    run: RunId,
    pub(crate) stop: Stop,
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        self.runs.lock().remove(&self.run);
        self.runs.changed.send_replace(());
    }
}
