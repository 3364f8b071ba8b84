//! Which queues are open: deliveries in, acks out.
//!
//! A queue is read through *lines*: subscriptions with prefetch 1, each of which asks for the grant of the one delivery in
//! its hand. A delivery takes a slot; when the last slot is taken, the lines with nothing in hand are closed and what came
//! meanwhile goes back at once. [`choose`] decides how many lines each queue has; before it, [`swap`] decides which queues of
//! work for a card are worth opening at all. This opens and closes.

mod card;
mod choose;
mod hints;
mod line;
mod lines;
mod swap;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use shared::fields;
use shared::log_news;
use shared::news::News;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

pub(crate) use self::card::Card;
#[cfg(test)]
pub(crate) use self::card::tests as card_tests;
use self::choose::{View, choose};
pub(crate) use self::hints::Hints;
use self::line::{Line, LineEnd};
use self::lines::Lines;
pub(crate) use self::swap::Times;
use self::swap::{Candidate, CardView, Stand, SwapPolicy, Turn, arrange};
use crate::gpu::ledger::BootTime;
use crate::offers::Offer;
use crate::worker::{Conditions, Worker};

/// How long a new line has to bring what waits in its queue before the next one is opened for the same slot.
const SETTLE: Duration = Duration::from_millis(10);
/// Pause before a queue is opened again after its subscription was lost.
const PAUSE_AFTER_LOSS: Duration = Duration::from_millis(500);
/// Pause before a queue is looked for again that the coordinator has not made yet. Not shorter, because a broker writes down
/// each time that it was not there.
const PAUSE_WHEN_MISSING: Duration = Duration::from_secs(2);
/// Pause before a queue is opened again when the broker refused it or the journal could not be written: a person may have
/// helped. Not shorter, because each delivery that goes back counts towards the broker's limit.
const PAUSE_WHEN_STUCK: Duration = Duration::from_secs(30);

/// How often queues of work for a card are looked at again: what they wait for comes with time, and nobody tells.
const LOOK: Duration = Duration::from_millis(500);
/// The same while all of them are open: then only what is on the card changes anything, and that is told.
const LOOK_IDLE: Duration = Duration::from_secs(2);
/// Consumer priority of the queue whose model is loaded: the broker gives its messages to such workers first, wherever they
/// are.
const WARM_PRIORITY: i32 = 10;
/// The same on a card that is no larger than the work needs; less by one for each size of card that it is too large.
const FITTING_PRIORITY: i32 = 5;

/// Keeps the right queues open until the worker drains and every delivery in hand is settled.
pub(crate) async fn serve(worker: Arc<Worker>) {
    let mut tap = Tap::new(worker);
    loop {
        let more = tap.act();
        if tap.is_done() {
            return;
        }
        tap.wait(more).await;
    }
}

struct Tap {
    worker: Arc<Worker>,
    lines: Arc<Lines>,
    tasks: JoinSet<(usize, LineEnd)>,
    /// When each queue may be tried again.
    blocked_until: Vec<Option<Instant>>,
    /// What was told last of each queue from which nothing can be taken.
    told: Vec<News>,
    /// Whether a line was being opened when this was looked at last.
    opening: bool,
    settled_at: Instant,
    slots: watch::Receiver<u32>,
    conditions: watch::Receiver<Conditions>,
    hints: watch::Receiver<Option<Hints>>,
    /// Whether any work here needs a card.
    uses_card: bool,
    policy: SwapPolicy,
    /// When the queues of work for a card are looked at again.
    look: Duration,
}

impl Tap {
    fn new(worker: Arc<Worker>) -> Self {
        let queues = worker.offers.len();
        Self {
            lines: Arc::new(Lines::new(queues)),
            slots: worker.slots.changes(),
            conditions: worker.conditions.subscribe(),
            hints: worker.hints.subscribe(),
            uses_card: worker
                .offers
                .iter()
                .any(|offer| offer.profile.needs.device.is_some()),
            policy: SwapPolicy::at(worker.config.pace),
            look: LOOK,
            worker,
            tasks: JoinSet::new(),
            blocked_until: vec![None; queues],
            told: vec![News::default(); queues],
            opening: false,
            settled_at: Instant::now(),
        }
    }

    /// Does what is to be done now; says whether there is more to do once things have settled.
    fn act(&mut self) -> bool {
        let now = Instant::now();
        let was_opening = std::mem::replace(&mut self.opening, self.lines.any_opening());
        if self.opening || was_opening {
            self.settled_at = now + SETTLE;
        }
        self.unblock(now);
        let (view, priorities) = self.view(now);
        let only_queue = view.queues.iter().filter(|queue| queue.admitted).count() == 1;
        let plan = choose(&view);
        for (place, count) in plan.close {
            self.lines.close(place, count);
        }
        for place in plan.open {
            self.open(place, priorities[place], only_queue);
            self.opening = true;
            self.settled_at = now + SETTLE;
        }
        plan.more
    }

