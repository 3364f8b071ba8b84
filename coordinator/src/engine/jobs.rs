//! One event of one job, and what follows for its film.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use shared::api::Happening;
use shared::broker::Queue;
use shared::ids::{FilmId, JobId};
use shared::job::{JobStatus, Product};
use shared::protocol::{RunAttempt, ToWorker};
use shared::time::Timestamp;
use tokio::time::Instant;

use super::{After, Engine, traces};
use crate::core::decide::{Decision, Effect, Event, decide};
use crate::core::job::Job;
use crate::core::plan::{self, Film, Order};
use crate::effects;
use crate::metrics::EndedAttempt;
use crate::outbox::{Outgoing, Purpose};
use crate::store::{Dispatch, DispatchMark, Rows, StoreError};
use crate::views;

impl Engine {
    /// Lets an event happen to a job, and then all that follows from it in its film.
    pub(super) async fn happen(
        &mut self,
        rows: &mut Rows<'_>,
        job: Job,
        event: Event,
        after: &mut After,
    ) -> Result<(), StoreError> {
        let mut todo = VecDeque::from([(job, event)]);
        while let Some((before, event)) = todo.pop_front() {
            match decide(&before, &event, Timestamp::now(), &self.policy) {
                Decision::Ignore(why) => {
                    tracing::debug!(job.id = %before.id, ?why, "nothing follows from a report");
                }
                Decision::Answer(effects) => effects.into_iter().for_each(|it| after.effect(it)),
                Decision::Change { job, effects } => {
                    self.put(rows, &before, &job, &effects, after).await?;
                    effects.into_iter().for_each(|it| after.effect(it));
                    after.ended.extend(EndedAttempt::of(&before, &event));
                    if let Event::LeaseExpired { .. } = event {
                        self.lose_run(rows, &before, after).await?;
                    }
                    if before.completion().is_none() && job.completion().is_some() {
                        todo.extend(self.follow(rows, &job, after).await?);
                    } else if job.status() == JobStatus::Failed && !before.status().is_final() {
                        todo.extend(self.unblock(rows, job.film, after).await?);
                    }
                }
            }
        }
        Ok(())
    }

    /// Stores a job as it is now, and tells those who watch.
    async fn put(
        &mut self,
        rows: &mut Rows<'_>,
        before: &Job,
        job: &Job,
        effects: &[Effect],
        after: &mut After,
    ) -> Result<(), StoreError> {
        let is_dispatched = effects.contains(&Effect::Dispatch);
        let mark = match (is_dispatched, job.status()) {
            (true, _) => DispatchMark::Due,
            (false, JobStatus::Queued) => DispatchMark::Keep,
            (false, _) => DispatchMark::NotDue,
        };
        rows.put_job(job, mark).await?;
        if mark == DispatchMark::NotDue {
            self.dispatched.remove(&job.id);
        }
        after.changed(job);
        if is_dispatched {
            after.due(job);
        } else {
            after.still_due(job);
        }
        if views::is_visible(before, job) {
            tracing::info!(
                job.id = %job.id, film.id = %job.film, job.kind = %job.kind, status = %job.status(),
                attempt = %job.attempt, "job is {}", job.status()
            );
            after.tell(
                job.film,
                Happening::JobChanged {
                    job: Box::new(views::job(job)),
                },
            );
        }
        Ok(())
    }

    /// A job has just been completed: the jobs that follow from it, and those that it unblocks.
    async fn follow(
        &self,
        rows: &mut Rows<'_>,
        done: &Job,
        after: &mut After,
    ) -> Result<Vec<(Job, Event)>, StoreError> {
        if let Some(Product::Story { story }) = done.completion().map(|done| &done.outcome.product)
            && let Some(film) = self.film(rows, done.film, after).await?
        {
            rows.set_title(film.id, &story.title).await?;
            for job in plan::jobs_of_story(&film, story, &mut JobId::generate) {
                rows.put_job(&job, DispatchMark::NotDue).await?;
            }
            let scenes = u32::try_from(story.scenes.len()).unwrap_or(u32::MAX);
            after.tell(
                film.id,
                Happening::StoryWritten {
                    title: story.title.clone(),
                    scenes,
                },
            );
        }
        self.unblock(rows, done.film, after).await
    }

