//! What happens to a job when something happens. Pure.
//!
//! The fence is attempt *and* run: a report counts for the run it names, and only the current run moves a running job. There
//! are two exceptions, by design: a success counts whichever run it came from while the job is not cancelled, since its time
//! on a GPU is paid; and a run that was given up for its silence, but speaks again, takes its place back if no other run is
//! nearer its end.

use std::time::Duration;

use shared::failure::{Failure, FailureKind};
use shared::ids::{JobId, RunId};
use shared::job::Outcome;
use shared::protocol::{DenyReason, ReleaseReason, RunRef, WorkerRef};
use shared::retry::{RetryPolicy, next_retry_at};
use shared::time::Timestamp;

use super::job::{Completion, Grant, Job, JobState};

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// What it waited for is there.
    Unblocked,
    /// A worker has taken an attempt and asks whether it may begin.
    Started {
        /// The run that would begin.
        run: RunRef,
        /// Who asks.
        worker: WorkerRef,
    },
    /// A run is alive.
    Heard {
        /// The run.
        run: RunRef,
        /// Who runs it.
        worker: WorkerRef,
        /// The share of it that is done, 0 to 1, if it said so.
        share: Option<f64>,
        /// The share of the current run that is done, 0 to 1, if there is one and it has said so.
        current_share: Option<f64>,
    },
    /// A run ended with a product.
    Succeeded {
        /// The run.
        run: RunRef,
        /// Who ran it.
        worker: WorkerRef,
        /// What came of it.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
    },
    /// A run ended without one.
    Failed {
        /// The run.
        run: RunRef,
        /// Why.
        failure: Failure,
    },
    /// A worker gives a run back.
    Released {
        /// The run.
        run: RunRef,
        /// Why.
        reason: ReleaseReason,
    },
    /// Nobody heard of that run for longer than its lease.
    LeaseExpired {
        /// The run.
        run: RunId,
    },
    /// Its next attempt is due.
    RetryDue,
    /// Someone cancels it.
    CancelRequested,
    /// Someone gives it new tries.
    RetryRequested,
}

/// What must be done for a job, beside storing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Publish its attempt. Survives a crash: stored with the job.
    Dispatch,
    /// Tell a worker that its run may begin. May be lost: the worker asks again.
    Grant {
        /// Whom.
        to: WorkerRef,
        /// The run.
        run: RunRef,
    },
    /// Tell a worker that its run must not begin. May be lost: the worker asks again.
    Deny {
        /// Whom.
        to: WorkerRef,
        /// The run.
        run: RunRef,
        /// Why.
        reason: DenyReason,
    },
    /// Tell a worker to stop a run. May be lost: it is said again whenever the run is heard of.
    Cancel {
        /// Whom.
        to: WorkerRef,
        /// The run.
        run: RunRef,
        /// Why.
        reason: DenyReason,
    },
}

/// What follows from an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing; a late, early or repeated word.
    Ignore(Ignored),
    /// The job stays as it is, and someone is answered.
    Answer(Vec<Effect>),
    /// The job becomes this, and this follows.
    Change {
        /// The job from now on.
        job: Box<Job>,
        /// What must be done, in this order.
        effects: Vec<Effect>,
    },
}

/// Why an event changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// The job has ended.
    Ended,
    /// It is about a run that is not the current one.
    NotCurrent,
    /// It is the current run, as expected.
    AsExpected,
    /// Of two runs, it is not known yet which is nearer its end.
    Undecided,
    /// The job does not stand where this could matter.
    NotNow,
}

/// What the decisions go by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// How often and how soon failures are tried again.
    pub retry: RetryPolicy,
}

/// What becomes of `job` when `event` happens at `now`.
pub fn decide(job: &Job, event: &Event, now: Timestamp, policy: &Policy) -> Decision {
    let case = Case { job, now, policy };
    match &job.state {
        JobState::Blocked => case.when_blocked(event),
        JobState::Queued => case.when_queued(event),
        JobState::Running { run } => match job.grant(*run) {
            Some(current) => case.when_running(event, current),
            // A running job whose grant is gone cannot be; to wait for a lease that nobody holds would be worse.
            None => case.requeue(job.clone()),
        },
        JobState::Retryable { retry_at } => case.when_retryable(event, *retry_at),
        JobState::Completed(_) => case.when_completed(event),
        JobState::Failed => case.when_failed(event),
        JobState::Cancelled => case.when_cancelled(event),
    }
}

