//! All that was learned on one host. Pure: it is kept in a file elsewhere.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;
use shared::ids::ProfileName;
use shared::profile::{DeviceMemory, ResourceRequest};
use shared::time::Timestamp;

use super::key::{DeviceModel, Key};
use super::learned::{Drift, Learned, Told, with_peak};
use super::sample::Sample;
use crate::gpu::admit::{Growth, Need, Policy};

/// Keys that are kept. Those that were seen longest ago go first.
const KEYS: usize = 500;
/// The form of the file that this program reads and writes.
pub(super) const VERSION: u32 = 1;

/// All that was learned on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Book {
    version: u32,
    jobs: Vec<OfKey>,
    cards: Vec<OfCard>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OfKey {
    key: Key,
    learned: Learned,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OfCard {
    device: DeviceModel,
    drift: Drift,
}

/// How long the work of a profile usually takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// One run, with the model loaded.
    pub run: Duration,
    /// Loading the model, where that was measured.
    pub load: Option<Duration>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            version: VERSION,
            jobs: Vec::new(),
            cards: Vec::new(),
        }
    }
}

impl Book {
    /// What to reckon with for a job: what was declared, as far as nothing was learned.
    pub(super) fn need(&self, declared: &ResourceRequest, key: &Key, now: Timestamp) -> Need {
        match Need::declared(declared) {
            Need::Device { memory, ram, .. } => {
                let total = key.device.total;
                let (memory, growth) = match self.of(key) {
                    Some(learned) => (
                        learned.memory(memory, total, now),
                        learned.growth(memory, total, now),
                    ),
                    None => (self.seeded(memory, key), Growth::default()),
                };
                Need::Device {
                    memory,
                    ram,
                    growth,
                }
            }
            need @ (Need::Unknown | Need::Host { .. }) => need,
        }
    }

    /// A job has ended.
    pub(super) fn learn(&mut self, key: &Key, sample: &Sample, at: Timestamp) -> Told {
        let drift = self.drift(&key.device);
        let card = self.cards.iter_mut().find(|card| card.device == key.device);
        match card {
            Some(card) => card.drift.learn(sample.foreign_rise),
            None => {
                let mut first = Drift::default();
                first.learn(sample.foreign_rise);
                self.cards.push(OfCard {
                    device: key.device.clone(),
                    drift: first,
                });
            }
        }
        let place = match self.jobs.iter().position(|job| job.key == *key) {
            Some(place) => place,
            None => {
                self.jobs.push(OfKey {
                    key: key.clone(),
                    learned: Learned::default(),
                });
                self.jobs.len() - 1
            }
        };
        let learned = &mut self.jobs[place].learned;
        learned.seen_at = Some(at);
        let told = learned.learn(sample, key.device.total, drift);
        if self.jobs.len() > KEYS {
            self.jobs
                .sort_by_key(|job| std::cmp::Reverse(job.learned.seen_at));
            self.jobs.truncate(KEYS);
        }
        told
    }

    /// How far the memory of others may rise during one job on such a card.
    pub(super) fn drift(&self, device: &DeviceModel) -> ByteSize {
        let at_first = Policy::default().drift;
        self.cards
            .iter()
            .find(|card| card.device == *device)
            .map_or(at_first, |card| card.drift.expected(at_first))
    }

    /// How long the work of that profile takes on such a card: as it was with what was made last.
    pub(super) fn usual(&self, profile: &ProfileName, device: &DeviceModel) -> Option<Usual> {
        self.jobs
            .iter()
            .filter(|job| job.key.profile == *profile && job.key.device == *device)
            .max_by_key(|job| job.learned.seen_at)
            .and_then(|job| {
                let (run, load) = job.learned.times();
                Some(Usual { run: run?, load })
            })
    }

    fn of(&self, key: &Key) -> Option<&Learned> {
        self.jobs
            .iter()
            .find(|job| job.key == *key)
            .map(|job| &job.learned)
    }

    /// What was declared, or more, if the card that is nearest in size has shown it.
    fn seeded(&self, declared: DeviceMemory, key: &Key) -> DeviceMemory {
        let there = key.device.total;
        let distance = |here: ByteSize| here.as_bytes().abs_diff(there.as_bytes());
        let nearest = self
            .jobs
            .iter()
            .filter(|job| job.key.is_elsewhere(key))
            .min_by_key(|job| distance(job.key.device.total));
        let seed = nearest.and_then(|job| job.learned.seed(job.key.device.total, there));
        match seed {
            Some(peak) => with_peak(declared, declared.peak.max(peak)),
            None => declared,
        }
    }
}
