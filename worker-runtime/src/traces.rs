//! What an attempt goes through at this worker, as spans.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use shared::broker::Message;
use shared::fields;
use shared::ids::WorkerId;
use shared::protocol::RunAttempt;
use shared::time::Timestamp;
use shared::trace::{self, Kind, Span, TraceContext, Tree};

/// Phases of a run that are kept; a backend that tells of more is not worth a span for each.
const PHASES: usize = 64;

/// One attempt from its publication to its report: the wait in the queue, for its room and for its grant, and the run with its
/// phases. It is handed over when the attempt has ended here, whatever came of it. Dropped before, as when the worker is killed, nothing
/// of it was said, and the coordinator tells of the loss.
#[derive(Debug)]
pub(crate) struct AttemptTrace {
    /// Absent where nothing is exported, or the film is not traced.
    tree: Option<Tree>,
    /// What the attempt's message carried.
    parent: Option<TraceContext>,
    phases: Phases,
}

/// How a run went, for its span.
#[derive(Debug)]
pub(crate) struct RunTold<'a> {
    pub(crate) began: SystemTime,
    pub(crate) backend: Option<&'a str>,
    pub(crate) device: &'a str,
    pub(crate) outcome: &'static str,
    pub(crate) failure: Option<String>,
    /// How long loading its model took, where that was seen.
    pub(crate) load: Option<Duration>,
}

impl AttemptTrace {
    /// An attempt that was delivered just now, and published then. `waited_for` is what kept this worker from taking it before.
    pub(crate) fn taken(
        message: &Message,
        attempt: &RunAttempt,
        sent_at: Timestamp,
        worker: &WorkerId,
        waited_for: Option<String>,
    ) -> Self {
        let parent = message
            .header(trace::HEADER)
            .and_then(|text| text.parse().ok());
        let now = SystemTime::now();
        let sent_at = SystemTime::from(sent_at).min(now);
        let tree = parent.filter(|_| trace::is_on()).map(|parent| {
            let kind = attempt.payload.kind();
            let span = Span::of_remote(parent, format!("attempt {kind}"))
                .kind(Kind::Consumer)
                .since(sent_at)
                .with(fields::FILM_ID, attempt.film.to_string())
                .with(fields::JOB_ID, attempt.job.to_string())
                .with(fields::JOB_KIND, kind.name())
                .with(fields::PROFILE, attempt.profile.to_string())
                .with(fields::ATTEMPT, attempt.attempt.to_string())
                .with(fields::TAKE, attempt.take.to_string())
                .with(fields::WORKER_ID, worker.to_string());
            let mut tree = Tree::new(span);
            let mut queued = tree.child("queue wait").since(sent_at);
            if let Some(reason) = waited_for {
                queued.set(fields::REASON, reason);
            }
            tree.add(queued.ended_at(now));
            tree
        });
        Self {
            tree,
            parent,
            phases: Phases::default(),
        }
    }

    /// What the attempt's message carried: words about it are part of that.
    pub(crate) const fn parent(&self) -> Option<TraceContext> {
        self.parent
    }

    /// Where the phases of its run are noted; nowhere if nobody wants to know.
    pub(crate) fn phases(&self) -> Option<Phases> {
        self.tree.is_some().then(|| self.phases.clone())
    }

    /// It asked the gate from then until now. `reason` is what it was told last before it got its room, or instead of it.
    pub(crate) fn entered(
        &mut self,
        began: SystemTime,
        outcome: &'static str,
        reason: Option<String>,
    ) {
        if let Some(tree) = &mut self.tree {
            let mut span = tree
                .child("admission wait")
                .since(began)
                .with(fields::OUTCOME, outcome);
            if let Some(reason) = reason {
                span.set(fields::REASON, reason);
            }
            tree.add(span.ended_at(SystemTime::now()));
        }
    }

    /// It asked the coordinator from then until now.
    pub(crate) fn answered(&mut self, began: SystemTime, answer: &'static str) {
        if let Some(tree) = &mut self.tree {
            let span = tree
                .child("grant wait")
                .since(began)
                .with(fields::OUTCOME, answer);
            tree.add(span.ended_at(SystemTime::now()));
        }
    }

    /// Its run has ended now.
    pub(crate) fn ran(&mut self, told: RunTold<'_>) {
        let Some(tree) = &mut self.tree else {
            return;
        };
        let ended = SystemTime::now();
        let mut run = tree
            .child("run")
            .since(told.began)
            .with(fields::OUTCOME, told.outcome)
            .with(fields::DEVICE, told.device.to_owned());
        if let Some(backend) = told.backend {
            run.set(fields::BACKEND, backend.to_owned());
        }
        if let Some(failure) = told.failure {
            run.fail(failure);
        }
        let context = run.context();
        if let Some(load) = told.load.filter(|load| !load.is_zero()) {
            let until = told.began.checked_add(load).unwrap_or(ended).min(ended);
            let span = Span::of(context, "model load").since(told.began);
            tree.add(span.ended_at(until));
        }
        let phases = std::mem::take(&mut *self.phases.lock());
        let ends = phases.iter().skip(1).map(|(_, began)| *began);
        for ((phase, began), end) in phases.iter().zip(ends.chain([ended])) {
            let span = Span::of(context, phase.clone()).since(*began);
            tree.add(span.ended_at(end));
        }
        tree.add(run.ended_at(ended));
    }

    /// Nothing more happens to it here. What its report carries.
    pub(crate) fn end(
        self,
        outcome: &'static str,
        failure: Option<String>,
    ) -> Option<TraceContext> {
        let Some(mut tree) = self.tree else {
            return self.parent;
        };
        tree.root().set(fields::OUTCOME, outcome);
        if let Some(failure) = failure {
            tree.root().fail(failure);
        }
        Some(tree.end())
    }
}

/// Which phases a run went through, and when each began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Phases(Arc<Mutex<Vec<(String, SystemTime)>>>);

impl Phases {
    /// The run is in that phase. What changes within one, as how far it is, does not count.
    pub(crate) fn note(&self, phase: &str) {
        let phase = name_of(phase);
        let mut phases = self.lock();
        let is_news = phases.last().is_none_or(|(last, _)| last != phase);
        if is_news && !phase.is_empty() && phases.len() < PHASES {
            phases.push((phase.to_owned(), SystemTime::now()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, SystemTime)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A phase without what is told beside it: `scene 3 of 5, 120 tokens` is `scene`.
fn name_of(phase: &str) -> &str {
    let end = phase.find(|c: char| matches!(c, ',' | ':' | '(' | '#') || c.is_ascii_digit());
    end.map_or(phase, |end| &phase[..end]).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_noted_when_it_begins_and_not_at_each_word() {
        let phases = Phases::default();
        for said in [
            "frames",
            "frames",
            "writing, 3 tokens",
            "writing, 9 tokens",
            "frames",
        ] {
            phases.note(said);
        }
        let names: Vec<_> = phases.lock().iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, ["frames", "writing", "frames"]);
        for number in 0..200 {
            phases.note(if number % 2 == 0 { "a" } else { "b" });
        }
        assert_eq!(phases.lock().len(), PHASES);
        assert_eq!(name_of("waiting: no answer"), "waiting");
    }
}