    /// A job of that film has come to its end: what waits for nothing any more. If there is nothing of the kind, the film may have
    /// ended. A cancelled one is told by whoever cancels its jobs.
    async fn unblock(
        &self,
        rows: &mut Rows<'_>,
        film: FilmId,
        after: &mut After,
    ) -> Result<Vec<(Job, Event)>, StoreError> {
        let order = match self.film(rows, film, after).await? {
            Some(film) => self.order(&film),
            None => Order::Streaming,
        };
        let jobs = rows.jobs_of(film).await?;
        let free = plan::unblocked(&jobs, order);
        if free.is_empty() {
            self.tell_end_of(rows, film, &jobs, after).await?;
        }
        Ok(jobs
            .into_iter()
            .filter(|job| free.contains(&job.id))
            .map(|job| (job, Event::Unblocked))
            .collect())
    }

    /// In which order a film is made, by what the workers have said.
    fn order(&self, film: &Film) -> Order {
        let (keyframe, scene) = (&film.profiles.keyframe, &film.profiles.scene);
        let live = self.shared.live();
        match live.fleet.shares_cards(keyframe, scene, Timestamp::now()) {
            true => Order::KeyframesFirst,
            false => Order::Streaming,
        }
    }

    async fn tell_end_of(
        &self,
        rows: &mut Rows<'_>,
        film: FilmId,
        jobs: &[Job],
        after: &mut After,
    ) -> Result<(), StoreError> {
        if let Some(end) = views::end_of(jobs) {
            tracing::info!(film.id = %film, "film has ended: {}", end.name());
            self.end_film(rows, film, &end, after).await?;
            after.tell(film, end);
        }
        Ok(())
    }

    /// Makes the messages for all attempts that were queued in this transaction, each film read once.
    pub(super) async fn prepare_dispatches(
        &mut self,
        rows: &mut Rows<'_>,
        after: &mut After,
    ) -> Result<(), StoreError> {
        // Until it is sure that nobody else reads the reports, nothing goes out; the next tick finds what is due.
        if !*self.shared.is_reader.borrow() {
            after.dispatches.clear();
            return Ok(());
        }
        for (film, mut due) in std::mem::take(&mut after.dispatches) {
            due.retain(|job, _| !self.dispatching.contains(job));
            match self.prepare(rows, film, &due, after).await {
                Err(error) if error.is_unreadable() => {
                    tracing::error!(
                        film.id = %film, error = shared::failure::chain(&error),
                        "an attempt cannot be made from the store; it is tried again later"
                    );
                    for job in due.into_keys() {
                        self.refused.note(job, Instant::now());
                    }
                }
                done => done?,
            }
        }
        Ok(())
    }

    async fn prepare(
        &self,
        rows: &mut Rows<'_>,
        film: FilmId,
        due: &BTreeMap<JobId, Option<Job>>,
        after: &mut After,
    ) -> Result<(), StoreError> {
        if due.is_empty() {
            return Ok(());
        }
        let Some(film) = self.film(rows, film, after).await? else {
            return Ok(());
        };
        let carried: Option<Vec<Job>> = due.values().cloned().collect();
        let jobs = match carried {
            Some(jobs) => jobs,
            None => rows.jobs_of(film.id).await?,
        };
        for job in jobs.iter().filter(|job| due.contains_key(&job.id)) {
            if job.status() == JobStatus::Queued {
                after.outgoing.extend(self.attempt_of(&film, &jobs, job));
            }
        }
        Ok(())
    }

    /// A film, read at most once in a transaction.
    pub(super) async fn film(
        &self,
        rows: &mut Rows<'_>,
        id: FilmId,
        after: &mut After,
    ) -> Result<Option<Arc<Film>>, StoreError> {
        if let Some(film) = after.films.get(&id) {
            return Ok(Some(Arc::clone(film)));
        }
        let film = rows.film(id).await?.map(Arc::new);
        after.films.extend(film.clone().map(|film| (id, film)));
        Ok(film)
    }

    fn attempt_of(&self, film: &Film, jobs: &[Job], job: &Job) -> Option<Outgoing> {
        let Some(payload) = plan::payload(film, jobs, job) else {
            tracing::error!(job.id = %job.id, "a queued job lacks what it should be given; it stays queued");
            return None;
        };
        let attempt = RunAttempt {
            film: film.id,
            job: job.id,
            attempt: job.attempt,
            take: job.take,
            profile: job.profile.clone(),
            time_limit: self.shared.settings.time_limits.of(job.kind),
            earlier: job.earlier_runs(),
            payload,
        };
        Some(Outgoing {
            to: Queue::Jobs(job.kind, job.profile.clone()).into(),
            message: effects::durable(
                self.shared.reader.id(),
                ToWorker::RunAttempt(Box::new(attempt)),
            ),
            purpose: Purpose::Dispatch(Dispatch {
                job: job.id,
                queued_at: job.queued_at,
            }),
            dispatched: traces::dispatched(film, job),
        })
    }
}
