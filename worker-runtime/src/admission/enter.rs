//! From a delivery to its room on the card, or on the host.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use shared::byte_size::ByteSize;
use shared::failure::chain;
use shared::fields;
use shared::ids::ProfileName;
use shared::job::JobKind;
use shared::profile::DeviceMemory;
use shared::protocol::RunAttempt;
use tokio::time::{Instant, sleep};

use super::card::backend_id;
use super::evict::make_room;
use super::room::About;
use super::told::split;
use super::{Became, Card, Room, Shut, lock, needs_room};
use crate::gpu::admit::{Need, Verdict, Waits};
use crate::gpu::footprint::{Extent, Start};
use crate::gpu::gate::{Answer, Reservation, Turn};
use crate::gpu::ledger::{Aging, BackendId, BootTime, Class, LedgerError, Precedence, State, Work};
use crate::metrics::{Metrics, Said, said};
use crate::offers::Offer;
use crate::traces::AttemptTrace;
use crate::worker::Worker;

/// The device memory of work without a device.
const NOTHING: DeviceMemory = DeviceMemory {
    load: ByteSize::ZERO,
    peak: ByteSize::ZERO,
    spike: ByteSize::ZERO,
};
/// A queue is open only while its work would be admitted: what does not fit then is a race, and passes soon or not at all. The
/// job before it has settled by then, even where nothing tells what its backend holds.
const PATIENCE: Duration = Duration::from_secs(4);
/// The same for the end of a run that is under way, and of what is before the job in the line. A broker takes a delivery back
/// that is not acked for half an hour.
const A_RUN: Duration = Duration::from_mins(20);
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether a delivery may go on.
#[derive(Debug)]
pub(crate) enum Entered {
    /// It may; with its room, if it needs one.
    In(Option<Box<Room>>),
    /// Somebody was faster. It is to be handed back.
    Full(String),
    /// The worker goes away.
    GoingAway,
}

/// What a job was told at the gate while it waited there.
#[derive(Debug)]
struct Told<'a> {
    metrics: &'a Metrics,
    profile: &'a ProfileName,
    last: Option<Said>,
    /// In full, for a person.
    reason: Option<String>,
}

impl Told<'_> {
    /// The same word again is no news.
    fn hear(&mut self, said: Said, reason: Option<String>) {
        if self.last != Some(said) {
            self.last = Some(said);
            self.metrics.verdict(self.profile, said);
        }
        if reason.is_some() {
            self.reason = reason;
        }
    }
}

