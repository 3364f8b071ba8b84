//! The coordinator's spans: a submission, the answer to a report, a run that was lost, a film as a whole. All end with the commit
//! that they tell of; what is published carries the context of a span that has ended ([`shared::trace`] says why).

use shared::api::Happening;
use shared::fields;
use shared::ids::FilmId;
use shared::protocol::{RunRef, ToCoordinator};
use shared::trace::{self, Arrival, Kind, Span, TraceContext};

use super::{After, Engine};
use crate::core::job::Job;
use crate::core::plan::Film;
use crate::outbox::Dispatched;
use crate::store::{Rows, StoreError};

impl Engine {
    /// The film's place in its trace, to be stored with it. The trace is called like the film, unless the submission is part of
    /// another one.
    pub(super) fn begin_film(
        film: FilmId,
        arrival: Arrival,
        kind: Kind,
        after: &mut After,
    ) -> Option<TraceContext> {
        if !trace::is_on() {
            return arrival.parent;
        }
        const NAME: &str = "submit film";
        let span = match arrival.parent {
            Some(parent) => Span::of_remote(parent, NAME),
            None => Span::first(TraceContext::first(film.as_u128()), NAME),
        };
        let span = span
            .kind(kind)
            .since(arrival.at)
            .with(fields::FILM_ID, film.to_string());
        let context = span.context();
        after.spans.push(span);
        Some(context)
    }

    /// What follows from that report is part of its trace.
    pub(super) fn begin_report(message: &ToCoordinator, arrival: Arrival, after: &mut After) {
        after.cause = arrival.parent;
        let Some(parent) = arrival.parent.filter(|_| trace::is_on()) else {
            return;
        };
        let Some((name, run)) = span_of(message) else {
            return;
        };
        let span = Span::of_remote(parent, name)
            .kind(Kind::Consumer)
            .since(arrival.at)
            .with(fields::JOB_ID, run.job.to_string())
            .with(fields::ATTEMPT, run.attempt.to_string())
            .with(fields::RUN_ID, run.run.to_string());
        after.cause = Some(span.context());
        after.spans.push(span);
    }

    /// The current run of that job was given up. Its worker may never tell of it, so this does.
    pub(super) async fn lose_run(
        &self,
        rows: &mut Rows<'_>,
        job: &Job,
        after: &mut After,
    ) -> Result<(), StoreError> {
        let Some(grant) = job.current().filter(|_| trace::is_on()).cloned() else {
            return Ok(());
        };
        if let Some(parent) = self.trace_of(rows, job.film, after).await? {
            let mut span = Span::of_remote(parent, format!("lost {}", job.kind))
                .since_timestamp(grant.at)
                .with(fields::JOB_ID, job.id.to_string())
                .with(fields::ATTEMPT, grant.attempt.to_string())
                .with(fields::RUN_ID, grant.run.to_string())
                .with(fields::WORKER_ID, grant.worker.worker.to_string());
            span.fail("nobody heard of it for longer than its lease");
            after.spans.push(span);
        }
        Ok(())
    }

    /// A film has ended: how long it took as a whole.
    pub(super) async fn end_film(
        &self,
        rows: &mut Rows<'_>,
        film: FilmId,
        end: &Happening,
        after: &mut After,
    ) -> Result<(), StoreError> {
        if !trace::is_on() {
            return Ok(());
        }
        let Some(film) = self.film(rows, film, after).await? else {
            return Ok(());
        };
        if let Some(parent) = film.trace {
            let mut span = Span::of_remote(parent, "film")
                .since_timestamp(film.created_at)
                .with(fields::FILM_ID, film.id.to_string())
                .with(fields::OUTCOME, end.name());
            if let Happening::FilmFailed { .. } = end {
                span.fail("a job of it has failed for good");
            }
            after.spans.push(span);
        }
        Ok(())
    }

    async fn trace_of(
        &self,
        rows: &mut Rows<'_>,
        film: FilmId,
        after: &mut After,
    ) -> Result<Option<TraceContext>, StoreError> {
        let film = self.film(rows, film, after).await?;
        Ok(film.and_then(|film| film.trace))
    }
}

/// What the outbox makes a span of when it publishes that attempt.
pub(super) fn dispatched(film: &Film, job: &Job) -> Option<Dispatched> {
    let parent = film.trace?;
    let mut span = Span::of_remote(parent, format!("dispatch {}", job.kind))
        .kind(Kind::Producer)
        .with(fields::FILM_ID, film.id.to_string())
        .with(fields::JOB_ID, job.id.to_string())
        .with(fields::JOB_KIND, job.kind.name())
        .with(fields::PROFILE, job.profile.to_string())
        .with(fields::ATTEMPT, job.attempt.to_string())
        .with(fields::TAKE, job.take.to_string());
    if let Some(queued_at) = job.queued_at {
        span = span.since_timestamp(queued_at);
    }
    if let Some(failure) = &job.failure {
        span.set(fields::FAILURE_KIND, failure.kind.to_string());
    }
    Some(Dispatched { span, parent })
}

/// What a report's span is called, and which run it is about; nothing for those that come all the time.
fn span_of(message: &ToCoordinator) -> Option<(&'static str, RunRef)> {
    match message {
        ToCoordinator::AttemptStarted(said) => Some(("grant", said.run)),
        ToCoordinator::AttemptSucceeded(said) => Some(("settle", said.run)),
        ToCoordinator::AttemptFailed(said) => Some(("settle", said.run)),
        ToCoordinator::AttemptReleased(said) => Some(("settle", said.run)),
        ToCoordinator::AttemptProgress(_)
        | ToCoordinator::WorkerState(_)
        | ToCoordinator::Probe(_) => None,
    }
}
