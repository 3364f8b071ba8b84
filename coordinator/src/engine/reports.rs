//! What workers say.

use std::time::Duration;

use shared::api::{Happening, ProgressView};
use shared::failure::{Failure, FailureKind};
use shared::ids::StoreId;
use shared::job::{JobKind, Product};
use shared::protocol::{
    DenyReason, PauseWorker, RunRef, ToCoordinator, ToWorker, WorkerRef, WorkerState,
};
use shared::time::Timestamp;

use super::{After, Engine, Known};
use crate::core::decide::{Effect, Event};
use crate::core::job::Job;
use crate::core::plan;
use crate::effects;
use crate::store::{Rows, StoreError};

impl Engine {
    pub(super) async fn report(
        &mut self,
        rows: &mut Rows<'_>,
        store: Option<StoreId>,
        message: ToCoordinator,
        verdict: Result<(), Failure>,
        after: &mut After,
    ) -> Result<(), StoreError> {
        let is_ours = store == Some(self.shared.reader.id());
        match message {
            ToCoordinator::WorkerState(state) => {
                return self.worker_state(rows, is_ours, *state, after).await;
            }
            ToCoordinator::Probe(probe) => {
                if probe.boot == self.shared.boot {
                    return self.probe_returned(rows, probe.number, after).await;
                }
                tracing::warn!(
                    "another coordinator writes to this virtual host's reports, or did before us"
                );
            }
            ToCoordinator::AttemptStarted(said) => {
                let event = Event::Started {
                    run: said.run,
                    worker: said.worker.clone(),
                };
                return self
                    .run_event(rows, is_ours, said.run, Some(said.worker), event, after)
                    .await;
            }
            ToCoordinator::AttemptProgress(said) => {
                let expected = said.expected_ms.map(Duration::from_millis);
                let share = said.share();
                if is_ours
                    && self
                        .shared
                        .live()
                        .leases
                        .extend(said.run, Timestamp::now(), expected, share)
                {
                    return self.progress(rows, said, after).await;
                }
                return self
                    .heard(rows, is_ours, said.run, said.worker, share, after)
                    .await;
            }
            ToCoordinator::AttemptSucceeded(said) => {
                let job = match is_ours {
                    true => rows.job(said.run.job).await?,
                    false => None,
                };
                let Some(job) = job else {
                    tracing::warn!(job.id = %said.run.job, "a result of a job that this store does not know");
                    return Ok(());
                };
                let product = &said.outcome.product;
                let event = match self.judge(rows, &job, product, verdict, after).await? {
                    Ok(()) => Event::Succeeded {
                        run: said.run,
                        worker: said.worker,
                        outcome: said.outcome,
                        took: said.took,
                    },
                    Err(failure) => Event::Failed {
                        run: said.run,
                        failure,
                    },
                };
                return self.happen(rows, job, event, after).await;
            }
            ToCoordinator::AttemptFailed(said) => {
                tracing::warn!(job.id = %said.run.job, worker.id = %said.worker.worker, failure = %said.failure, "attempt failed");
                let event = Event::Failed {
                    run: said.run,
                    failure: said.failure,
                };
                return self
                    .run_event(rows, is_ours, said.run, None, event, after)
                    .await;
            }
            ToCoordinator::AttemptReleased(said) => {
                tracing::info!(job.id = %said.run.job, worker.id = %said.worker.worker, reason = ?said.reason, "attempt handed back");
                let event = Event::Released {
                    run: said.run,
                    reason: said.reason,
                };
                return self
                    .run_event(rows, is_ours, said.run, None, event, after)
                    .await;
            }
        }
        Ok(())
    }

    /// A report about a run. `ask` is whoever waits for an answer, even if we know nothing of the job.
    async fn run_event(
        &mut self,
        rows: &mut Rows<'_>,
        is_ours: bool,
        run: RunRef,
        asks: Option<WorkerRef>,
        event: Event,
        after: &mut After,
    ) -> Result<(), StoreError> {
        let job = if is_ours {
            rows.job(run.job).await?
        } else {
            None
        };
        match (job, asks) {
            (Some(job), _) => self.happen(rows, job, event, after).await,
            (None, Some(to)) => {
                after.effect(Effect::Deny {
                    to,
                    run,
                    reason: DenyReason::Unknown,
                });
                Ok(())
            }
            (None, None) => {
                tracing::warn!(job.id = %run.job, "a report about a job that this store does not know");
                Ok(())
            }
        }
    }

