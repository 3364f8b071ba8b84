//! Starts the parts of a worker in order, and stops them in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::artifacts::ArtifactStore;
use shared::broker::SharedBroker;
use shared::fields;
use shared::ids::{BootId, RunId};
use shared::metrics::push;
use shared::protocol::{ReleaseReason, ToCoordinator, WorkerRef};
use shared::time::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::ask::released;
use crate::backend::Backend;
use crate::gpu::probe::host::{HostSource, ThisHost};
use crate::journal::{Journal, JournalError, LeftOver, Taken};
use crate::metrics::Metrics;
use crate::offers::{self, Offer};
use crate::report::Reporter;
use crate::runs::{Run, Runs, StopReason};
use crate::settings::WorkerConfig;
use crate::slots::Slots;
use crate::tap::Card;
use crate::worker::{Conditions, Worker, scratch_root};
use crate::{admission, heartbeat, host, inbox, journal, listener, readiness, tap};

/// How long a worker that stops goes on trying to deliver its last reports. What is left is delivered after its next start.
const LAST_REPORTS: Duration = Duration::from_secs(10);

/// Why a worker cannot run.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Its settings, or those of its backends, are unusable.
    #[error("the worker's settings are unusable: {}", .0.join("; "))]
    Settings(Vec<String>),
    /// Its journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its folder for scratch files cannot be emptied.
    #[error(
        "cannot empty the scratch folder {folder}: worker.data_dir must be a folder that this user may write to; otherwise \
         remove what is in there by hand"
    )]
    Scratch {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The broker does not let it read its own inbox.
    #[error("the broker refuses the worker's inbox: {0}; check the permissions of its user")]
    InboxRefused(String),
    /// It cannot tell its metrics.
    #[error(
        "cannot listen on {address}; choose another address (telemetry.metrics_listen), or stop what listens there"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A part of it died: a mistake in this program.
    #[error("a part of the worker died")]
    Died(#[source] tokio::task::JoinError),
}

/// Runs a worker until `shutdown` fires and everything is finished or handed back. Dropping the future ends the worker as
/// abruptly as a kill would; its journal brings it back.
///
/// # Errors
/// If the worker cannot start, or cannot go on.
pub async fn run(
    backends: Vec<Arc<dyn Backend>>,
    config: WorkerConfig,
    broker: SharedBroker,
    artifacts: ArtifactStore,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let host = Arc::new(ThisHost::counting(config.gpu.host_memory));
    run_on(host, backends, config, broker, artifacts, shutdown).await
}

/// The same on a host that is read from there.
///
/// # Errors
/// If the worker cannot start, or cannot go on.
pub async fn run_on(
    host: Arc<dyn HostSource>,
    backends: Vec<Arc<dyn Backend>>,
    config: WorkerConfig,
    broker: SharedBroker,
    artifacts: ArtifactStore,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let offers = check(&backends, &config)?;
    let listener = match config.metrics_listen {
        Some(address) => Some(listener::bind(address).await?),
        None => None,
    };
    let journal = Journal::open(&config.data_dir.join("journal"), Timestamp::now()).await?;
    let (journal, left_over, writer) = (journal.journal, journal.left_over, journal.writer);
    empty_scratch(&config).await?;
    let ended = CancellationToken::new();
    let reporter = Reporter::new(Arc::clone(&broker), journal.clone(), ended.clone());
    let worker = Arc::new(Worker {
        me: WorkerRef {
            worker: config.worker.clone(),
            boot: BootId::generate(),
        },
        slots: Slots::new(config.slots),
        runs: Arc::new(Runs::default()),
        conditions: watch::Sender::new(Conditions {
            paused: false,
            draining: false,
            inbox_open: false,
            not_ready: vec![Some("is being prepared".to_owned()); backends.len()],
            blocked: vec![None; offers.len()],
            gate: admission::at_first(&offers),
            standing: vec![None; offers.len()],
            due: vec![false; offers.len()],
        }),
        host,
        hints: watch::Sender::new(None),
        admission: Admission::new(),
        card: Mutex::new(Card::at(config.pace)),
        card_changed: Notify::new(),
        recheck: backends.iter().map(|_| Notify::new()).collect(),
        attempts: TaskTracker::new(),
        store: Mutex::new(None),
        shut_last: Mutex::new(vec![None; offers.len()]),
        metrics: Metrics::new(),
        ended: ended.clone(),
        config,
        broker,
        artifacts,
        backends,
        offers,
        journal,
        reporter,
    });
    // Fires at the latest when this future is dropped.
    let end = ended.drop_guard();
    catch_up(&worker, left_over).await;
    let result = live(&worker, listener, shutdown).await;
    if push::is_on() {
        push::hand_over(worker.metrics.page(&worker));
    }
    drop(end);
    drop(worker);
    close(writer).await;
    result
}

fn check(backends: &[Arc<dyn Backend>], config: &WorkerConfig) -> Result<Vec<Offer>, WorkerError> {
    let offers = offers::offers(backends);
    let mut problems: Vec<String> = config.mistakes().iter().map(ToString::to_string).collect();
    problems.extend(offers::repeated(&offers).into_iter().map(|(kind, profile)| {
        format!("profile {profile} for {kind} jobs is offered by two backends: name one otherwise")
    }));
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    match problems.is_empty() {
        true => Ok(offers),
        false => Err(WorkerError::Settings(problems)),
    }
}

/// Scratch files of an earlier life are of no use: whatever was worth keeping is in the artifact store.
async fn empty_scratch(config: &WorkerConfig) -> Result<(), WorkerError> {
    let folder = scratch_root(config);
    remove_runs(&folder)
        .await
        .map_err(|source| WorkerError::Scratch { folder, source })
}

/// Removes the folders of runs. Whatever else lies there is somebody else's.
async fn remove_runs(folder: &Path) -> std::io::Result<()> {
    let mut entries = match tokio::fs::read_dir(folder).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name();
        let is_of_a_run = name
            .to_str()
            .is_some_and(|name| name.parse::<RunId>().is_ok());
        if is_of_a_run && entry.file_type().await?.is_dir() {
            tokio::fs::remove_dir_all(entry.path()).await?;
        }
    }
    Ok(())
}

