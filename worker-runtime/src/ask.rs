//! From a delivery to its grant: nothing costly begins before the coordinator has said so.
//!
//! A run that asks does not depend on its delivery: when the connection is lost meanwhile, the message comes again, to
//! someone, and is asked for under another run id; whichever run is granted, the other is denied.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use shared::broker::{Delivery, Message, Queue};
use shared::failure::{Failure, FailureKind, chain};
use shared::fields;
use shared::ids::{RunId, StoreId};
use shared::protocol::{
    AttemptFailed, AttemptReleased, AttemptStarted, DenyReason, Envelope, ReleaseReason,
    RunAttempt, RunRef, ToCoordinator, ToWorker,
};
use shared::time::Timestamp;
use shared::trace::{self, TraceContext};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::admission::{Entered, Left, Room, enter};
use crate::attempt::Granted;
use crate::backend::Progress;
use crate::journal::{JournalError, Taken};
use crate::progress;
use crate::runs::{Answer, Run};
use crate::traces::AttemptTrace;
use crate::worker::Worker;

/// What became of a delivery.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The run may begin. The delivery is still to be acked.
    Granted(Box<Granted>, Delivery),
    /// There is nothing to run; the delivery is settled.
    Nothing,
    /// The worker goes away; the delivery is to go back once no more can come.
    GoingAway(Delivery),
}

/// Asks whether the attempt in this delivery may begin here, until there is an answer or the worker goes away.
///
/// # Errors
/// If nothing can be written down; the delivery went back to its queue.
pub(crate) async fn ask(worker: &Arc<Worker>, delivery: Delivery) -> Result<Asked, JournalError> {
    let (attempt, store, sent_at) = match read(&delivery) {
        Ok(read) => read,
        Err(reason) => {
            worker.park(delivery, &reason).await;
            return Ok(Asked::Nothing);
        }
    };
    worker.heard_of(store);
    let place = worker.place_of(attempt.payload.kind(), &attempt.profile);
    let waited_for = place.and_then(|place| worker.shut_since(place, sent_at));
    let me = &worker.me.worker;
    let mut trace = AttemptTrace::taken(&delivery.message, &attempt, sent_at, me, waited_for);
    let room = match enter(worker, &attempt, &mut trace).await {
        Entered::In(room) => Ok(room),
        Entered::Full(reason) => Err(reason),
        Entered::GoingAway => {
            trace.end("going away", None);
            return Ok(Asked::GoingAway(delivery));
        }
    };
    let run = Run {
        of: RunRef {
            job: attempt.job,
            attempt: attempt.attempt,
            run: RunId::generate(),
        },
        take: attempt.take,
        store,
        part_of: trace.parent(),
    };
    if let Some((living, step)) = worker.runs.at_work_on(attempt.job, attempt.take) {
        // The coordinator gave that run up for its silence. It speaks before the new one asks, so that it keeps its place and
        // the new one is denied.
        progress::say(worker, living, step, None).await;
    }
    let taken = Taken {
        run: run.of,
        take: run.take,
        store,
        at: Timestamp::now(),
    };
    if let Err(error) = worker.journal.taken(taken).await {
        leave_untouched(room).await;
        trace.end("not begun", Some(chain(&error)));
        delivery.requeue().await;
        return Err(error);
    }
    let (progress, steps) = Progress::channel();
    let progress = progress.noted_in(trace.phases());
    let asked_at = SystemTime::now();
    let (guard, answered) = worker.runs.enter(run, steps.clone());
    let answer = tokio::select! {
        answer = answer(worker, run, answered) => Some(answer),
        () = worker.draining() => None,
    };
    trace.answered(asked_at, name_of(answer));
    let room = match (&answer, room) {
        (Some(Answer::Granted(_)), Ok(room)) => room,
        (Some(Answer::Granted(_)), Err(reason)) => {
            // Only who has a run can give it back, and what is given back is queued again at once.
            tracing::info!({ fields::JOB_ID } = %run.of.job, { fields::REASON } = reason, "hands it back");
            let part_of = trace.end("handed back", None);
            let released = released(worker, run, ReleaseReason::DidNotFit);
            report(worker, run, part_of, released).await;
            delivery.ack().await;
            return Ok(Asked::Nothing);
        }
        (_, room) => {
            leave_untouched(room).await;
            None
        }
    };
    match answer {
        Some(Answer::Granted(lease)) => Ok(Asked::Granted(
            Box::new(Granted {
                run,
                attempt,
                lease,
                granted_at: Instant::now(),
                progress,
                steps,
                guard,
                room,
                trace,
            }),
            delivery,
        )),
        Some(Answer::Denied(reason)) => {
            tracing::debug!({ fields::JOB_ID } = %run.of.job, { fields::REASON } = ?reason, "denied");
            trace.end("denied", None);
            delivery.ack().await;
            worker.journal.forgotten(run.of.run).await;
            Ok(Asked::Nothing)
        }
        Some(Answer::Cancelled(reason)) => {
            delivery.ack().await;
            let part_of = trace.end("cancelled", None);
            let cancelled = cancelled_before_it_began(worker, run, reason);
            report(worker, run, part_of, cancelled).await;
            Ok(Asked::Nothing)
        }
        None => {
            // The grant may be on its way: the coordinator must not wait for a run that will not begin.
            let part_of = trace.end("going away", None);
            let released = released(worker, run, ReleaseReason::Drain);
            report(worker, run, part_of, released).await;
            Ok(Asked::GoingAway(delivery))
        }
    }
}

