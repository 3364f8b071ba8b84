//! Wiring, supervision and the order of shutdown.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use shared::artifacts::ArtifactStore;
use shared::broker::SharedBroker;
use shared::ids::BootId;
use shared::metrics::push;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::coordinator::Coordinator;
use crate::engine::{self, Engine, Shared};
use crate::live::Live;
use crate::lock::DataDir;
use crate::maintenance::AnotherCoordinator;
use crate::metrics::Metrics;
use crate::settings::CoordinatorSettings;
use crate::store::{self, Rows, StoreError};
use crate::tls::{Renewal, TlsError};
use crate::{api, intake, maintenance, outbox};

/// Inputs that may wait for the engine.
const INPUTS: usize = 1_024;
/// Words of workers on what they offer that may wait for its queues to be made.
const OFFERS: usize = 64;
/// Events that a watcher may be behind before it reads the store again.
const EVENTS: usize = 1_024;

/// Why a coordinator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder cannot be used.
    #[error("the data folder {path} cannot be used; choose another one or make it writable")]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another coordinator has its folder.
    #[error("another process uses the data folder {0}; stop it, or choose another folder")]
    InUse(PathBuf),
    /// Its certificate cannot be shown to anyone.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store cannot be opened.
    #[error("the database in the data folder cannot be used")]
    Store(#[from] StoreError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; choose another address, or stop what listens there")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Why a coordinator can no longer do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Another one does it.
    #[error(transparent)]
    Another(#[from] AnotherCoordinator),
    /// A part of it has ended, which none does while it works; if it panicked, the log says where.
    #[error("the coordinator's {0} has ended; start it again")]
    Part(&'static str),
}

/// A coordinator at work.
#[derive(Debug)]
pub struct Running {
    /// Its face.
    pub coordinator: Coordinator,
    /// Where its HTTP API listens.
    pub address: SocketAddr,
    /// Whether it speaks TLS there.
    pub is_https: bool,
    /// Nothing new comes in.
    stop: CancellationToken,
    /// The engine takes what is there and ends.
    last_call: CancellationToken,
    intake: TaskTracker,
    engine: JoinHandle<()>,
    settler: JoinHandle<()>,
    outbox: JoinHandle<()>,
    watch: JoinHandle<Result<(), AnotherCoordinator>>,
    _data_dir: DataDir,
}

/// Starts a coordinator: reads its store and carries on where the last one stopped.
///
/// # Errors
/// If its folder, its store, its certificate or its address cannot be used.
pub async fn start(
    settings: CoordinatorSettings,
    broker: SharedBroker,
    artifacts: ArtifactStore,
) -> Result<Running, StartError> {
    let certificate = match settings.tls.files() {
        Some(files) => Some(Renewal::begin(files).await?),
        None => None,
    };
    let is_https = certificate.is_some();
    let data_dir = DataDir::take(&settings.data_dir)?;
    let (reader, mut writer) = store::open(&data_dir.path.join(store::FILE)).await?;
    let live = recover(&mut writer, &settings).await?;
    let unusable = |source| StartError::Listen {
        address: settings.listen,
        source,
    };
    let listener = TcpListener::bind(settings.listen).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;

    let shared = Shared {
        settings: Arc::new(settings),
        reader,
        artifacts: artifacts.clone(),
        live: Arc::new(Mutex::new(live)),
        events: broadcast::channel(EVENTS).0,
        boot: BootId::generate(),
        is_reader: Arc::new(watch::channel(false).0),
        is_open: Arc::new(watch::channel(false).0),
        trouble: Arc::new(watch::channel(None).0),
        metrics: Arc::new(Metrics::new()),
    };
    let (inputs, engine_inputs) = mpsc::channel(INPUTS);
    let (outgoing, outbox_inputs) = mpsc::unbounded_channel();
    let coordinator = Coordinator::new(shared.clone(), inputs.clone(), broker.clone());
    let stop = CancellationToken::new();
    let intake = TaskTracker::new();

    let last_call = CancellationToken::new();
    let (settling, handed_over) = mpsc::unbounded_channel();
    let engine = Engine::new(shared.clone(), outgoing, settling.clone());
    let engine = tokio::spawn(engine.run(writer, engine_inputs, last_call.clone()));
    let settler = tokio::spawn(engine::settle(broker.clone(), handed_over));
    let outbox = tokio::spawn(outbox::run(
        broker.clone(),
        outbox_inputs,
        inputs.downgrade(),
        settling,
    ));
    let watch = tokio::spawn(maintenance::watch(shared.clone(), broker.clone()));
    let (offers, heard_offers) = mpsc::channel(OFFERS);
    intake.spawn(intake::queues::run(
        broker.clone(),
        heard_offers,
        stop.clone(),
    ));
    intake.spawn(intake::reports::run(
        broker.clone(),
        artifacts,
        inputs.clone(),
        offers,
        stop.clone(),
    ));
    intake.spawn(intake::submissions::run(
        broker,
        shared.is_reader.subscribe(),
        Arc::clone(&shared.is_open),
        inputs.clone(),
        stop.clone(),
    ));
    intake.spawn(
        stop.clone()
            .run_until_cancelled_owned(maintenance::clock(shared.settings.hint, inputs.clone())),
    );
    let options = api::Options::new(address, &shared.settings);
    intake.spawn(
        stop.clone()
            .run_until_cancelled_owned(maintenance::retention(shared, inputs)),
    );
    let told = coordinator.clone();
    intake.spawn(stop.clone().run_until_cancelled_owned(async move {
        push::regularly(|| async { told.metrics().await.ok() }).await
    }));
    intake.spawn(api::serve(
        listener,
        certificate,
        api::router(coordinator.clone(), options),
        stop.clone(),
    ));
    intake.close();
    Ok(Running {
        coordinator,
        address,
        is_https,
        stop,
        last_call,
        intake,
        engine,
        settler,
        outbox,
        watch,
        _data_dir: data_dir,
    })
}

/// The URL of a coordinator at that address.
pub fn url_of(is_https: bool, address: SocketAddr) -> String {
    let scheme = if is_https { "https" } else { "http" };
    format!("{scheme}://{address}")
}

/// What the living must know of the store: leases of running jobs begin afresh, queued attempts are published again.
async fn recover(
    writer: &mut store::Writer,
    settings: &CoordinatorSettings,
) -> Result<Live, StoreError> {
    let mut transaction = writer.begin().await?;
    let mut rows = Rows(&mut transaction);
    let mut live = Live::new(settings.lease, rows.paused_workers().await?);
    for job in rows.running_jobs().await? {
        if let Some(grant) = job.current() {
            live.leases
                .begin(job.run_ref(grant), shared::time::Timestamp::now());
        }
    }
    let queued = rows.dispatch_all_again().await?;
    transaction.commit().await.map_err(StoreError::from)?;
    tracing::info!(
        queued,
        running = live.leases.iter().count(),
        "the store was read"
    );
    Ok(live)
}

impl Running {
    /// Where its HTTP API is, as a URL.
    pub fn url(&self) -> String {
        url_of(self.is_https, self.address)
    }

    /// Resolves if the coordinator can no longer do its work: another one serves the same virtual host, or a part of this one
    /// has ended.
    ///
    /// # Errors
    /// Always, with the reason, when it resolves.
    pub async fn failed(&mut self) -> Result<std::convert::Infallible, Failed> {
        let watch = async {
            match (&mut self.watch).await {
                Ok(Err(error)) => Failed::Another(error),
                // The broker was closed: so is the coordinator, soon.
                Ok(Ok(())) => std::future::pending().await,
                Err(_) => Failed::Part("watch over the broker"),
            }
        };
        Err(tokio::select! {
            failed = watch => failed,
            _ = &mut self.engine => Failed::Part("engine"),
            _ = &mut self.settler => Failed::Part("settling of deliveries"),
            _ = &mut self.outbox => Failed::Part("outbox"),
        })
    }

    /// Stops in order: nothing new comes in, what came in is stored, what was stored goes out.
    pub async fn shutdown(self) {
        self.watch.abort();
        self.stop.cancel();
        self.intake.wait().await;
        let reader = self.coordinator.reader().clone();
        self.last_call.cancel();
        for mut task in [self.engine, self.outbox, self.settler] {
            // One that has ended before was told by `failed`, and must not be asked twice.
            if !task.is_finished()
                && let Err(error) = (&mut task).await
            {
                tracing::error!(%error, "a part of the coordinator did not end in order");
            }
        }
        if push::is_on()
            && let Ok(last) = self.coordinator.metrics().await
        {
            push::hand_over(last);
        }
        reader.close().await;
    }
}
