//! The one writer: takes what happens, many at a time, decides, stores it in one transaction, and lets follow what must.
//!
//! Load the job, decide, store the state together with what must be sent, commit, then act. A delivery is acked, a request is
//! answered and a message is published only after the commit that it rests on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use shared::artifacts::ArtifactStore;
use shared::broker::{Delivery, PublishError};
use shared::failure::Failure;
use shared::film::FilmRequest;
use shared::ids::{BootId, FilmId, JobId, ProfileName, StoreId, WorkerId};
use shared::job::JobKind;
use shared::protocol::ToCoordinator;
use shared::time::Timestamp;
use shared::trace::{self, Arrival, TraceContext};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::coordinator::{AskError, Numbered, SubmissionKey, Submitted};
use crate::core::decide::{Effect, Policy};
use crate::effects;
use crate::live::Live;
use crate::metrics::{EndedAttempt, Metrics};
use crate::outbox::{Outgoing, Purpose};
use crate::settings::CoordinatorSettings;
use crate::store::{Dispatch, Reader, Rows, StoreError, Writer};

mod after;
mod asks;
mod clock;
mod due;
mod jobs;
mod quiet;
mod reports;
mod settle;
mod traces;
mod trouble;

use after::{After, Known, Mark};
use clock::Clock;
pub(crate) use settle::{Settling, run as settle};
use trouble::{Pauses, subject};

/// Most inputs in one transaction.
const BATCH: usize = 256;

/// Something that the engine must take note of.
pub(crate) enum Input {
    /// A worker's message, when and as part of which trace it came, what the check of its product's file found, and its delivery.
    Report {
        store: Option<StoreId>,
        message: ToCoordinator,
        arrival: Box<Arrival>,
        verdict: Result<(), Failure>,
        delivery: Option<Delivery>,
    },
    /// A film that came over AMQP.
    Submission {
        request: Box<FilmRequest>,
        delivery: Delivery,
    },
    /// Somebody asks for something.
    Ask(Ask),
    /// An attempt was published then, or could not be.
    Dispatched {
        dispatch: Dispatch,
        out: Result<Timestamp, PublishError>,
    },
    /// A probe did not get out.
    ProbeLost(u64),
    /// Look what is due.
    Tick,
    /// Publish queued attempts again that have waited for long.
    Sweep,
    /// Tell all workers what waits.
    Hint,
}

impl Input {
    /// Whether it looks in the store for attempts that must be published.
    const fn looks_for_due(&self) -> bool {
        matches!(self, Self::Tick | Self::Sweep)
    }
}

/// What can be asked for, and where the answer goes. No answer means that the store failed.
pub(crate) enum Ask {
    Submit {
        request: Box<FilmRequest>,
        key: Option<SubmissionKey>,
        arrival: Arrival,
        reply: Reply<Submitted>,
    },
    CancelFilm {
        film: FilmId,
        reply: Reply<()>,
    },
    RetryFilm {
        film: FilmId,
        reply: Reply<()>,
    },
    RetryJob {
        job: JobId,
        reply: Reply<()>,
    },
    DeleteFilm {
        film: FilmId,
        reply: Reply<()>,
    },
    PauseWorker {
        worker: WorkerId,
        paused: bool,
        reply: Reply<()>,
    },
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, AskError>>;

/// What the engine shares with the rest of the coordinator.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<CoordinatorSettings>,
    pub(crate) reader: Reader,
    pub(crate) artifacts: ArtifactStore,
    pub(crate) live: Arc<Mutex<Live>>,
    pub(crate) events: broadcast::Sender<Numbered>,
    /// This life of the coordinator.
    pub(crate) boot: BootId,
    /// Whether a probe of ours has come back since the connection was made: then it is we who read the reports.
    pub(crate) is_reader: Arc<watch::Sender<bool>>,
    /// Whether submissions over the broker are read.
    pub(crate) is_open: Arc<watch::Sender<bool>>,
    /// Why nothing can be stored at present.
    pub(crate) trouble: Arc<watch::Sender<Option<String>>>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Shared {
    pub(crate) fn live(&self) -> MutexGuard<'_, Live> {
        self.live
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether a profile is one that the settings name or a worker offers. Anybody can make up others.
    pub(crate) fn knows(&self, live: &Live, profile: &ProfileName) -> bool {
        let usual = JobKind::ALL
            .iter()
            .any(|kind| self.settings.profiles.of(*kind) == profile);
        usual
            || live.fleet.members().any(|member| {
                let mut offers = member.state.profiles.iter();
                offers.any(|offer| offer.name == *profile)
            })
    }
}

/// The engine's own state.
pub(crate) struct Engine {
    shared: Shared,
    policy: Policy,
    outbox: mpsc::UnboundedSender<Outgoing>,
    settling: mpsc::UnboundedSender<Settling>,
    /// Jobs whose attempt is on its way out, so that a tick does not send it twice.
    dispatching: HashSet<JobId>,
    /// Attempts that are out, and when: written down with the next tick, unless their job runs by then. With a crash before that
    /// they are published once more, which the grant makes harmless.
    dispatched: HashMap<JobId, (Dispatch, Timestamp)>,
    /// Jobs whose attempt the broker would not take, and when it is tried again.
    refused: Pauses,
    /// Whether no job was queued or running when it was last looked, and nothing has happened since.
    nothing_waits: bool,
    /// Whether the store was found to hold a row that cannot be read: from then on each input is undone by itself if it needs
    /// that row, and the others go on.
    is_careful: bool,
    /// Pause before the store is tried again; it grows until something was stored.
    pause: Duration,
}

impl Engine {
    pub(crate) fn new(
        shared: Shared,
        outbox: mpsc::UnboundedSender<Outgoing>,
        settling: mpsc::UnboundedSender<Settling>,
    ) -> Self {
        let policy = Policy {
            retry: shared.settings.retry.clone(),
        };
        Self {
            shared,
            policy,
            outbox,
            settling,
            dispatching: HashSet::new(),
            dispatched: HashMap::new(),
            refused: Pauses::default(),
            nothing_waits: false,
            is_careful: false,
            pause: trouble::FIRST_PAUSE,
        }
    }