/// An answer in a word, for traces.
const fn name_of(answer: Option<Answer>) -> &'static str {
    match answer {
        Some(Answer::Granted(_)) => "granted",
        Some(Answer::Denied(_)) => "denied",
        Some(Answer::Cancelled(_)) => "cancelled",
        None => "none",
    }
}

/// Reports how a run ended that did not begin.
async fn report(worker: &Worker, run: Run, part_of: Option<TraceContext>, report: ToCoordinator) {
    worker
        .reporter
        .report(run.of.run, run.store, part_of, report)
        .await;
}

async fn leave_untouched(room: Result<Option<Box<Room>>, String>) {
    if let Ok(Some(room)) = room {
        let _ = room.end(Left::Untouched).await;
    }
}

/// The report of a run that is given back.
pub(crate) fn released(worker: &Worker, run: Run, reason: ReleaseReason) -> ToCoordinator {
    ToCoordinator::AttemptReleased(AttemptReleased {
        run: run.of,
        worker: worker.me.clone(),
        reason,
    })
}

fn cancelled_before_it_began(worker: &Worker, run: Run, reason: DenyReason) -> ToCoordinator {
    let message = format!("cancelled before it began: {reason:?}");
    ToCoordinator::AttemptFailed(AttemptFailed {
        run: run.of,
        worker: worker.me.clone(),
        failure: Failure::new(FailureKind::Cancelled, message),
    })
}

/// The attempt, whose it is, and when it was sent.
type Read = (Box<RunAttempt>, Option<StoreId>, Timestamp);

fn read(delivery: &Delivery) -> Result<Read, String> {
    let envelope =
        Envelope::<ToWorker>::from_json(&delivery.message.body).map_err(|error| chain(&error))?;
    match envelope.message {
        ToWorker::RunAttempt(attempt) => Ok((attempt, envelope.store, envelope.sent_at)),
        ToWorker::AttemptGranted(_)
        | ToWorker::AttemptDenied(_)
        | ToWorker::CancelAttempt(_)
        | ToWorker::PauseWorker(_)
        | ToWorker::BacklogHints(_) => {
            Err("only attempts belong in a queue of attempts".to_owned())
        }
    }
}

async fn answer(worker: &Worker, run: Run, answered: oneshot::Receiver<Answer>) -> Answer {
    tokio::select! {
        biased;
        answer = answered => match answer {
            Ok(answer) => answer,
            // The entry that holds the other end lives as long as its guard, which outlives this.
            Err(_) => pending().await,
        },
        () = keep_asking(worker, run) => pending().await,
    }
}

async fn keep_asking(worker: &Worker, run: Run) {
    let mut pause = worker.config.ask_interval;
    loop {
        say_started(worker, run).await;
        sleep(pause).await;
        tracing::debug!({ fields::JOB_ID } = %run.of.job, "no answer yet; asking again");
        pause = next_pause(pause, worker.config.ask_interval_cap);
    }
}

fn next_pause(pause: Duration, cap: Duration) -> Duration {
    (2 * pause).min(cap)
}

async fn say_started(worker: &Worker, run: Run) {
    let started = AttemptStarted {
        run: run.of,
        worker: worker.me.clone(),
    };
    // Asking again is a question of its own, not a repeat of the last one: whoever drops repeats must answer it.
    let envelope = Envelope::new(run.store, ToCoordinator::AttemptStarted(started));
    let message = Message::durable(envelope.message_id, envelope.to_json());
    let message = trace::mark(message, run.part_of);
    if let Err(error) = worker.broker.publish(&Queue::Reports.into(), message).await {
        tracing::debug!({ fields::ERROR } = %error, "the question for a grant may not have arrived");
    }
}
