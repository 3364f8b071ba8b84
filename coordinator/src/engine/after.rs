//! What follows a commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use shared::api::{FilmEvent, Happening, ProgressView};
use shared::broker::{Delivery, Queue};
use shared::ids::{FilmId, JobId, WorkerId};
use shared::job::{JobKind, JobStatus};
use shared::protocol::{RunRef, WorkerState};
use shared::time::Timestamp;
use shared::trace::{Span, TraceContext};

use super::{Engine, Input, Settling};
use crate::coordinator::Numbered;
use crate::core::decide::Effect;
use crate::core::job::Job;
use crate::core::plan::Film;
use crate::metrics::EndedAttempt;
use crate::outbox::{Outgoing, Purpose};
use crate::store::{Rows, StoreError};

/// Everything that must wait for the commit. Dropped, nobody is answered, and who asks is told that the store failed.
#[derive(Default)]
pub(super) struct After {
    /// Each with what it is part of.
    effects: Vec<(Effect, Option<TraceContext>)>,
    /// What the input that is being looked at is part of.
    pub(super) cause: Option<TraceContext>,
    /// Spans that end with the commit.
    pub(super) spans: Vec<Span>,
    /// Attempts that have ended, to be counted.
    pub(super) ended: Vec<EndedAttempt>,
    events: Vec<Told>,
    /// Jobs whose attempt must be published, by film; a story's job with what it is, as its attempt needs no other.
    pub(super) dispatches: BTreeMap<FilmId, BTreeMap<JobId, Option<Job>>>,
    /// Films that were made or read in this transaction. They never change.
    pub(super) films: HashMap<FilmId, Arc<Film>>,
    pub(super) outgoing: Vec<Outgoing>,
    pub(super) deliveries: Vec<Delivery>,
    /// Deliveries that nobody can use, and why.
    useless: Vec<(Delivery, String)>,
    /// Submissions over the broker, and what each is answered.
    pub(super) submissions: Vec<Submission>,
    pub(super) replies: Vec<Box<dyn FnOnce() + Send>>,
    pub(super) known: Vec<Known>,
}

/// A submission over the broker. Its fate is sealed once its answer is out: a crash before that has it come again, and the
/// next life answers.
pub(super) struct Submission {
    pub(super) delivery: Delivery,
    /// If it says where.
    pub(super) answer: Option<Outgoing>,
    /// Why it is put aside.
    pub(super) mistake: Option<String>,
}

impl Submission {
    fn carry_out(self, engine: &mut Engine) {
        let settling = match self.mistake {
            None => Settling::Ack(vec![self.delivery]),
            Some(mistake) => Settling::Park(Queue::RejectedSubmissions, self.delivery, mistake),
        };
        match self.answer {
            None => engine.settle(settling),
            Some(answer) => engine.send(Outgoing {
                purpose: Purpose::AnswerTo(settling),
                ..answer
            }),
        }
    }
}

/// Something that only the living know.
pub(super) enum Known {
    /// The job has this current run, or none.
    Current { job: JobId, run: Option<RunRef> },
    /// A run got on.
    Progress { job: JobId, progress: ProgressView },
    /// A worker said how it is.
    Worker(Box<WorkerState>),
    /// A worker is to stand still, or not.
    Paused { worker: WorkerId, paused: bool },
}

/// An event that those who watch are told of.
struct Told {
    event: FilmEvent,
    /// Whether who comes later is told of it, too.
    is_kept: bool,
    /// Its number, once it is in the store.
    number: Option<u64>,
}

/// Where it stood when an input was begun.
pub(super) struct Mark {
    effects: usize,
    spans: usize,
    ended: usize,
    events: usize,
    dispatches: BTreeMap<FilmId, BTreeMap<JobId, Option<Job>>>,
    outgoing: usize,
    deliveries: usize,
    submissions: usize,
    replies: usize,
    known: usize,
}

impl After {
    pub(super) fn mark(&self) -> Mark {
        Mark {
            effects: self.effects.len(),
            spans: self.spans.len(),
            ended: self.ended.len(),
            events: self.events.len(),
            dispatches: self.dispatches.clone(),
            outgoing: self.outgoing.len(),
            deliveries: self.deliveries.len(),
            submissions: self.submissions.len(),
            replies: self.replies.len(),
            known: self.known.len(),
        }
    }