    /// A word from a run that is not the current one, as far as the living know.
    async fn heard(
        &mut self,
        rows: &mut Rows<'_>,
        is_ours: bool,
        run: RunRef,
        worker: WorkerRef,
        share: Option<f64>,
        after: &mut After,
    ) -> Result<(), StoreError> {
        let job = if is_ours {
            rows.job(run.job).await?
        } else {
            None
        };
        match job {
            Some(job) => {
                let current_share = self
                    .shared
                    .live()
                    .leases
                    .get(run.job)
                    .and_then(|lease| lease.share);
                self.happen(
                    rows,
                    job,
                    Event::Heard {
                        run,
                        worker,
                        share,
                        current_share,
                    },
                    after,
                )
                .await
            }
            None => {
                after.effect(Effect::Cancel {
                    to: worker,
                    run,
                    reason: DenyReason::Unknown,
                });
                Ok(())
            }
        }
    }

    async fn progress(
        &self,
        rows: &mut Rows<'_>,
        said: shared::protocol::AttemptProgress,
        after: &mut After,
    ) -> Result<(), StoreError> {
        let (progress, is_news) = {
            let mut live = self.shared.live();
            // Before the commit, as with the lease: of pictures nothing is stored, and what ends the run lets go of this one.
            if let Some(preview) = said.preview {
                live.previews.keep(said.run.job, *preview);
            }
            let progress = ProgressView {
                phase: said.phase,
                step: said.step,
                steps: said.steps,
                preview: live.previews.number_of(said.run.job),
            };
            let is_news = live.progress.get(&said.run.job) != Some(&progress);
            (progress, is_news)
        };
        if is_news && let Some(film) = self.film_of(rows, said.run).await? {
            let what = Happening::JobProgressed {
                job: said.run.job,
                progress: progress.clone(),
            };
            after.mention(film, what);
        }
        after.known.push(Known::Progress {
            job: said.run.job,
            progress,
        });
        Ok(())
    }

    async fn film_of(
        &self,
        rows: &mut Rows<'_>,
        run: RunRef,
    ) -> Result<Option<shared::ids::FilmId>, StoreError> {
        Ok(rows.job(run.job).await?.map(|job| job.film))
    }

    /// Whether a product is what was asked for and its file is there.
    async fn judge(
        &self,
        rows: &mut Rows<'_>,
        job: &Job,
        product: &Product,
        verdict: Result<(), Failure>,
        after: &mut After,
    ) -> Result<Result<(), Failure>, StoreError> {
        if verdict.is_err() {
            return Ok(verdict);
        }
        let Some(film) = self.film(rows, job.film, after).await? else {
            let deleted = Failure::new(FailureKind::Permanent, "its film was deleted");
            return Ok(Err(deleted));
        };
        let story = match job.kind {
            JobKind::Scene => rows.job_of(job.film, JobKind::Story, None).await?,
            JobKind::Story | JobKind::Keyframe | JobKind::Assembly => None,
        };
        let story = plan::story(story.as_slice());
        Ok(plan::check(&film, story, job, product))
    }

    async fn worker_state(
        &mut self,
        rows: &mut Rows<'_>,
        is_ours: bool,
        state: WorkerState,
        after: &mut After,
    ) -> Result<(), StoreError> {
        for run in &state.running {
            let is_current = is_ours
                && self
                    .shared
                    .live()
                    .leases
                    .extend(*run, Timestamp::now(), None, None);
            if !is_current {
                // It says nothing of how far it is, so it neither takes another run's place nor makes way for it.
                self.heard(rows, is_ours, *run, state.worker.clone(), None, after)
                    .await?;
            }
        }
        self.worker_is_there(state, after);
        Ok(())
    }

    /// A worker said how it is. It is told to pause, or to go on, if it does not do so.
    pub(super) fn worker_is_there(&self, state: WorkerState, after: &mut After) {
        let wanted = self.shared.live().paused.contains(&state.worker.worker);
        if state.paused != wanted {
            let word = ToWorker::PauseWorker(PauseWorker { paused: wanted });
            after.outgoing.push(effects::to_worker(
                state.worker.clone(),
                self.shared.reader.id(),
                word,
            ));
        }
        after.known.push(Known::Worker(Box::new(state)));
    }

    /// Our own word has come back: everything that was reported before it has been read.
    async fn probe_returned(
        &mut self,
        rows: &mut Rows<'_>,
        number: u64,
        after: &mut After,
    ) -> Result<(), StoreError> {
        self.shared
            .is_reader
            .send_if_modified(|is_reader| !std::mem::replace(is_reader, true));
        let expired = self.shared.live().leases.probe_returned(number);
        for (id, run) in expired {
            tracing::warn!(job.id = %id, "a lease has expired");
            let mark = self.mark(rows, after).await?;
            let event = Event::LeaseExpired { run };
            let done = self.happen_to(rows, id, event, after).await;
            self.keep_or_undo(rows, after, mark, done, &format!("the lease of job {id}"))
                .await?;
        }
        Ok(())
    }
}
