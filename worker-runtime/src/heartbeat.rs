//! What this worker is and does, said at each change and at intervals.

use std::sync::Arc;
use std::time::Duration;

use shared::protocol::{Resident, ToCoordinator, Waiting, WorkerState};
use tokio::time::sleep;

use crate::host;
use crate::worker::{Conditions, Worker};

/// Changes within this time are told together.
const GAP: Duration = Duration::from_millis(250);

/// Tells it for as long as the worker lives.
pub(crate) async fn tell(worker: Arc<Worker>) {
    let host = host::name();
    let mut conditions = worker.conditions.subscribe();
    let mut runs = worker.runs.changes();
    loop {
        conditions.mark_unchanged();
        runs.mark_unchanged();
        say(&worker, &host).await;
        sleep(GAP).await;
        tokio::select! {
            () = sleep(worker.config.state_interval.saturating_sub(GAP)) => {}
            _ = conditions.changed() => {}
            _ = runs.changed() => {}
        }
    }
}

/// Says it once.
pub(crate) async fn say(worker: &Worker, host: &str) {
    let state = state(worker, host);
    worker
        .mention(
            worker.store(),
            None,
            ToCoordinator::WorkerState(Box::new(state)),
        )
        .await;
}

fn state(worker: &Worker, host: &str) -> WorkerState {
    let conditions = worker.conditions.borrow().clone();
    let (devices, on_card) = worker.admission.told();
    let mut residents: Vec<Resident> = worker
        .backends
        .iter()
        .flat_map(|backend| backend.residents())
        .collect();
    for resident in on_card {
        // A backend that tells of its models knows better than the books.
        if residents.iter().all(|it| it.profile != resident.profile) {
            residents.push(resident);
        }
    }
    WorkerState {
        worker: worker.me.clone(),
        host: host.to_owned(),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        slots: worker.config.slots,
        profiles: worker
            .offers
            .iter()
            .map(|offer| offer.profile.clone())
            .collect(),
        waiting: waiting(worker, &conditions),
        running: worker.runs.granted(),
        devices,
        residents,
        paused: conditions.paused,
        draining: conditions.draining,
    }
}

/// Which profiles are not taken, and why.
fn waiting(worker: &Worker, conditions: &Conditions) -> Vec<Waiting> {
    let why = |(place, offer): (usize, &crate::offers::Offer)| {
        let (never, reason) = why_not(worker, conditions, place)?;
        Some(Waiting {
            kind: offer.profile.kind,
            profile: offer.profile.name.clone(),
            never,
            reason,
        })
    };
    worker.offers.iter().enumerate().filter_map(why).collect()
}

/// Why jobs of that offer are not taken, if they are not, and whether no time will change it.
pub(crate) fn why_not(
    worker: &Worker,
    conditions: &Conditions,
    place: usize,
) -> Option<(bool, String)> {
    let offer = &worker.offers[place];
    let shut = conditions.gate[place].as_ref();
    let never = shut.is_some_and(|shut| shut.never);
    let for_now = || {
        let backend = conditions.not_ready[offer.backend].as_ref();
        let backend = backend.map(|reason| format!("{}: {reason}", offer.profile.backend));
        let queue = || conditions.blocked[place].clone();
        let card = || conditions.standing[place].clone();
        let gate = || shut.map(|shut| shut.reason.clone());
        backend.or_else(queue).or_else(gate).or_else(card)
    };
    let refusal = shut.filter(|shut| shut.never);
    let reason = refusal.map(|shut| shut.reason.clone()).or_else(for_now)?;
    Some((never, reason))
}
