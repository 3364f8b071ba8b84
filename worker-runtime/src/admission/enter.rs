//! From a delivery to its room on the card.

use std::sync::Arc;
use std::time::Duration;

use shared::failure::chain;
use shared::fields;
use shared::job::JobKind;
use shared::profile::DeviceMemory;
use shared::protocol::RunAttempt;
use tokio::time::{Instant, sleep};

use super::card::backend_id;
use super::evict::make_room;
use super::{Became, Card, Room, Shut, lock};
use crate::gpu::admit::{Need, Verdict, Waits};
use crate::gpu::gate::{Answer, Turn};
use crate::gpu::ledger::{Aging, BootTime, Class, LedgerError, Precedence, Work};
use crate::offers::Offer;
use crate::worker::Worker;

/// A queue is open only while its work would be admitted: what does not fit then is a race, and passes soon or not at all. The
/// job before it has settled by then, even where nothing tells what its backend holds.
const PATIENCE: Duration = Duration::from_secs(4);
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether a delivery may go on.
#[derive(Debug)]
pub(crate) enum Entered {
    /// It may; with its room, if it needs one.
    In(Option<Room>),
    /// Somebody was faster. It is to be handed back.
    Full(String),
    /// The worker goes away.
    GoingAway,
}

/// Has the gate decide about that attempt, if it needs the card.
pub(crate) async fn enter(worker: &Arc<Worker>, attempt: &RunAttempt) -> Entered {
    let kind = attempt.payload.kind();
    let Some(place) = worker.place_of(kind, &attempt.profile) else {
        return Entered::In(None);
    };
    let offer = &worker.offers[place];
    let Some(memory) = offer.profile.needs.device else {
        return Entered::In(None);
    };
    // A result that is there already needs no memory to be reported, and work that goes on here will not begin again.
    let (job, take) = (attempt.job, attempt.take);
    let is_done = worker.journal.success_of(job, take).is_some();
    if is_done || worker.runs.at_work_on(job, take).is_some() {
        return Entered::In(None);
    }
    let Some(card) = worker.admission.card() else {
        return Entered::Full("there is no card".to_owned());
    };
    let turn = card
        .gate
        .turn(work(worker, offer, memory, attempt), need(offer));
    let entered = decide(worker, &card, turn, (place, memory)).await;
    let became = match &entered {
        Entered::Full(reason) => Some(Became::HandedBack(reason.clone())),
        Entered::In(_) => Some(Became::Admitted),
        Entered::GoingAway => None,
    };
    lock(&worker.admission.became).extend(became.map(|it| (place, it)));
    if let Entered::Full(reason) = &entered {
        // Before the delivery is settled: the job must not come back to this worker at once.
        worker.set(|now| now.gate[place] = Some(Shut::for_now(reason.clone())));
    }
    worker.admission.look_now();
    entered
}

async fn decide(
    worker: &Arc<Worker>,
    card: &Arc<Card>,
    mut turn: Turn,
    (place, memory): (usize, DeviceMemory),
) -> Entered {
    let mut since = Instant::now();
    loop {
        let asked = tokio::task::spawn_blocking(move || {
            let answer = turn.ask();
            (turn, answer)
        });
        let answer: Result<Answer, LedgerError>;
        (turn, answer) = match asked.await {
            Ok(asked) => asked,
            Err(error) => return Entered::Full(format!("the gate has failed: {error}")),
        };
        match answer {
            Ok(Answer::Reserved(reservation)) => {
                return Entered::In(Some(Room::new(card, reservation, memory.load)));
            }
            Ok(Answer::Evict {
                victims,
                target_free,
                why,
            }) => {
                tracing::info!({ fields::REASON } = why, "asks others to leave");
                let reached;
                (turn, reached) = make_room(worker, card, turn, victims, target_free).await;
                tracing::info!(reached, "others were asked to leave");
                if !reached {
                    lock(&worker.admission.became).push((place, Became::NoRoom));
                }
                since = Instant::now();
            }
            Ok(Answer::Wait(reason)) if !may_pass(&reason) || since.elapsed() >= PATIENCE => {
                return Entered::Full(reason.to_string());
            }
            Ok(Answer::Wait(_)) => {}
            Ok(Answer::Never(verdict)) => return Entered::Full(verdict.to_string()),
            Err(error) => return Entered::Full(chain(&error)),
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = worker.draining() => {}
        }
        if worker.conditions.borrow().draining {
            return Entered::GoingAway;
        }
    }
}

/// Whether a moment may change it.
fn may_pass(reason: &Waits) -> bool {
    !matches!(reason, Waits::NeedUnknown | Waits::ReclaimFailed(_))
}

/// What a job of that offer needs.
pub(super) fn need(offer: &Offer) -> Need {
    Need::declared(&offer.profile.needs, false)
}

/// Which sort of work that kind of job is.
pub(super) fn class_of(kind: JobKind) -> Class {
    match kind {
        JobKind::Story => Class::Story,
        JobKind::Keyframe | JobKind::Scene | JobKind::Assembly => Class::Video,
    }
}

fn work(worker: &Worker, offer: &Offer, memory: DeviceMemory, attempt: &RunAttempt) -> Work {
    let backend = worker.backends[offer.backend].as_ref();
    let class = class_of(offer.profile.kind);
    Work {
        job: attempt.job,
        take: attempt.take,
        attempt: attempt.attempt,
        backend: backend_id(backend, &worker.me.worker),
        kind: backend.on_card().kind,
        profile: attempt.profile.clone(),
        class,
        // The turn works it out.
        precedence: Precedence::of(class, BootTime::default(), Aging::default()),
        memory,
        ram: offer.profile.needs.ram,
        pinned: false,
        reload: reload(class),
        limit: attempt.time_limit,
    }
}

/// How long a model takes to load, where nothing was measured.
fn reload(class: Class) -> Duration {
    Duration::from_secs(match class {
        Class::Story => 10,
        Class::Video => 45,
    })
}

/// The reason why a queue is shut, or that it is open: a job of it would be admitted, or would be once others of ours have
/// left.
pub(super) fn shut_by(verdict: &Verdict) -> Option<Shut> {
    match verdict {
        Verdict::Admit { .. } | Verdict::EvictFirst { .. } => None,
        Verdict::Wait { reason } => Some(Shut::for_now(reason.to_string())),
        Verdict::Never { reason } => Some(Shut {
            never: true,
            reason: reason.to_string(),
        }),
    }
}
