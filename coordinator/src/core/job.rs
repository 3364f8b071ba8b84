//! A job as the coordinator keeps it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::failure::Failure;
use shared::ids::{Attempt, FilmId, JobId, ProfileName, RunId, Take};
use shared::job::{JobKind, JobStatus, Outcome};
use shared::protocol::{EarlierRun, RunRef, WorkerRef};
use shared::time::Timestamp;

/// How many grants a job remembers. Of older runs, those that ended are forgotten first; a report from a forgotten one is
/// answered like a stranger's.
const GRANTS_MAX: usize = 16;

/// One unit of work of a film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its film.
    pub film: FilmId,
    /// Its kind.
    pub kind: JobKind,
    /// Number of its scene, for keyframes and scenes.
    pub scene: Option<u32>,
    /// The profile it runs on.
    pub profile: ProfileName,
    /// Where it stands.
    pub state: JobState,
    /// Number of the latest attempt. It never goes down.
    pub attempt: Attempt,
    /// Number of the latest take.
    pub take: Take,
    /// Attempts that failed since it was last given new tries.
    pub failures: u32,
    /// The runs that were granted, oldest first; 16 at most.
    pub grants: Vec<Grant>,
    /// Why the latest failed attempt failed.
    pub failure: Option<Failure>,
    /// When it was queued last.
    pub queued_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Where a job stands. The attempt's number is on the job, not in here, so that no state can forget the fence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum JobState {
    /// Waits for another job.
    Blocked,
    /// Waits for a worker to take its attempt.
    Queued,
    /// A run of it was granted and is believed alive.
    Running {
        /// That run; found among the grants.
        run: RunId,
    },
    /// Failed, and waits for its next attempt.
    Retryable {
        /// When that is due.
        retry_at: Timestamp,
    },
    /// Its result is there.
    Completed(Completion),
    /// Its tries are spent.
    Failed,
    /// Someone cancelled it.
    Cancelled,
}

/// How a job was completed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// What came of it.
    pub outcome: Outcome,
    /// The worker that did it.
    pub worker: WorkerRef,
    /// The take that was rendered.
    pub take: Take,
    /// How long the run took.
    #[serde(rename = "took_ms", with = "shared::time::millis")]
    pub took: Duration,
}

/// A run that was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The attempt it runs.
    pub attempt: Attempt,
    /// The run.
    pub run: RunId,
    /// Who runs it.
    pub worker: WorkerRef,
    /// The take it renders.
    pub take: Take,
    /// When it was granted.
    pub at: Timestamp,
    /// Whether its worker has said that it ended. A run that has not may come back after any silence.
    pub ended: bool,
    /// Whether it was told to stop because another run of the job is nearer its end. It does not come back, but its success
    /// still counts.
    pub told_to_stop: bool,
}

impl Job {
    /// A job that nobody has worked on, blocked.
    pub fn new(
        id: JobId,
        film: FilmId,
        kind: JobKind,
        scene: Option<u32>,
        profile: ProfileName,
    ) -> Self {
        Self {
            id,
            film,
            kind,
            scene,
            profile,
            state: JobState::Blocked,
            attempt: Attempt::FIRST,
            take: Take::FIRST,
            failures: 0,
            grants: Vec::new(),
            failure: None,
            queued_at: None,
            finished_at: None,
        }
    }

    /// The flat status that clients see.
    pub const fn status(&self) -> JobStatus {
        match self.state {
            JobState::Blocked => JobStatus::Blocked,
            JobState::Queued => JobStatus::Queued,
            JobState::Running { .. } => JobStatus::Running,
            JobState::Retryable { .. } => JobStatus::Retryable,
            JobState::Completed(_) => JobStatus::Completed,
            JobState::Failed => JobStatus::Failed,
            JobState::Cancelled => JobStatus::Cancelled,
        }
    }

    /// The grant of that run, if there was one.
    pub fn grant(&self, run: RunId) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.run == run)
    }

    /// The run that is believed alive.
    pub fn current(&self) -> Option<&Grant> {
        match self.state {
            JobState::Running { run } => self.grant(run),
            JobState::Blocked
            | JobState::Queued
            | JobState::Retryable { .. }
            | JobState::Completed(_)
            | JobState::Failed
            | JobState::Cancelled => None,
        }
    }

    /// How it was completed, if it was.
    pub const fn completion(&self) -> Option<&Completion> {
        match &self.state {
            JobState::Completed(completion) => Some(completion),
            JobState::Blocked
            | JobState::Queued
            | JobState::Running { .. }
            | JobState::Retryable { .. }
            | JobState::Failed
            | JobState::Cancelled => None,
        }
    }

    /// What its run is called in messages.
    pub const fn run_ref(&self, grant: &Grant) -> RunRef {
        RunRef {
            job: self.id,
            attempt: grant.attempt,
            run: grant.run,
        }
    }

    /// Runs whose work may still be found, for the worker that gets the next attempt.
    pub fn earlier_runs(&self) -> Vec<EarlierRun> {
        let told = |grant: &Grant| EarlierRun {
            attempt: grant.attempt,
            run: grant.run,
            worker: grant.worker.worker.clone(),
            take: grant.take,
        };
        self.grants.iter().map(told).collect()
    }

    pub(super) fn remember(&mut self, grant: Grant) {
        if self.grants.len() == GRANTS_MAX {
            let oldest_ended = self.grants.iter().position(|grant| grant.ended);
            self.grants.remove(oldest_ended.unwrap_or(0));
        }
        self.grants.push(grant);
    }

    pub(super) fn mark_told_to_stop(&mut self, run: RunId) {
        for grant in self.grants.iter_mut().filter(|grant| grant.run == run) {
            grant.told_to_stop = true;
        }
    }

    pub(super) fn mark_ended(&mut self, run: RunId) {
        for grant in self.grants.iter_mut().filter(|grant| grant.run == run) {
            grant.ended = true;
        }
    }
}
