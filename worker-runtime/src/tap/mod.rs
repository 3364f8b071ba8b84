//! Which queues are open: deliveries in, acks out.
//!
//! A queue is read through *lines*: subscriptions with prefetch 1, each of which asks for the grant of the one delivery in
//! its hand. A delivery takes a slot; when the last slot is taken, the lines with nothing in hand are closed and what came
//! meanwhile goes back at once. [`choose`] decides; this opens and closes.

mod choose;
mod line;
mod lines;

use std::sync::Arc;
use std::time::Duration;

use shared::fields;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use self::choose::{View, choose};
use self::line::{Line, LineEnd};
use self::lines::Lines;
use crate::worker::{Conditions, Worker};

/// How long a new line has to bring what waits in its queue before the next one is opened for the same slot.
const SETTLE: Duration = Duration::from_millis(10);
/// Pause before a queue is opened again after its subscription was lost.
const PAUSE_AFTER_LOSS: Duration = Duration::from_millis(500);
/// Pause before a queue is opened again when the broker refused it or the journal could not be written: a person may have
/// helped. Not shorter, because each delivery that goes back counts towards the broker's limit.
const PAUSE_WHEN_STUCK: Duration = Duration::from_secs(30);

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
    /// Whether a line was being opened when this was looked at last.
    opening: bool,
    settled_at: Instant,
    slots: watch::Receiver<u32>,
    conditions: watch::Receiver<Conditions>,
}

impl Tap {
    fn new(worker: Arc<Worker>) -> Self {
        let queues = worker.offers.len();
        Self {
            lines: Arc::new(Lines::new(queues)),
            slots: worker.slots.changes(),
            conditions: worker.conditions.subscribe(),
            worker,
            tasks: JoinSet::new(),
            blocked_until: vec![None; queues],
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
        let view = self.view(now);
        let only_queue = view.queues.iter().filter(|queue| queue.admitted).count() == 1;
        let plan = choose(&view);
        for (place, count) in plan.close {
            self.lines.close(place, count);
        }
        for place in plan.open {
            self.open(place, only_queue);
            self.opening = true;
            self.settled_at = now + SETTLE;
        }
        plan.more
    }

    fn view(&mut self, now: Instant) -> View {
        // Whatever changes from here on wakes `wait`.
        let free = *self.slots.borrow_and_update();
        self.conditions.mark_unchanged();
        let mut queues = self.lines.view();
        for (place, queue) in queues.iter_mut().enumerate() {
            queue.admitted = self.worker.admits(place);
        }
        View {
            free,
            settled: now >= self.settled_at,
            queues,
        }
    }

    fn open(&mut self, place: usize, only_queue: bool) {
        let line = Line {
            worker: Arc::clone(&self.worker),
            place,
            only_queue,
            guard: self.lines.enter(place),
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
            .min();
        tokio::select! {
            () = self.lines.changed() => {}
            _ = self.slots.changed() => {}
            _ = self.conditions.changed() => {}
            Some(ended) = self.tasks.join_next() => self.ended(ended),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
    }

    fn ended(&mut self, ended: Result<(usize, LineEnd), JoinError>) {
        match ended {
            Ok((_, LineEnd::Closed)) => {}
            Ok((place, LineEnd::Lost(why))) => self.block(place, why, PAUSE_AFTER_LOSS),
            Ok((place, LineEnd::Stuck(why))) => {
                tracing::error!({ fields::PROFILE } = %self.worker.offers[place].profile.name, { fields::REASON } = why, "nothing can be taken");
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