    /// Works until the last call, and then until all that is there is done; then closes the database.
    pub(crate) async fn run(
        mut self,
        mut writer: Writer,
        mut inputs: mpsc::Receiver<Input>,
        last_call: CancellationToken,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut clock = Clock::new(Instant::now(), Timestamp::now());
        loop {
            clock.wait(Instant::now(), Timestamp::now());
            tokio::select! {
                biased;
                () = last_call.cancelled(), if !inputs.is_closed() => {
                    inputs.close();
                    continue;
                }
                taken = inputs.recv_many(&mut batch, BATCH) => if taken == 0 { break },
                () = clock.is_due() => {}
            }
            self.look(&mut clock, &mut writer, &mut batch).await;
            if self.do_quietly(&mut batch) {
                clock.look_soon(Instant::now(), Timestamp::now());
            }
            if batch.is_empty() {
                continue;
            }
            clock.look_soon(Instant::now(), Timestamp::now());
            let mut after = After::default();
            match self.store(&mut writer, &mut batch, &mut after).await {
                Ok(()) => {
                    self.pause = trouble::FIRST_PAUSE;
                    after.carry_out(&mut self);
                }
                Err(error) if error.is_unreadable() && !self.is_careful => {
                    tracing::error!(
                        error = shared::failure::chain(&error),
                        "the store holds something that cannot be read: what needs it is put aside from now on"
                    );
                    self.is_careful = true;
                    self.settle(Settling::Requeue(after.into_deliveries()));
                }
                Err(error) => {
                    self.wait_for_store(&mut writer, &mut inputs, after, error, &last_call)
                        .await;
                }
            }
        }
        if let Err(error) = writer.close().await {
            tracing::error!(
                error = shared::failure::chain(&error),
                "the database was not closed in order"
            );
        }
    }

    async fn store(
        &mut self,
        writer: &mut Writer,
        batch: &mut Vec<Input>,
        after: &mut After,
    ) -> Result<(), StoreError> {
        // No tick may take for due what is out already.
        let marked = match batch.iter().any(Input::looks_for_due) {
            true => std::mem::take(&mut self.dispatched),
            false => HashMap::new(),
        };
        let mut inputs = batch.drain(..);
        let stored = self
            .store_all(writer, marked.values(), &mut inputs, after)
            .await;
        inputs.for_each(|input| after.put_off(input));
        if stored.is_err() {
            self.dispatched.extend(marked);
            self.nothing_waits = false;
        }
        stored
    }