/// Tells the coordinator what an earlier life could not.
async fn catch_up(worker: &Worker, left_over: LeftOver) {
    for (run, report) in left_over.reports {
        worker.reporter.publish(run, None, report);
    }
    for Taken {
        run, take, store, ..
    } in left_over.unfinished
    {
        tracing::info!({ fields::JOB_ID } = %run.job, { fields::ATTEMPT } = %run.attempt, "gives back what was begun before the restart");
        let run = Run {
            of: run,
            take,
            store,
            part_of: None,
        };
        let report: ToCoordinator = released(worker, run, ReleaseReason::Restarted);
        let reporter = &worker.reporter;
        reporter.report(run.of.run, store, None, report).await;
    }
}

/// Serves until it is told to stop and has stopped, or a part cannot go on.
async fn live(
    worker: &Arc<Worker>,
    listener: Option<TcpListener>,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let mut services = JoinSet::new();
    if let Some(listener) = listener {
        let worker = Arc::clone(worker);
        services.spawn(async move {
            listener::serve(worker, listener).await;
            Ok(())
        });
    }
    services.spawn({
        let worker = Arc::clone(worker);
        let page = move || std::future::ready(Some(worker.metrics.page(&worker)));
        async move { match push::regularly(page).await {} }
    });
    services.spawn(inbox::serve(Arc::clone(worker)));
    services.spawn({
        let worker = Arc::clone(worker);
        async move {
            heartbeat::tell(worker).await;
            Ok(())
        }
    });
    services.spawn({
        let worker = Arc::clone(worker);
        async move {
            admission::watch(worker).await;
            Ok(())
        }
    });
    for place in 0..worker.backends.len() {
        let worker = Arc::clone(worker);
        services.spawn(async move {
            readiness::watch(worker, place).await;
            Ok(())
        });
    }
    let result = tokio::select! {
        deadline = take_until(worker, &shutdown) => {
            drain(worker, deadline).await;
            Ok(())
        }
        Some(ended) = services.join_next() => ended.unwrap_or_else(|error| Err(WorkerError::Died(error))),
    };
    services.shutdown().await;
    result
}

/// Takes attempts until it is told to stop, and then hands back what has not begun. Returns when everything must be done.
async fn take_until(worker: &Arc<Worker>, shutdown: &CancellationToken) -> Instant {
    let deadline = || Instant::now() + worker.config.drain_timeout;
    let mut taps = pin!(tap::serve(Arc::clone(worker)));
    tokio::select! {
        () = &mut taps => return deadline(),
        () = shutdown.cancelled() => {}
    }
    let deadline = deadline();
    tracing::info!({ fields::WORKER_ID } = %worker.me.worker, "drains: takes nothing more");
    worker.set(|conditions| conditions.draining = true);
    if timeout_at(deadline, taps).await.is_err() {
        tracing::warn!("the broker does not answer; what has not begun comes back when it notices");
    }
    deadline
}

/// Waits for what runs, hands back what takes too long, and sees the last reports off.
async fn drain(worker: &Worker, deadline: Instant) {
    worker.attempts.close();
    if timeout_at(deadline, worker.attempts.wait()).await.is_err() {
        worker.runs.stop_all(StopReason::Drained);
        worker.attempts.wait().await;
    }
    if timeout(LAST_REPORTS, worker.reporter.all_published())
        .await
        .is_err()
    {
        tracing::warn!(
            "some reports could not be delivered; they are delivered after the next start"
        );
    }
    let host = host::name();
    let farewell = heartbeat::say(worker, &host);
    // With no broker there, nobody hears it.
    let _ = timeout(journal::LAST_WRITES, farewell).await;
}

/// Waits until the journal is closed, so that the next worker can open it.
async fn close(writer: JoinHandle<()>) {
    if timeout(journal::LAST_WRITES, writer).await.is_err() {
        tracing::warn!("the journal is still being written");
    }
}
