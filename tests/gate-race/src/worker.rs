//! One worker: takes its jobs one after another, and has its backend do them.

use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use simulated_gpu::{Client, Job, Outcome};

use crate::chance::Chance;
use crate::gated::Gated;
use crate::naive::Naive;
use crate::plan::{Planned, Strategy, job};
use crate::report::Report;

/// After a job that ran out of memory, a worker takes no other at once: the coordinator puts off what has failed. Without
/// this pause the naive gate would finish nothing at all.
const AFTER_A_FAILURE: Duration = Duration::from_millis(250);
/// No job takes so long.
const LONG: Duration = Duration::from_secs(60);

/// What a worker is told when it is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) worker: u32,
    /// Which life of it this is, from 0.
    pub(crate) life: u32,
    pub(crate) seed: u64,
    pub(crate) strategy: Strategy,
    /// The job to begin with, which its life before may have begun already.
    pub(crate) first: u32,
    /// All backends with their processes, those of other workers too.
    pub(crate) backends: Vec<(SocketAddr, u32)>,
    /// In the place of NVML.
    pub(crate) library: PathBuf,
    pub(crate) device: String,
    pub(crate) ledger: PathBuf,
}

impl Orders {
    pub(crate) fn own_backend(&self) -> (SocketAddr, u32) {
        self.backends[self.worker as usize]
    }
}

/// What decides whether a job may begin.
enum Decider {
    Gate(Gated),
    Naive(Box<Naive>),
}

/// Works until it is killed, or until standard input ends. At the first line there it takes no more jobs.
///
/// # Errors
/// If something fails that should not in a race.
pub fn work(orders: &str) -> Result<()> {
    let orders: Orders = serde_json::from_str(orders).context("orders that are none")?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    thread::spawn(move || {
        for _ in io::stdin().lock().lines() {
            told.store(true, Ordering::Relaxed);
        }
        exit(0);
    });
    let decider = match orders.strategy {
        Strategy::Gate => Decider::Gate(Gated::new(&orders)?),
        Strategy::Naive => Decider::Naive(Box::new(Naive::new(&orders))),
    };
    let backend = Client::at(orders.own_backend().0);
    let mut pause = Pause(Chance::new(
        orders.seed,
        u64::from(orders.worker) << 32 | u64::from(orders.life),
    ));
    for number in orders.first.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let job = job(orders.seed, orders.worker, number);
        Report::Turned { number }.tell();
        let may_wait = || {
            pause.pass();
            !stop.load(Ordering::Relaxed)
        };
        let failed = match &decider {
            Decider::Gate(gate) => gate.run(&job, backend, may_wait)?,
            Decider::Naive(naive) => naive.run(&job, backend, may_wait)?,
        } == Some(false);
        if failed {
            thread::sleep(AFTER_A_FAILURE);
        }
    }
    Report::Stopped.tell();
    // The reader of standard input ends it.
    loop {
        thread::park();
    }
}

/// Has the backend do that job, and tells how it went; whether it is done.
pub(crate) fn run(job: &Planned, backend: Client) -> Result<bool> {
    let id = job.id.to_string();
    backend.run(Job {
        id: id.clone(),
        model: format!("of {}", job.peak),
        load: job.load,
        peak: job.peak,
        takes: job.takes,
    })?;
    let state = backend.wait_for(&id, LONG)?;
    let Some(ended) = state.ended(&id) else {
        bail!("a job without an end: {state:?}");
    };
    let done = ended.how == Outcome::Done;
    Report::Ended { done }.tell();
    if !done {
        return Ok(false);
    }
    if !job.stays {
        backend.unload(None)?;
    }
    Ok(true)
}

/// Pauses of a worker that waits: at another moment each, so that not all ask in step.
struct Pause(Chance);

impl Pause {
    fn pass(&mut self) {
        thread::sleep(Duration::from_millis(self.0.between(15, 45)));
    }
}
