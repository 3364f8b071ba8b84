//! What the parts of one running worker share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use shared::artifacts::ArtifactStore;
use shared::broker::{Delivery, Message, Queue, SharedBroker, park};
use shared::fields;
use shared::ids::{ProfileName, StoreId};
use shared::job::JobKind;
use shared::protocol::{Envelope, ToCoordinator, WorkerRef};
use shared::time::Timestamp;
use shared::trace::{self, TraceContext};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::admission::{Admission, Shut};
use crate::attempt::{Granted, perform};
use crate::backend::Backend;
use crate::gpu::footprint::Usual;
use crate::gpu::ledger::BootTime;
use crate::gpu::probe::host::HostSource;
use crate::heartbeat;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::offers::Offer;
use crate::report::Reporter;
use crate::runs::Runs;
use crate::settings::WorkerConfig;
use crate::slots::{Slot, Slots};
use crate::tap::{Card, Hints, Times};

/// One running worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) me: WorkerRef,
    pub(crate) config: WorkerConfig,
    pub(crate) broker: SharedBroker,
    pub(crate) artifacts: ArtifactStore,
    pub(crate) backends: Vec<Arc<dyn Backend>>,
    pub(crate) offers: Vec<Offer>,
    pub(crate) journal: Journal,
    pub(crate) reporter: Reporter,
    pub(crate) metrics: Metrics,
    pub(crate) slots: Slots,
    pub(crate) runs: Arc<Runs>,
    pub(crate) conditions: watch::Sender<Conditions>,
    /// Where readings of the host come from.
    pub(crate) host: Arc<dyn HostSource>,
    /// What the coordinator said last of what waits.
    pub(crate) hints: watch::Sender<Option<Hints>>,
    /// The card that the work here needs, and the gate before it.
    pub(crate) admission: Admission,
    /// What is known of the card that the work here needs.
    pub(crate) card: Mutex<Card>,
    /// There is something new on it.
    pub(crate) card_changed: Notify,
    /// One for each backend: it failed, look again whether it is ready.
    pub(crate) recheck: Vec<Notify>,
    /// Granted runs, until their report is written down.
    pub(crate) attempts: TaskTracker,
    /// Fires when the worker has ended, however it ended.
    pub(crate) ended: CancellationToken,
    /// The store that was heard of last.
    pub(crate) store: Mutex<Option<StoreId>>,
    /// Why each offer was not taken last, and when; one entry for each offer. Kept for those who look at traces.
    pub(crate) shut_last: Mutex<Vec<Option<(Timestamp, String)>>>,
}

/// What decides whether new work is taken, beside free slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conditions {
    /// Someone wants the machine back.
    pub(crate) paused: bool,
    /// The worker is going away.
    pub(crate) draining: bool,
    /// Answers can be heard. Without them nothing may be asked.
    pub(crate) inbox_open: bool,
    /// Why a backend is not ready; one entry for each backend.
    pub(crate) not_ready: Vec<Option<String>>,
    /// Why the queue of an offer cannot be read; one entry for each offer.
    pub(crate) blocked: Vec<Option<String>>,
    /// Why work for the card is not taken; one entry for each offer.
    pub(crate) gate: Vec<Option<Shut>>,
    /// Why the queue of an offer is not worth opening now; one entry for each offer.
    pub(crate) standing: Vec<Option<String>>,
    /// Whether a job of an offer has waited long enough for what is loaded; one entry for each offer.
    pub(crate) due: Vec<bool>,
}

impl Worker {
    /// The place of the offer for that work.
    pub(crate) fn place_of(&self, kind: JobKind, profile: &ProfileName) -> Option<usize> {
        self.offers
            .iter()
            .position(|offer| offer.profile.kind == kind && offer.profile.name == *profile)
    }

    /// The offer for that work.
    pub(crate) fn offer(&self, kind: JobKind, profile: &ProfileName) -> Option<&Offer> {
        self.place_of(kind, profile)
            .map(|place| &self.offers[place])
    }

    /// Whether the queue of that offer may be read, as long as there are free slots.
    pub(crate) fn admits(&self, place: usize) -> bool {
        let now = self.conditions.borrow();
        let offer = &self.offers[place];
        now.inbox_open
            && !now.paused
            && !now.draining
            && now.gate[place]
                .as_ref()
                .is_none_or(|shut| shut.until_a_run_ends && now.due[place])
            && now.not_ready[offer.backend].is_none()
            && now.blocked[place].is_none()
    }

    /// Whether a job of that offer would be taken now, if there is a free slot.
    pub(crate) fn would_take(&self, place: usize) -> bool {
        self.admits(place) && self.conditions.borrow().standing[place].is_none()
    }