/// One question, so that the functions for each state read like the state diagram.
struct Case<'a> {
    job: &'a Job,
    now: Timestamp,
    policy: &'a Policy,
}

impl Case<'_> {
    fn when_blocked(&self, event: &Event) -> Decision {
        match event {
            Event::Unblocked => self.requeue(self.job.clone()),
            Event::CancelRequested => self.cancelled(),
            Event::Started { run, worker } => deny(worker, run, DenyReason::Stale),
            Event::Heard { run, worker, .. } => stop(worker, run, DenyReason::Stale),
            Event::Succeeded { .. }
            | Event::Failed { .. }
            | Event::Released { .. }
            | Event::LeaseExpired { .. }
            | Event::RetryDue
            | Event::RetryRequested => Decision::Ignore(Ignored::NotNow),
        }
    }

    fn when_queued(&self, event: &Event) -> Decision {
        match event {
            Event::Started { run, worker } => self.grant_or_deny(run, worker),
            Event::Heard { run, worker, .. } => self.revive_or_stop(run, worker),
            Event::Succeeded {
                run,
                worker,
                outcome,
                took,
            } => self.completed(run, worker, outcome, *took),
            Event::Failed { run, .. } | Event::Released { run, .. } => self.note_end(run),
            Event::CancelRequested => self.cancelled(),
            Event::Unblocked
            | Event::LeaseExpired { .. }
            | Event::RetryDue
            | Event::RetryRequested => Decision::Ignore(Ignored::NotNow),
        }
    }

    fn when_running(&self, event: &Event, current: &Grant) -> Decision {
        let is_current = |run: &RunRef| run.run == current.run;
        match event {
            Event::Started { run, worker } if is_current(run) => {
                Decision::Answer(vec![Effect::Grant {
                    to: worker.clone(),
                    run: *run,
                }])
            }
            Event::Started { run, worker } => deny(worker, run, self.why_not(run)),
            Event::Heard { run, .. } if is_current(run) => Decision::Ignore(Ignored::AsExpected),
            Event::Heard {
                run,
                worker,
                share,
                current_share,
            } => self.keep_the_nearer(run, worker, share.zip(*current_share), current),
            Event::Succeeded {
                run,
                worker,
                outcome,
                took,
            } => self.completed(run, worker, outcome, *took),
            Event::Failed { run, failure } if is_current(run) => self.failed(failure, true),
            Event::Released { run, .. } if is_current(run) => {
                let mut job = self.job.clone();
                job.mark_ended(run.run);
                self.requeue(job)
            }
            Event::Failed { run, .. } | Event::Released { run, .. } => self.note_end(run),
            Event::LeaseExpired { run } if *run == current.run => {
                let silent = format!(
                    "nothing was heard of worker {} for longer than its lease",
                    current.worker.worker
                );
                self.failed(&Failure::new(FailureKind::Lost, silent), false)
            }
            Event::LeaseExpired { .. } => Decision::Ignore(Ignored::NotCurrent),
            Event::CancelRequested => self.cancelled(),
            Event::Unblocked | Event::RetryDue | Event::RetryRequested => {
                Decision::Ignore(Ignored::NotNow)
            }
        }
    }

    fn when_retryable(&self, event: &Event, retry_at: Timestamp) -> Decision {
        match event {
            Event::RetryDue if self.now < retry_at => Decision::Ignore(Ignored::NotNow),
            Event::RetryDue | Event::RetryRequested => self.next_attempt(self.job.clone()),
            Event::Started { run, worker } => deny(worker, run, DenyReason::Stale),
            Event::Heard { run, worker, .. } => self.revive_or_stop(run, worker),
            Event::Succeeded {
                run,
                worker,
                outcome,
                took,
            } => self.completed(run, worker, outcome, *took),
            Event::Failed { run, .. } | Event::Released { run, .. } => self.note_end(run),
            Event::CancelRequested => self.cancelled(),
            Event::Unblocked | Event::LeaseExpired { .. } => Decision::Ignore(Ignored::NotNow),
        }
    }

    fn when_completed(&self, event: &Event) -> Decision {
        match event {
            Event::Started { run, worker } => deny(worker, run, DenyReason::Done),
            Event::Heard { run, worker, .. } => {
                self.stop_unless_ended(run, worker, DenyReason::Done)
            }
            Event::Unblocked
            | Event::Succeeded { .. }
            | Event::Failed { .. }
            | Event::Released { .. }
            | Event::LeaseExpired { .. }
            | Event::RetryDue
            | Event::CancelRequested
            | Event::RetryRequested => Decision::Ignore(Ignored::Ended),
        }
    }

    fn when_failed(&self, event: &Event) -> Decision {
        match event {
            Event::RetryRequested => {
                let mut job = self.job.clone();
                job.failures = 0;
                self.next_attempt(job)
            }
            Event::Started { run, worker } => deny(worker, run, DenyReason::Done),
            Event::Heard { run, worker, .. } => self.revive_or_stop(run, worker),
            Event::Succeeded {
                run,
                worker,
                outcome,
                took,
            } => self.completed(run, worker, outcome, *took),
            Event::Failed { run, .. } | Event::Released { run, .. } => self.note_end(run),
            Event::CancelRequested => self.cancelled(),
            Event::Unblocked | Event::LeaseExpired { .. } | Event::RetryDue => {
                Decision::Ignore(Ignored::Ended)
            }
        }
    }

    fn when_cancelled(&self, event: &Event) -> Decision {
        match event {
            Event::Started { run, worker } => deny(worker, run, DenyReason::Cancelled),
            Event::Heard { run, worker, .. } => {
                self.stop_unless_ended(run, worker, DenyReason::Cancelled)
            }
            Event::Failed { run, .. } | Event::Released { run, .. } => self.note_end(run),
            Event::Unblocked
            | Event::Succeeded { .. }
            | Event::LeaseExpired { .. }
            | Event::RetryDue
            | Event::CancelRequested
            | Event::RetryRequested => Decision::Ignore(Ignored::Ended),
        }
    }

    fn grant_or_deny(&self, run: &RunRef, worker: &WorkerRef) -> Decision {
        // A run that has ended, or was given up, is not begun a second time: its worker has forgotten it.
        if run.attempt != self.job.attempt || self.job.grant(run.run).is_some() {
            return deny(worker, run, DenyReason::Stale);
        }
        let mut job = self.job.clone();
        job.remember(Grant {
            attempt: run.attempt,
            run: run.run,
            worker: worker.clone(),
            take: job.take,
            at: self.now,
            ended: false,
            told_to_stop: false,
        });
        job.state = JobState::Running { run: run.run };
        change(
            job,
            vec![Effect::Grant {
                to: worker.clone(),
                run: *run,
            }],
        )
    }

    fn why_not(&self, run: &RunRef) -> DenyReason {
        if run.attempt < self.job.attempt {
            DenyReason::Stale
        } else {
            DenyReason::GrantedToAnother
        }
    }

    /// A run that was given up speaks again, and no other runs.
    fn revive_or_stop(&self, run: &RunRef, worker: &WorkerRef) -> Decision {
        match self.job.grant(run.run) {
            Some(grant) if grant.ended => Decision::Ignore(Ignored::NotCurrent),
            Some(grant) if !grant.told_to_stop => {
                let mut job = self.job.clone();
                job.state = JobState::Running { run: run.run };
                job.finished_at = None;
                change(job, Vec::new())
            }
            Some(_) | None => stop(worker, run, DenyReason::Stale),
        }
    }

    /// A run that was given up speaks again while another one runs. Whichever is told to stop is out of the race for good:
    /// a later word of it, sent before it heard so, must not stop the other one too.
    fn keep_the_nearer(
        &self,
        run: &RunRef,
        worker: &WorkerRef,
        shares: Option<(f64, f64)>,
        current: &Grant,
    ) -> Decision {
        match self.job.grant(run.run) {
            Some(grant) if grant.ended => Decision::Ignore(Ignored::NotCurrent),
            Some(grant) if grant.told_to_stop => stop(worker, run, DenyReason::GrantedToAnother),
            Some(_) if shares.is_some_and(|(share, current_share)| share > current_share) => {
                let mut job = self.job.clone();
                job.mark_told_to_stop(current.run);
                job.state = JobState::Running { run: run.run };
                change(
                    job,
                    vec![self.cancel(current, DenyReason::GrantedToAnother)],
                )
            }
            // Both go on until both have said how far they are.
            Some(_) if shares.is_none() => Decision::Ignore(Ignored::Undecided),
            Some(_) => {
                let mut job = self.job.clone();
                job.mark_told_to_stop(run.run);
                change(
                    job,
                    vec![Effect::Cancel {
                        to: worker.clone(),
                        run: *run,
                        reason: DenyReason::GrantedToAnother,
                    }],
                )
            }
            None => stop(worker, run, self.why_not(run)),
        }
    }

    fn stop_unless_ended(&self, run: &RunRef, worker: &WorkerRef, reason: DenyReason) -> Decision {
        match self.job.grant(run.run) {
            Some(grant) if grant.ended => Decision::Ignore(Ignored::Ended),
            Some(_) | None => stop(worker, run, reason),
        }
    }

    fn note_end(&self, run: &RunRef) -> Decision {
        match self.job.grant(run.run) {
            Some(grant) if !grant.ended => {
                let mut job = self.job.clone();
                job.mark_ended(run.run);
                change(job, Vec::new())
            }
            Some(_) | None => Decision::Ignore(Ignored::NotCurrent),
        }
    }

    fn completed(
        &self,
        run: &RunRef,
        worker: &WorkerRef,
        outcome: &Outcome,
        took: Duration,
    ) -> Decision {
        let mut job = self.job.clone();
        let take = job.grant(run.run).map_or(job.take, |grant| grant.take);
        let siblings = job.current().filter(|current| current.run != run.run);
        let effects = siblings
            .map(|sibling| self.cancel(sibling, DenyReason::Done))
            .into_iter()
            .collect();
        job.mark_ended(run.run);
        job.state = JobState::Completed(Completion {
            outcome: outcome.clone(),
            worker: worker.clone(),
            take,
            took,
        });
        job.finished_at = Some(self.now);
        change(job, effects)
    }

    /// The current run has failed; `is_heard` if its worker said so, and not its silence.
    fn failed(&self, failure: &Failure, is_heard: bool) -> Decision {
        let mut job = self.job.clone();
        if let (true, JobState::Running { run }) = (is_heard, &self.job.state) {
            job.mark_ended(*run);
        }
        // A run that takes its place back after the tries were spent, and fails, spends no try more.
        job.failures = (job.failures.saturating_add(1)).min(self.policy.retry.max_failures);
        job.failure = Some(failure.clone());
        if failure.kind.is_judged() {
            job.take = job.take.next();
        }
        let retry_at = next_retry_at(
            job.failures,
            self.now,
            jitter(job.id, job.failures),
            &self.policy.retry,
        )
        .filter(|_| failure.kind.is_worth_a_retry());
        match retry_at {
            Some(retry_at) => job.state = JobState::Retryable { retry_at },
            None => {
                job.state = JobState::Failed;
                job.finished_at = Some(self.now);
            }
        }
        change(job, Vec::new())
    }

    fn cancelled(&self) -> Decision {
        let mut job = self.job.clone();
        let effects = job
            .current()
            .map(|current| self.cancel(current, DenyReason::Cancelled))
            .into_iter()
            .collect();
        job.state = JobState::Cancelled;
        job.finished_at = Some(self.now);
        change(job, effects)
    }

    fn next_attempt(&self, mut job: Job) -> Decision {
        job.attempt = job.attempt.next();
        self.requeue(job)
    }

    fn requeue(&self, mut job: Job) -> Decision {
        job.state = JobState::Queued;
        job.queued_at = Some(self.now);
        job.finished_at = None;
        change(job, vec![Effect::Dispatch])
    }

    fn cancel(&self, grant: &Grant, reason: DenyReason) -> Effect {
        Effect::Cancel {
            to: grant.worker.clone(),
            run: self.job.run_ref(grant),
            reason,
        }
    }
}

fn change(job: Job, effects: Vec<Effect>) -> Decision {
    Decision::Change {
        job: Box::new(job),
        effects,
    }
}

fn deny(to: &WorkerRef, run: &RunRef, reason: DenyReason) -> Decision {
    Decision::Answer(vec![Effect::Deny {
        to: to.clone(),
        run: *run,
        reason,
    }])
}

fn stop(to: &WorkerRef, run: &RunRef, reason: DenyReason) -> Decision {
    Decision::Answer(vec![Effect::Cancel {
        to: to.clone(),
        run: *run,
        reason,
    }])
}

/// A number from 0 to 1 that differs from job to job and from failure to failure, and is always the same for the same ones:
/// the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn jitter(job: JobId, failures: u32) -> f64 {
    let bits = job.as_u128();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the halves are mixed on purpose"
    )]
    let mut mixed = (bits >> 64) as u64 ^ bits as u64 ^ (u64::from(failures) << 32);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    let share = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
    share
}

#[cfg(test)]
mod tests;