    /// What the choice goes by, and the priority that each queue's lines should have.
    fn view(&mut self, now: Instant) -> (View, Vec<i32>) {
        // Whatever changes from here on wakes `wait`.
        let free = *self.slots.borrow_and_update();
        self.conditions.mark_unchanged();
        self.hints.mark_unchanged();
        let (candidates, card) = self.candidates(BootTime::now());
        let priorities = self.priorities(&candidates);
        for (place, priority) in priorities.iter().enumerate() {
            self.lines.close_others(place, *priority);
        }
        let mut queues = self.lines.view();
        for queue in &mut queues {
            queue.admitted = true;
        }
        let stands = arrange(&mut queues, &candidates, &card, &self.policy);
        let is_shut = |stand: &Option<Stand>| matches!(stand, Some(Stand::Shut(_)));
        self.look = match stands.iter().any(is_shut) {
            true => LOOK,
            false => LOOK_IDLE,
        };
        self.tell(&stands);
        // What is due may be admitted where it would not be otherwise.
        for (place, queue) in queues.iter_mut().enumerate() {
            queue.admitted &= self.worker.admits(place);
        }
        let view = View {
            free,
            settled: now >= self.settled_at,
            queues,
        };
        (view, priorities)
    }

    /// The consumer priorities of the queues' lines.
    fn priorities(&self, candidates: &[Option<Candidate>]) -> Vec<i32> {
        let card = self.worker.card();
        let priority = |candidate: &Option<Candidate>| match candidate {
            Some(candidate) if candidate.warm => WARM_PRIORITY,
            Some(candidate) => card
                .is_too_large_by(candidate)
                .map_or(0, |by| FITTING_PRIORITY.saturating_sub_unsigned(by).max(0)),
            None => 0,
        };
        candidates.iter().map(priority).collect()
    }

    /// The queues whose work needs the card, and the card.
    fn candidates(&self, now: BootTime) -> (Vec<Option<Candidate>>, CardView) {
        let worker = &self.worker;
        if !self.uses_card {
            return (vec![None; worker.offers.len()], CardView::default());
        }
        let hints = self.hints.borrow();
        let card = worker.card();
        let view = card.view(now, |is_meant| hints.as_ref()?.waits(now, is_meant));
        let candidate = |offer: &Offer| {
            let profile = &offer.profile;
            let memory = profile.needs.device?;
            let residents = worker.backends[offer.backend].residents();
            let is_resident = residents.iter().any(|it| it.profile == profile.name);
            let waits = hints.as_ref().and_then(|hints| {
                hints.waits(now, |kind, name| {
                    kind == profile.kind && *name == profile.name
                })
            });
            Some(card.candidate(
                profile.kind,
                &profile.name,
                memory,
                is_resident,
                &view,
                waits,
            ))
        };
        (worker.offers.iter().map(candidate).collect(), view)
    }

    /// Lets the worker say why it does not take what it could.
    fn tell(&self, stands: &[Option<Stand>]) {
        let why = |stand: &Option<Stand>| match stand {
            Some(Stand::Shut(why)) => Some(why.to_string()),
            Some(Stand::Open(_)) | None => None,
        };
        let is_due = |stand: &Option<Stand>| matches!(stand, Some(Stand::Open(Turn::Due)));
        let standing = stands.iter().map(why).collect();
        let due = stands.iter().map(is_due).collect();
        self.worker.set(|conditions| {
            conditions.standing = standing;
            conditions.due = due;
        });
    }

    fn open(&mut self, place: usize, priority: i32, only_queue: bool) {
        let line = Line {
            worker: Arc::clone(&self.worker),
            place,
            priority,
            only_queue,
            guard: self.lines.enter(place, priority),
        };
        self.tasks.spawn(async move { (place, line.serve().await) });
    }

    fn is_done(&self) -> bool {
        self.worker.conditions.borrow().draining && self.lines.none()
    }

    /// Waits until there may be something to do.
    async fn wait(&mut self, more: bool) {
        let unblocked = self.blocked_until.iter().flatten().min().copied();
        let due = unblocked
            .into_iter()
            .chain(more.then_some(self.settled_at))
            .chain(
                self.uses_card
                    .then(|| Instant::now() + self.worker.config.pace.of(self.look)),
            )
            .min();
        tokio::select! {
            () = self.lines.changed() => {}
            _ = self.slots.changed() => {}
            _ = self.conditions.changed() => {}
            _ = self.hints.changed(), if self.uses_card => {}
            () = self.worker.card_changed.notified() => {}
            Some(ended) = self.tasks.join_next() => self.ended(ended),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
    }

    fn ended(&mut self, ended: Result<(usize, LineEnd), JoinError>) {
        match ended {
            Ok((place, LineEnd::Closed)) => {
                self.told[place].over();
            }
            Ok((place, LineEnd::Lost(why))) => self.block(place, why, PAUSE_AFTER_LOSS),
            Ok((place, LineEnd::Missing(why))) => self.block(place, why, PAUSE_WHEN_MISSING),
            Ok((place, LineEnd::Stuck(why))) => {
                let profile = &self.worker.offers[place].profile.name;
                log_news!(
                    self.told[place].is_news(&why),
                    error,
                    { fields::PROFILE } = %profile,
                    { fields::REASON } = why,
                    "nothing can be taken"
                );
                self.block(place, why, PAUSE_WHEN_STUCK);
            }
            Err(error) => {
                tracing::error!({ fields::ERROR } = %error, "a line has died; its delivery comes again");
            }
        }
    }

    fn block(&mut self, place: usize, why: String, pause: Duration) {
        self.blocked_until[place] = Some(Instant::now() + pause);
        self.worker
            .set(|conditions| conditions.blocked[place] = Some(why));
    }

    fn unblock(&mut self, now: Instant) {
        for (place, until) in self.blocked_until.iter_mut().enumerate() {
            if until.is_some_and(|until| until <= now) {
                *until = None;
                self.worker
                    .set(|conditions| conditions.blocked[place] = None);
            }
        }
    }
}
