//! Work for a card: whether its queue is open, whether a job of it may begin, and what becomes of what it was promised.
//!
//! A worker whose backends need a card finds it (`card`), looks at it and at its host's books each second (`watch`), and
//! shuts the queues of what would not be admitted. A delivery of such work asks the gate before it asks the coordinator
//! (`enter`), has others leave if it must (`evict`), and what it was promised is its `room`. What is known of the card is
//! `told`. Work without a card that takes much of its host has a gate of its own (`host`); all other work has none of this.

mod card;
mod debounce;
mod enter;
mod evict;
mod host;
mod orphans;
mod queues;
mod room;
mod sight;
mod told;
mod watch;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use shared::profile::Profile;
use shared::protocol::{Device, Resident};
use tokio::sync::{Notify, watch as channel};

pub(crate) use self::card::Card;
pub(crate) use self::enter::{Entered, enter};
use self::room::Watched;
pub(crate) use self::room::{How, Left, Room, Shown};
use crate::gpu::admit::Need;
use crate::gpu::gate::{Gate, Survey};
use crate::gpu::ledger::BackendId;
use crate::offers::Offer;
use crate::worker::Worker;

/// What one worker knows of the card that its work needs.
#[derive(Debug)]
pub(crate) struct Admission {
    card: channel::Sender<Option<Arc<Card>>>,
    /// The gate of work without a card.
    host: channel::Sender<Option<Arc<Gate>>>,
    /// How things stood at the last look.
    last: Mutex<Option<Arc<Survey>>>,
    /// Something has changed that is worth a look now.
    look: Notify,
    look_at_host: Notify,
    /// Jobs that are to be told what is seen of them.
    watched: Mutex<Vec<Weak<Mutex<Watched>>>>,
    /// What the last job of an offer needed, by the place of the offer: the next one will need about the same.
    needs: Mutex<BTreeMap<usize, Need>>,
    /// What became of deliveries since the last look, with the places of their offers.
    became: Mutex<Vec<(usize, Became)>>,
}

/// Why work on the card is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shut {
    /// No time will change it.
    pub(crate) never: bool,
    /// Only jobs of ours that run now are in the way: who takes a job all the same waits for the end of a run.
    pub(crate) until_a_run_ends: bool,
    /// The reason, with the numbers, for a person.
    pub(crate) reason: String,
}

/// What became of a delivery at the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Became {
    Admitted,
    /// Its queue rests for a while.
    HandedBack(String),
    /// Others were asked to leave for it, and gave too little back.
    NoRoom,
}

impl Shut {
    fn for_now(reason: impl Into<String>) -> Self {
        Self {
            never: false,
            until_a_run_ends: false,
            reason: reason.into(),
        }
    }
}

impl Admission {
    pub(crate) fn new() -> Self {
        Self {
            card: channel::Sender::new(None),
            host: channel::Sender::new(None),
            last: Mutex::default(),
            look: Notify::new(),
            look_at_host: Notify::new(),
            watched: Mutex::default(),
            needs: Mutex::default(),
            became: Mutex::default(),
        }
    }

    /// The card, once it was found.
    pub(crate) fn card(&self) -> Option<Arc<Card>> {
        self.card.borrow().clone()
    }

    /// How things stood at the last look.
    fn last(&self) -> Option<Arc<Survey>> {
        lock(&self.last).clone()
    }

    /// The card as the coordinator is told of it, and the models of this worker that are on it.
    pub(crate) fn told(&self) -> (Vec<Device>, Vec<Resident>) {
        match (self.card(), self.last()) {
            (Some(card), Some(survey)) => {
                let ours = |id: &BackendId| card.sight.backends().iter().any(|(own, _)| own == id);
                (
                    vec![told::device(&card.device, &survey)],
                    told::residents(&card.device, &survey, ours),
                )
            }
            _ => (Vec::new(), Vec::new()),
        }
    }

    /// Something has changed.
    pub(crate) fn look_now(&self) {
        self.look.notify_one();
        self.look_at_host.notify_one();
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().expect("nothing panics while it holds this lock")
}

/// Looks at the card and at the host for as long as the worker lives.
pub(crate) async fn watch(worker: Arc<Worker>) {
    tokio::join!(watch::watch(Arc::clone(&worker)), host::watch(worker));
    // Where there is nothing to look at.
    pending::<()>().await;
}

/// Whether such work begins only with a room.
pub(crate) fn needs_room(profile: &Profile) -> bool {
    profile.needs.device.is_some() || host::concerns(profile)
}

/// The state of offers that a gate decides about, before anything is known.
pub(crate) fn at_first(offers: &[Offer]) -> Vec<Option<Shut>> {
    let at_first = |offer: &Offer| match offer.profile.needs.device {
        Some(_) => Some(Shut::for_now("the card is being looked at")),
        None => host::at_first(&offer.profile),
    };
    offers.iter().map(at_first).collect()
}
