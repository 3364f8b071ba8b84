//! What is said between a backend and those who use it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;

/// What a backend is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// How are you?
    State,
    /// Run this job, unless you know it already.
    Run(Job),
    /// Leave this job out, or stop it at the next step.
    Cancel {
        /// Its id.
        job: String,
    },
    /// Unload: that model, or all of them.
    Unload {
        /// Which.
        model: Option<String>,
    },
    /// Answer when that job has ended, or, without one, when you are idle; but after this time in any case.
    Wait {
        /// Its id.
        job: Option<String>,
        /// How long at most.
        limit: Duration,
    },
    /// Say yes to the next unloads, and do nothing.
    IgnoreUnloads {
        /// How many.
        times: u32,
    },
    /// Die, without an answer.
    Die,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Whose result it will be. A backend does not run one twice.
    pub id: String,
    /// The model that does it.
    pub model: String,
    /// What the model holds once it is loaded, and after the job.
    pub load: ByteSize,
    /// What the backend holds for it at the most, model included; not less than `load`.
    pub peak: ByteSize,
    /// How long it runs with the model loaded.
    pub takes: Duration,
}

/// A backend at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BackendState {
    /// Its process.
    pub pid: u32,
    /// What it works on.
    pub running: Option<Running>,
    /// What is in its line, first come first.
    pub in_line: Vec<String>,
    /// What is loaded.
    pub models: Vec<(String, ByteSize)>,
    /// What it holds of the card.
    pub held: ByteSize,
    /// For how long it has had nothing to do; absent while it has.
    pub idle_for: Option<Duration>,
    /// Jobs that have ended, the latest last.
    pub ended: Vec<Ended>,
    /// The most jobs that it had at the same time.
    pub deepest: usize,
    /// How often it ran out of memory.
    pub out_of_memory: u32,
    /// How often it loaded a model.
    pub loads: u32,
    /// What it was told to unload, in order, also where it did not; absent: all of it.
    pub told_to_unload: Vec<Option<String>>,
}

/// A job that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Its id.
    pub job: String,
    /// How much of it is done, from 0 to 1; 0 while the model is loaded.
    pub done: f64,
}

/// A job that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its id.
    pub job: String,
    /// How.
    pub how: Outcome,
    /// The most that the backend held during it.
    pub peak: ByteSize,
}

/// How a job has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done.
    Done,
    /// The card had no room for it. All models were dropped.
    OutOfMemory,
    /// It was cancelled.
    Cancelled,
}

impl BackendState {
    /// Whether it has nothing to do.
    pub fn is_idle(&self) -> bool {
        self.running.is_none() && self.in_line.is_empty()
    }

    /// How that job has ended; none if it has not, or was never there.
    pub fn ended(&self, job: &str) -> Option<&Ended> {
        self.ended.iter().rev().find(|ended| ended.job == job)
    }

    /// Whether that job runs or is in line.
    pub fn has(&self, job: &str) -> bool {
        self.running.as_ref().is_some_and(|it| it.job == job)
            || self.in_line.iter().any(|id| id == job)
    }
}
