//! What follows a commit.

use std::collections::BTreeMap;

use shared::api::{FilmEvent, ProgressView};
use shared::broker::Delivery;
use shared::ids::{FilmId, JobId, WorkerId};
use shared::protocol::{RunRef, WorkerState};
use shared::time::Timestamp;

use super::{Engine, Input};
use crate::coordinator::Numbered;
use crate::core::decide::Effect;
use crate::core::job::Job;
use crate::outbox::Outgoing;

/// Everything that must wait for the commit. Dropped, nobody is answered, and who asks is told that the store failed.
#[derive(Default)]
pub(super) struct After {
    pub(super) effects: Vec<Effect>,
    pub(super) events: Vec<Numbered>,
    pub(super) dispatches: BTreeMap<FilmId, Vec<JobId>>,
    pub(super) outgoing: Vec<Outgoing>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) replies: Vec<Box<dyn FnOnce() + Send>>,
    pub(super) known: Vec<Known>,
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

impl After {
    pub(super) fn changed(&mut self, job: &Job) {
        let run = job.current().map(|grant| job.run_ref(grant));
        self.known.push(Known::Current { job: job.id, run });
    }

    pub(super) fn event(&mut self, number: Option<u64>, event: FilmEvent) {
        self.events.push(Numbered { number, event });
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

    /// The store failed: deliveries go back.
    pub(super) async fn give_up(self) {
        futures::future::join_all(self.deliveries.into_iter().map(Delivery::requeue)).await;
    }

    /// The commit is on disk.
    pub(super) async fn carry_out(self, engine: &mut Engine) {
        engine.learn(self.known, Timestamp::now());
        for effect in self.effects {
            engine.carry(effect);
        }
        for outgoing in self.outgoing {
            engine.send(outgoing);
        }
        for event in self.events {
            // Nobody watching is no fault.
            let _ = engine.shared.events.send(event);
        }
        for reply in self.replies {
            reply();
        }
        futures::future::join_all(self.deliveries.into_iter().map(Delivery::ack)).await;
    }
}