    async fn store_all(
        &mut self,
        writer: &mut Writer,
        marked: impl Iterator<Item = &(Dispatch, Timestamp)> + Send,
        inputs: &mut (impl Iterator<Item = Input> + Send),
        after: &mut After,
    ) -> Result<(), StoreError> {
        let mut transaction = writer.begin().await?;
        let mut rows = Rows(&mut transaction);
        for (dispatch, at) in marked {
            rows.mark_dispatched(dispatch, *at).await?;
        }
        for input in inputs {
            after.cause = None;
            let subject = self.is_careful.then(|| subject(&input));
            let mark = self.mark(&mut rows, after).await?;
            let part_of = part_of(&input);
            let applied = self.apply(&mut rows, input, after);
            let done = applied.instrument(part_of).await;
            self.keep_or_undo(&mut rows, after, mark, done, &subject.unwrap_or_default())
                .await?;
        }
        self.prepare_dispatches(&mut rows, after).await?;
        after.keep_events(&mut rows).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn apply(
        &mut self,
        rows: &mut Rows<'_>,
        input: Input,
        after: &mut After,
    ) -> Result<(), StoreError> {
        self.nothing_waits = false;
        match input {
            Input::Report {
                store,
                message,
                arrival,
                verdict,
                delivery,
            } => {
                // It is acked, or goes back, whatever becomes of it: so it must be noted first.
                after.deliveries.extend(delivery);
                Self::begin_report(&message, *arrival, after);
                self.report(rows, store, message, verdict, after).await
            }
            Input::Submission { request, delivery } => {
                self.submission(rows, *request, delivery, after).await
            }
            Input::Ask(ask) => self.ask(rows, ask, after).await,
            // Done before the transaction began.
            Input::Dispatched { .. } | Input::ProbeLost(_) => Ok(()),
            Input::Tick => self.tick(rows, after).await,
            Input::Sweep => self.sweep(rows).await,
            Input::Hint => self.hint(rows, after).await,
        }
    }

    fn settle(&self, settling: Settling) {
        // Whoever settles ends after the engine.
        let _ = self.settling.send(settling);
    }

    fn carry(&mut self, effect: Effect, cause: Option<TraceContext>) {
        if let Some(mut outgoing) =
            effects::outgoing(effect, self.shared.reader.id(), self.shared.settings.lease)
        {
            outgoing.message = trace::mark(outgoing.message, cause);
            self.send(outgoing);
        }
    }

    fn send(&mut self, outgoing: Outgoing) {
        if let Purpose::Dispatch(dispatch) = outgoing.purpose {
            self.dispatching.insert(dispatch.job);
        }
        // The outbox ends after the engine.
        let _ = self.outbox.send(outgoing);
    }

    fn count(&self, ended: &[EndedAttempt]) {
        if ended.is_empty() {
            return;
        }
        let live = self.shared.live();
        for attempt in ended {
            let is_known = |profile: &ProfileName| self.shared.knows(&live, profile);
            self.shared.metrics.attempt(attempt, is_known);
        }
    }

    fn learn(&mut self, known: Vec<Known>, now: Timestamp) {
        let mut live = self.shared.live();
        for fact in known {
            match fact {
                Known::Current {
                    job,
                    run: Some(run),
                } => {
                    if live.leases.get(job).is_none_or(|lease| lease.run != run) {
                        live.leases.begin(run, now);
                        live.progress.remove(&job);
                        live.previews.forget(job);
                    }
                }
                Known::Current { job, run: None } => {
                    live.leases.end(job);
                    live.progress.remove(&job);
                    live.previews.forget(job);
                }
                Known::Progress { job, progress } => drop(live.progress.insert(job, progress)),
                Known::Worker(state) => live.fleet.heard(*state, now),
                Known::Paused {
                    worker,
                    paused: true,
                } => drop(live.paused.insert(worker)),
                Known::Paused {
                    worker,
                    paused: false,
                } => drop(live.paused.remove(&worker)),
            }
        }
    }
}

/// What is logged about an input says which trace it is part of, if it is part of one.
fn part_of(input: &Input) -> tracing::Span {
    let parent = match input {
        Input::Report { arrival, .. } => arrival.parent,
        Input::Ask(Ask::Submit { arrival, .. }) => arrival.parent,
        Input::Submission { .. }
        | Input::Ask(_)
        | Input::Dispatched { .. }
        | Input::ProbeLost(_)
        | Input::Tick
        | Input::Sweep
        | Input::Hint => return tracing::Span::none(),
    };
    match parent {
        Some(parent) => {
            tracing::info_span!("part", { shared::fields::TRACE_ID } = %parent.trace_id())
        }
        None => tracing::Span::none(),
    }
}
