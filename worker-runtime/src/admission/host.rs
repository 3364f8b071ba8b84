//! Work without a card that takes much of its host: a model in host memory, or one that computes on the processors.
//!
//! It has a gate of its own, whose ledger those of the cards see: what it was promised of host memory is not promised again to
//! a render, and a render that runs leaves it fewer processors. Nobody is put out for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::failure::chain;
use shared::profile::Profile;
use tokio::time::sleep;

use super::Shut;
use super::card::{aging, backend_id, policy, settling};
use super::enter::{class_of, shut_by};
use super::queues::Queues;
use super::sight::as_used;
use crate::backend::Backend;
use crate::gpu::admit::{Evictions, Need};
use crate::gpu::gate::{Gate, Prospect, Seen, Sight, Survey};
use crate::gpu::ledger::{BackendId, Ledger, Owner, default_place};
use crate::gpu::probe::host::HostSource;
use crate::worker::Worker;

/// Who needs less host memory than this, and no processors, is not asked about: the margin that is never promised covers it.
const SMALL: ByteSize = ByteSize::gib(1);
/// Pause between two looks while nothing changes.
const LOOK_EACH: Duration = Duration::from_secs(1);
/// The same while a queue is about to be opened or shut.
const LOOK_SOON: Duration = Duration::from_millis(200);
/// Pause before the books are opened again when they could not be.
const OPEN_EACH: Duration = Duration::from_secs(60);

/// Whether such work is asked about here.
pub(super) fn concerns(profile: &Profile) -> bool {
    let needs = &profile.needs;
    needs.device.is_none() && (needs.threads > 0 || needs.ram >= SMALL)
}

/// What the gate of work without a card sees.
#[derive(Debug)]
struct HostSight {
    host: Arc<dyn HostSource>,
    backends: Vec<(BackendId, Arc<dyn Backend>)>,
}

impl Sight for HostSight {
    fn look(&self) -> Seen {
        Seen {
            device: None,
            host: self.host.read(),
            backends: self.backends.iter().map(as_used).collect(),
            ram_held: BTreeMap::new(),
        }
    }
}

/// Looks for as long as the worker lives, if any of its work is concerned.
pub(super) async fn watch(worker: Arc<Worker>) {
    let places: Vec<usize> = (0..worker.offers.len())
        .filter(|place| concerns(&worker.offers[*place].profile))
        .collect();
    if places.is_empty() {
        return;
    }
    let mut queues = Queues::new(&worker, places);
    let gate = loop {
        match open(&worker, queues.places()) {
            Ok(gate) => break gate,
            Err(why) => queues.shut_all(&worker, &why),
        }
        sleep(OPEN_EACH).await;
    };
    worker.admission.host.send_replace(Some(Arc::clone(&gate)));
    let prospects: Vec<_> = queues
        .places()
        .iter()
        .map(|place| prospect(&worker, *place))
        .collect();
    loop {
        queues.note_what_became(&worker);
        match survey(&gate, &prospects).await {
            Ok(survey) => queues.open_and_shut(&worker, survey.verdicts.iter().map(shut_by)),
            Err(why) => queues.shut_all(&worker, &why),
        }
        let pause = match queues.is_undecided() {
            true => LOOK_SOON,
            false => LOOK_EACH,
        };
        tokio::select! {
            () = sleep(worker.config.pace.of(pause)) => {}
            () = worker.admission.look_at_host.notified() => {}
        }
    }
}

fn open(worker: &Worker, places: &[usize]) -> Result<Arc<Gate>, String> {
    let root = worker.config.gpu.ledger.clone();
    let owner = Owner {
        worker: worker.me.worker.clone(),
        boot: worker.me.boot,
    };
    let ledger = Ledger::open(&root.unwrap_or_else(|| default_place(None)), None, owner);
    let ledger = ledger.map_err(|error| format!("{}; see gpu.ledger", chain(&error)))?;
    let backends = places.iter().map(|place| {
        let backend = &worker.backends[worker.offers[*place].backend];
        let id = backend_id(backend.as_ref(), &worker.me.worker);
        (id, Arc::clone(backend))
    });
    let sight = HostSight {
        host: Arc::clone(&worker.host),
        backends: backends.collect::<BTreeMap<_, _>>().into_iter().collect(),
    };
    let pace = worker.config.pace;
    Ok(Gate::new(
        ledger.settling(settling(pace)),
        policy(pace),
        aging(pace),
        Arc::new(sight),
    ))
}

fn prospect(worker: &Worker, place: usize) -> Prospect {
    let offer = &worker.offers[place];
    Prospect {
        profile: offer.profile.name.clone(),
        backend: backend_id(worker.backends[offer.backend].as_ref(), &worker.me.worker),
        class: class_of(offer.profile.kind),
        need: Need::declared(&offer.profile.needs),
        evictions: Evictions::default(),
    }
}

async fn survey(gate: &Arc<Gate>, prospects: &[Prospect]) -> Result<Survey, String> {
    let (gate, prospects) = (Arc::clone(gate), prospects.to_vec());
    let look = move || gate.survey(&[], &prospects, false);
    match tokio::task::spawn_blocking(look).await {
        Ok(Ok(survey)) => Ok(survey),
        Ok(Err(error)) => Err(chain(&error)),
        Err(error) => Err(error.to_string()),
    }
}

/// How such work stands before the host was looked at.
pub(super) fn at_first(profile: &Profile) -> Option<Shut> {
    concerns(profile).then(|| Shut::for_now("the host is being looked at"))
}