    /// Nothing follows from what was done since `mark`; its deliveries are put aside for a person.
    pub(super) fn put_aside(&mut self, mark: Mark, reason: &str) {
        self.effects.truncate(mark.effects);
        self.spans.truncate(mark.spans);
        self.ended.truncate(mark.ended);
        self.events.truncate(mark.events);
        self.dispatches = mark.dispatches;
        self.films.clear();
        self.outgoing.truncate(mark.outgoing);
        self.replies.truncate(mark.replies);
        self.known.truncate(mark.known);
        let submitted = self
            .submissions
            .drain(mark.submissions..)
            .map(|submission| submission.delivery);
        let useless = submitted.chain(self.deliveries.drain(mark.deliveries..));
        let aside = |delivery| (delivery, reason.to_owned());
        self.useless.extend(useless.map(aside));
    }

    /// That must be done.
    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push((effect, self.cause));
    }

    /// That job's attempt must be published.
    pub(super) fn due(&mut self, job: &Job) {
        let carried = (job.kind == JobKind::Story).then(|| job.clone());
        let due = self.dispatches.entry(job.film).or_default();
        due.insert(job.id, carried);
    }

    /// A job whose attempt may be due has changed.
    pub(super) fn still_due(&mut self, job: &Job) {
        let Some(due) = self.dispatches.get_mut(&job.film) else {
            return;
        };
        if job.status() != JobStatus::Queued {
            due.remove(&job.id);
        } else if let Some(Some(carried)) = due.get_mut(&job.id) {
            *carried = job.clone();
        }
    }

    pub(super) fn changed(&mut self, job: &Job) {
        let run = job.current().map(|grant| job.run_ref(grant));
        self.known.push(Known::Current { job: job.id, run });
    }

    /// Keeps an event of a film and tells it to those who watch.
    pub(super) fn tell(&mut self, film: FilmId, what: Happening) {
        self.event(film, what, true);
    }

    /// Tells those who watch something that nobody need know later.
    pub(super) fn mention(&mut self, film: FilmId, what: Happening) {
        self.event(film, what, false);
    }

    fn event(&mut self, film: FilmId, what: Happening, is_kept: bool) {
        let at = Timestamp::now();
        self.events.push(Told {
            event: FilmEvent { film, at, what },
            is_kept,
            number: None,
        });
    }

    /// Writes down the events that are to be kept, all in few statements.
    pub(super) async fn keep_events(&mut self, rows: &mut Rows<'_>) -> Result<(), StoreError> {
        let mut new: Vec<&mut Told> = self
            .events
            .iter_mut()
            .filter(|told| told.is_kept && told.number.is_none())
            .collect();
        let events: Vec<&FilmEvent> = new.iter().map(|told| &told.event).collect();
        let numbers = rows.append_events(&events).await?;
        for (told, number) in new.iter_mut().zip(numbers) {
            told.number = Some(number);
        }
        Ok(())
    }

    pub(super) fn reply<T: Send + 'static>(
        &mut self,
        to: tokio::sync::oneshot::Sender<T>,
        answer: T,
    ) {
        // Whoever has gone away needs no answer.
        self.replies.push(Box::new(move || drop(to.send(answer))));
    }

    /// The store failed before this input was looked at.
    pub(super) fn put_off(&mut self, input: Input) {
        match input {
            Input::Report { delivery, .. } => self.deliveries.extend(delivery),
            Input::Submission { delivery, .. } => self.deliveries.push(delivery),
            Input::Ask(_)
            | Input::Dispatched { .. }
            | Input::ProbeLost(_)
            | Input::Tick
            | Input::Sweep
            | Input::Hint => {}
        }
    }

    /// What was to be settled, when nothing of it was stored.
    pub(super) fn into_deliveries(self) -> Vec<Delivery> {
        let useless = self.useless.into_iter().map(|(delivery, _)| delivery);
        let submitted = self
            .submissions
            .into_iter()
            .map(|submission| submission.delivery);
        self.deliveries
            .into_iter()
            .chain(useless)
            .chain(submitted)
            .collect()
    }

    /// The commit is on disk.
    pub(super) fn carry_out(self, engine: &mut Engine) {
        engine.learn(self.known, Timestamp::now());
        // Before anything that may carry their contexts.
        for span in self.spans {
            span.end();
        }
        engine.count(&self.ended);
        for (effect, cause) in self.effects {
            engine.carry(effect, cause);
        }
        for outgoing in self.outgoing {
            engine.send(outgoing);
        }
        for Told { event, number, .. } in self.events {
            engine.shared.metrics.happened(&event.what);
            // Nobody watching is no fault.
            let _ = engine.shared.events.send(Numbered { number, event });
        }
        for reply in self.replies {
            reply();
        }
        engine.settle(Settling::Ack(self.deliveries));
        for submission in self.submissions {
            submission.carry_out(engine);
        }
        for (delivery, reason) in self.useless {
            engine.settle(Settling::Park(Queue::Parked, delivery, reason));
        }
    }
}