/// Has the gate decide about that attempt, if there is one for such work.
pub(crate) async fn enter(
    worker: &Arc<Worker>,
    attempt: &RunAttempt,
    trace: &mut AttemptTrace,
) -> Entered {
    let kind = attempt.payload.kind();
    let Some(place) = worker.place_of(kind, &attempt.profile) else {
        return Entered::In(None);
    };
    let offer = &worker.offers[place];
    if !needs_room(&offer.profile) {
        return Entered::In(None);
    }
    // A result that is there already needs no memory to be reported, and work that goes on here will not begin again.
    let (job, take) = (attempt.job, attempt.take);
    let is_done = worker.journal.success_of(job, take).is_some();
    if is_done || worker.runs.at_work_on(job, take).is_some() {
        return Entered::In(None);
    }
    let (began, since) = (SystemTime::now(), Instant::now());
    let mut told = Told {
        metrics: &worker.metrics,
        profile: &offer.profile.name,
        last: None,
        reason: None,
    };
    let entered = match offer.profile.needs.device {
        Some(declared) => onto_card(worker, attempt, place, declared, &mut told).await,
        None => onto_host(worker, attempt, place, &mut told).await,
    };
    let outcome = match &entered {
        Entered::In(_) => "admitted",
        Entered::Full(_) => "handed_back",
        Entered::GoingAway => "going_away",
    };
    let reason = match &entered {
        Entered::Full(reason) => Some(reason.clone()),
        Entered::In(_) | Entered::GoingAway => told.reason,
    };
    worker
        .metrics
        .waited(&offer.profile.name, outcome, since.elapsed());
    trace.entered(began, outcome, reason);
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

async fn onto_card(
    worker: &Arc<Worker>,
    attempt: &RunAttempt,
    place: usize,
    declared: DeviceMemory,
    told: &mut Told<'_>,
) -> Entered {
    let offer = &worker.offers[place];
    let Some(card) = worker.admission.card() else {
        return Entered::Full("there is no card".to_owned());
    };
    let extent = Extent::of(&attempt.payload);
    let learned = {
        let (card, profile) = (Arc::clone(&card), offer.profile.clone());
        let learned = move || (card.need(&profile, extent), card.usual(&profile.name));
        tokio::task::spawn_blocking(learned).await
    };
    let (need, usual) = learned.unwrap_or((Need::Unknown, None));
    lock(&worker.admission.needs).insert(place, need);
    let memory = match need {
        Need::Device { memory, .. } => memory,
        // The gate says so.
        Need::Unknown | Need::Host { .. } => declared,
    };
    let work = work(worker, offer, memory, attempt);
    let backend = work.backend.clone();
    let often = card.sight.often();
    match decide(worker, Some(&card), card.gate.turn(work, need), place, told).await {
        Decided::Reserved(reservation) => {
            let about = About {
                key: card.key(&offer.profile, extent),
                usual,
                ..about(worker, &card, offer, backend).await
            };
            let room = Room::on_card(&card, often, reservation, memory.load, about);
            lock(&worker.admission.watched).extend(room.watched());
            Entered::In(Some(Box::new(room)))
        }
        Decided::Full(reason) => Entered::Full(reason),
        Decided::GoingAway => Entered::GoingAway,
    }
}

async fn onto_host(
    worker: &Arc<Worker>,
    attempt: &RunAttempt,
    place: usize,
    told: &mut Told<'_>,
) -> Entered {
    let offer = &worker.offers[place];
    let Some(gate) = worker.admission.host.borrow().clone() else {
        return Entered::Full("the host was not looked at yet".to_owned());
    };
    let needs = &offer.profile.needs;
    let work = work(worker, offer, NOTHING, attempt);
    let turn = gate.turn(work, Need::declared(needs));
    match decide(worker, None, turn, place, told).await {
        Decided::Reserved(reservation) => {
            Entered::In(Some(Box::new(Room::on_host(reservation, needs.ram))))
        }
        Decided::Full(reason) => Entered::Full(reason),
        Decided::GoingAway => Entered::GoingAway,
    }
}

/// What the gate says in the end.
enum Decided {
    Reserved(Reservation),
    Full(String),
    GoingAway,
}

/// How things stand on the card when a job of that offer is admitted to it.
async fn about(worker: &Worker, card: &Arc<Card>, offer: &Offer, backend: BackendId) -> About {
    let gate = Arc::clone(&card.gate);
    let page = tokio::task::spawn_blocking(move || gate.page()).await;
    let entries = page.ok().and_then(Result::ok).unwrap_or_default().entries;
    let loaded: Vec<_> = entries
        .iter()
        .map(|booked| &booked.entry)
        .filter(|entry| matches!(entry.state, State::Resident { .. }))
        .filter(|entry| entry.work.backend == backend)
        .map(|entry| &entry.work.profile)
        .collect();
    let start = match loaded.is_empty() {
        true => Start::Empty,
        false if loaded.contains(&&offer.profile.name) => Start::Warm,
        false => Start::Other,
    };
    let last = worker.admission.last();
    About {
        key: None,
        usual: None,
        start,
        // The one that is lying there may be too old, and a job of which that is unknown teaches nothing.
        free: card.sight.free_now().await,
        foreign: last.and_then(|survey| split(&survey, &backend).1),
        backend,
    }
}

/// Asks until there is an answer. Without a card nobody is put out.
async fn decide(
    worker: &Arc<Worker>,
    card: Option<&Arc<Card>>,
    mut turn: Turn,
    place: usize,
    told: &mut Told<'_>,
) -> Decided {
    let pace = worker.config.pace;
    // As it is when the job comes: once the job waits for the card, it has its place in the line.
    let is_due = worker.conditions.borrow().due[place];
    let mut since = Instant::now();
    loop {
        let asked = tokio::task::spawn_blocking(move || {
            let answer = turn.ask();
            (turn, answer)
        });
        let answer: Result<Answer, LedgerError>;
        (turn, answer) = match asked.await {
            Ok(asked) => asked,
            Err(error) => return Decided::Full(format!("the gate has failed: {error}")),
        };
        match &answer {
            Ok(answer) => told.hear(said(answer), reason_of(answer)),
            Err(error) => told.hear(("wait", "ledger"), Some(chain(error))),
        }
        match answer {
            Ok(Answer::Reserved(reservation)) => {
                return Decided::Reserved(reservation);
            }
            Ok(Answer::Evict {
                victims,
                target_free,
                why,
            }) => {
                let Some(card) = card else {
                    return Decided::Full(why);
                };
                tracing::info!({ fields::REASON } = why, "asks others to leave");
                let reached;
                (turn, reached) = make_room(worker, card, turn, victims, target_free).await;
                tracing::info!(reached, "others were asked to leave");
                worker.metrics.evicted(told.profile, reached);
                if !reached {
                    lock(&worker.admission.became).push((place, Became::NoRoom));
                }
                since = Instant::now();
            }
            Ok(Answer::Wait(reason)) if since.elapsed() >= pace.of(patience(&reason, is_due)) => {
                return Decided::Full(reason.to_string());
            }
            Ok(Answer::Wait(_)) => {}
            Ok(Answer::Never(verdict)) => return Decided::Full(verdict.to_string()),
            Err(error) => return Decided::Full(chain(&error)),
        }
        tokio::select! {
            () = sleep(pace.of(PAUSE)) => {}
            () = worker.draining() => {}
        }
        if worker.conditions.borrow().draining {
            return Decided::GoingAway;
        }
    }
}

/// Why a job does not begin at once, if it does not.
fn reason_of(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Reserved(_) => None,
        Answer::Evict { why, .. } => Some(why.clone()),
        Answer::Wait(reason) => Some(reason.to_string()),
        Answer::Never(verdict) => Some(verdict.to_string()),
    }
}

/// How long a job waits for that. One that is due has been taken though others of ours run, so that its place in the line
/// keeps the next of them from beginning.
fn patience(reason: &Waits, is_due: bool) -> Duration {
    match reason {
        Waits::NeedUnknown | Waits::ReclaimFailed(_) => Duration::ZERO,
        Waits::Promised(_) | Waits::Behind { .. } if is_due => A_RUN,
        _ => PATIENCE,
    }
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
    let on_card = backend.on_card();
    Work {
        job: attempt.job,
        take: attempt.take,
        attempt: attempt.attempt,
        backend: backend_id(backend, &worker.me.worker),
        kind: on_card.kind,
        profile: attempt.profile.clone(),
        class,
        // The turn works it out.
        precedence: Precedence::of(class, BootTime::default(), Aging::default()),
        memory,
        ram: offer.profile.needs.ram,
        pinned: on_card.pinned,
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
        Verdict::Wait { reason } => Some(Shut {
            until_a_run_ends: matches!(reason, Waits::Promised(_)),
            ..Shut::for_now(reason.to_string())
        }),
        Verdict::Never { reason } => Some(Shut {
            never: true,
            until_a_run_ends: false,
            reason: reason.to_string(),
        }),
    }
}