    /// What kept a job of that offer from being taken since then, as it was told last.
    pub(crate) fn shut_since(&self, place: usize, since: Timestamp) -> Option<String> {
        let shut = self.shut_last().get(place).cloned().flatten();
        shut.filter(|(at, _)| *at >= since).map(|(_, why)| why)
    }

    /// What this program is called.
    pub(crate) fn program(&self) -> &str {
        &self.config.program
    }

    /// Takes nothing more for that backend before it says that it is ready.
    pub(crate) fn doubt(&self, backend: usize) {
        let why = "is being looked at again after a failure".to_owned();
        self.set(|conditions| conditions.not_ready[backend] = Some(why));
        self.recheck[backend].notify_one();
    }

    /// Changes a condition; wakes others only if it is another one than before.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Conditions)) {
        let is_changed = self.conditions.send_if_modified(|conditions| {
            let before = conditions.clone();
            change(conditions);
            // What keeps a job waiting is told until it passes.
            self.note_shut(&before);
            *conditions != before
        });
        if is_changed {
            let now = self.conditions.borrow().clone();
            self.note_shut(&now);
        }
    }

    fn note_shut(&self, conditions: &Conditions) {
        if !trace::is_on() {
            return;
        }
        let now = Timestamp::now();
        for (place, last) in self.shut_last().iter_mut().enumerate() {
            if let Some((_, why)) = heartbeat::why_not(self, conditions, place) {
                *last = Some((now, why));
            }
        }
    }

    fn shut_last(&self) -> MutexGuard<'_, Vec<Option<(Timestamp, String)>>> {
        self.shut_last
            .lock()
            .expect("nothing panics while it holds this lock")
    }

    /// Begins a granted run. At its end the slot is free again, or the caller's if that still waits for it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        granted: Box<Granted>,
        slot: Slot,
    ) -> JoinHandle<Option<Slot>> {
        let (ended, worker) = (self.ended.clone(), Arc::clone(self));
        let span = granted.run.span(&self.me.worker);
        let performed = async move {
            ended
                .run_until_cancelled(perform(&worker, *granted, slot))
                .await
        };
        self.attempts.spawn(performed.instrument(span))
    }

    /// Waits until the worker is going away.
    pub(crate) async fn draining(&self) {
        let mut conditions = self.conditions.subscribe();
        // The sender lives as long as this does.
        let _ = conditions.wait_for(|now| now.draining).await;
    }

    /// Whether the coordinator has been heard lately: it tells all workers every few seconds what waits.
    pub(crate) fn hears_the_coordinator(&self) -> bool {
        let hints = self.hints.borrow();
        hints
            .as_ref()
            .is_some_and(|hints| hints.are_fresh(BootTime::now()))
    }

    /// Says something that may be lost.
    pub(crate) async fn mention(
        &self,
        store: Option<StoreId>,
        part_of: Option<TraceContext>,
        message: ToCoordinator,
    ) {
        let envelope = Envelope::new(store, message);
        let message = Message::transient(envelope.message_id, envelope.to_json());
        let message = trace::mark(message, part_of);
        if let Err(error) = self.broker.publish(&Queue::Reports.into(), message).await {
            tracing::debug!({ fields::ERROR } = %error, "a word to the coordinator was lost");
        }
    }

    /// Puts a message that cannot be read where a person finds it.
    pub(crate) async fn park(&self, delivery: Delivery, reason: &str) {
        park(&self.broker, Queue::Parked, delivery, reason).await;
    }

    pub(crate) fn card(&self) -> MutexGuard<'_, Card> {
        self.card
            .lock()
            .expect("nothing panics while it holds this lock")
    }

    /// The choice of queues reckons with how long that work takes, where that is known.
    pub(crate) fn takes(&self, profile: &ProfileName, usual: Option<Usual>) {
        if let Some(Usual {
            run,
            load: Some(load),
        }) = usual
        {
            self.card().takes(profile, Times { load, run });
        }
    }

    pub(crate) fn scratch_root(&self) -> PathBuf {
        scratch_root(&self.config)
    }

    pub(crate) fn store(&self) -> Option<StoreId> {
        *self
            .store
            .lock()
            .expect("nothing panics while it holds this lock")
    }

    pub(crate) fn heard_of(&self, store: Option<StoreId>) {
        if store.is_some() {
            *self
                .store
                .lock()
                .expect("nothing panics while it holds this lock") = store;
        }
    }
}

/// Where the scratch folders of runs are.
pub(crate) fn scratch_root(config: &WorkerConfig) -> PathBuf {
    config.data_dir.join("scratch")
}
