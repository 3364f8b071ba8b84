//! The queues of the work that one gate decides about: shut by what it says, and opened again.

use super::debounce::Debounce;
use super::{Became, Shut, lock};
use crate::gpu::ledger::BootTime;
use crate::worker::Worker;

/// The queues of some offers.
#[derive(Debug)]
pub(super) struct Queues {
    /// The places of the offers.
    places: Vec<usize>,
    /// For each of them.
    queues: Vec<Debounce>,
}

impl Queues {
    pub(super) fn new(worker: &Worker, places: Vec<usize>) -> Self {
        Self {
            queues: vec![Debounce::at(worker.config.pace); places.len()],
            places,
        }
    }

    pub(super) fn places(&self) -> &[usize] {
        &self.places
    }

    /// What became of deliveries since the last look; whether others were asked to leave for one of them in vain.
    pub(super) fn note_what_became(&mut self, worker: &Worker) -> bool {
        let now = BootTime::now();
        let mut in_vain = false;
        lock(&worker.admission.became).retain(|(place, became)| {
            let Some(queue) = self.places.iter().position(|it| it == place) else {
                return true;
            };
            match became {
                Became::Admitted => self.queues[queue].admitted(),
                Became::HandedBack(why) => {
                    self.queues[queue].handed_back(Shut::for_now(why.clone()), now);
                }
                Became::NoRoom => in_vain = true,
            }
            false
        });
        in_vain
    }

    /// Opens and shuts them by what is said of each.
    pub(super) fn open_and_shut(
        &mut self,
        worker: &Worker,
        said: impl Iterator<Item = Option<Shut>>,
    ) {
        let now = BootTime::now();
        let queues = self.queues.iter_mut().zip(said);
        let shut: Vec<_> = queues.map(|(queue, said)| queue.said(said, now)).collect();
        self.put(worker, shut);
    }

    /// Shuts all of them.
    pub(super) fn shut_all(&self, worker: &Worker, why: &str) {
        self.put(worker, vec![Some(Shut::for_now(why)); self.places.len()]);
    }

    /// Whether one of them may be opened or shut soon.
    pub(super) fn is_undecided(&self) -> bool {
        self.queues.iter().any(Debounce::is_undecided)
    }

    fn put(&self, worker: &Worker, shut: Vec<Option<Shut>>) {
        worker.set(|now| {
            for (place, shut) in self.places.iter().zip(shut) {
                now.gate[*place] = shut;
            }
        });
    }
}
