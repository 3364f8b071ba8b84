//! What a race is made of: which jobs come, and when who is killed. All of it follows from the seed.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;
use shared::ids::JobId;

use crate::chance::Chance;

/// The card.
pub const CARD_GIB: u64 = 24;
/// The largest job, which needs nearly the whole card to itself.
pub const LARGEST: ByteSize = ByteSize::gib(21);
/// What a backend's process holds with nothing loaded.
pub const CONTEXT: ByteSize = ByteSize::mib(64);

/// Workers that are never killed. Otherwise no wait could be seen that is longer than a worker's life.
const SPARED: u32 = 2;

/// One race.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How many workers take part, each with a backend.
    pub workers: u32,
    /// How long.
    pub time: Duration,
    /// What everything is drawn from.
    pub seed: u64,
    /// How long after the one before a worker is killed, on average.
    pub kill_every: Duration,
}

/// How a worker decides whether a job may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// As the product does.
    Gate,
    /// When as much is free as the job needs.
    Naive,
}

/// One job of one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Which.
    pub id: JobId,
    /// What its model holds once it is loaded.
    pub load: ByteSize,
    /// The most that it holds.
    pub peak: ByteSize,
    /// How long it runs, once its model is loaded.
    pub takes: Duration,
    /// Whether its model stays loaded. Where nothing ever left by itself, a race would mostly show how fast models are put out.
    pub stays: bool,
}

impl Plan {
    /// A race of so many workers.
    pub fn new(workers: u32, seconds: u64, seed: u64) -> Self {
        Self {
            workers,
            time: Duration::from_secs(seconds),
            seed,
            kill_every: Duration::from_millis(85),
        }
    }

    /// Whether that worker may be killed.
    pub fn is_spared(&self, worker: u32) -> bool {
        worker < SPARED
    }

    /// How long to wait for the next kill, and what to draw its victim by.
    pub(crate) fn kills(&self) -> impl Iterator<Item = (Duration, u64)> + use<> {
        let mut chance = Chance::new(self.seed, 1);
        let mean = u64::try_from(self.kill_every.as_micros()).unwrap_or(u64::MAX / 2);
        std::iter::from_fn(move || {
            let pause = Duration::from_micros(chance.between(mean / 2, mean + mean / 2));
            Some((pause, chance.next()))
        })
    }
}

/// The job of that number of that worker.
pub fn job(seed: u64, worker: u32, number: u32) -> Planned {
    let place = (u64::from(worker) << 32) | u64::from(number);
    let mut chance = Chance::new(seed, 1 << 63 | place);
    let peak = match chance.between(0, 100) {
        0..45 => 3,
        45..75 => 5,
        75..89 => 8,
        89..95 => 12,
        _ => LARGEST.as_bytes() >> 30,
    };
    Planned {
        id: JobId::from_u128(u128::from(place)),
        load: ByteSize::gib(peak * 2 / 3),
        peak: ByteSize::gib(peak),
        takes: Duration::from_millis(chance.between(40, 120)),
        stays: chance.between(0, 4) == 0,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} workers race for {CARD_GIB} GiB for {} s, jobs of 3 to {} GiB, one killed every {} ms, seed {}",
            self.workers,
            self.time.as_secs(),
            LARGEST.as_bytes() >> 30,
            self.kill_every.as_millis(),
            self.seed,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_race() {
        let jobs = |seed| {
            let jobs = (0..12).flat_map(move |worker| (0..20).map(move |n| job(seed, worker, n)));
            jobs.collect::<Vec<_>>()
        };
        assert_eq!(jobs(7), jobs(7));
        assert_ne!(jobs(7), jobs(8));
        let kills = |seed| {
            Plan::new(12, 20, seed)
                .kills()
                .take(300)
                .collect::<Vec<_>>()
        };
        assert_eq!(kills(7), kills(7));
        assert_ne!(kills(7), kills(8));
    }

    #[test]
    fn some_jobs_are_as_large_as_the_card_and_no_two_are_the_same() {
        let jobs = (0..12).flat_map(|worker| (0..20).map(move |n| job(7, worker, n)));
        let jobs: Vec<Planned> = jobs.collect();
        assert!(jobs.iter().filter(|job| job.peak == LARGEST).count() > 5);
        let ids: std::collections::BTreeSet<JobId> = jobs.iter().map(|job| job.id).collect();
        assert_eq!(ids.len(), jobs.len());
        assert!(jobs.iter().all(|job| job.load < job.peak));
    }
}
