//! What was learned of the jobs of one key, and what to reckon with for the next one. Pure.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;
use shared::profile::DeviceMemory;
use shared::time::Timestamp;

use super::figure::{Figure, quantile};
use super::sample::{End, Sample, Start};
use crate::gpu::admit::Growth;
use crate::gpu::admit::amount::Amount;

/// Runs whose times are kept.
const TIMES: usize = 20;
/// With fewer of them there is no usual time.
const USUAL: usize = 5;
/// A job was squeezed when less than these hundredths of the card stayed free.
const SQUEEZED: u64 = 10;
/// Hundredths of a card that are surely to be had when nobody else is there: what is more might never be admitted.
const HAD: u64 = 90;
/// And on a small card so much less than all of it.
const NOT_HAD: ByteSize = ByteSize::mib(1536);

/// A job that ran out of memory again and again is tried once more after this.
const TRIED_AGAIN_AFTER: Duration = Duration::from_hours(24);

/// What was learned of the jobs of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Learned {
    /// The most that the backend holds.
    peak: Figure,
    /// What stays loaded.
    resident: Figure,
    /// How far free memory falls with nothing loaded, and with the model loaded.
    grows_cold: Figure,
    grows_warm: Figure,
    /// The least that a job had to do with and came to its end: no job of this key needs more.
    squeezed: Option<ByteSize>,
    /// Jobs in a row that ran out of memory by their own fault.
    out_of_memory: u32,
    /// Times in milliseconds, as amounts.
    runs: VecDeque<u64>,
    loads: VecDeque<u64>,
    /// When a job was seen last.
    pub(super) seen_at: Option<Timestamp>,
}

/// What a job told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// It took far longer than such jobs do: its model was probably streamed, or moved to the host's memory. Another card does
    /// better.
    pub slow: bool,
    /// It ran out of memory that others took meanwhile.
    pub others_fault: bool,
}

impl Learned {
    /// A job has ended on a card with so much memory. `drift`: others may rise by so much without being to blame.
    pub(super) fn learn(&mut self, sample: &Sample, total: ByteSize, drift: ByteSize) -> Told {
        match sample.end {
            End::Finished => self.finished(sample, total),
            End::OutOfMemory => self.ran_out(sample, drift),
        }
    }

    fn finished(&mut self, sample: &Sample, total: ByteSize) -> Told {
        self.out_of_memory = 0;
        let slow = self.is_slow(sample);
        if let Some(held) = sample.held() {
            self.peak.learn(held);
            // What is streamed needs less, at a price that nobody wants to pay.
            if sample.lowest_free < total.percent(SQUEEZED) && !slow {
                self.squeezed = Some(self.squeezed.map_or(held, |least| least.min(held)));
            }
        }
        if let Some(resident) = sample.resident {
            self.resident.learn(resident);
        }
        match sample.start {
            Start::Empty => self.grows_cold.learn(sample.fall()),
            Start::Warm => self.grows_warm.learn(sample.fall()),
            Start::Other => {}
        }
        if slow {
            self.peak.raise();
            self.grows_cold.raise();
            self.grows_warm.raise();
        }
        keep(&mut self.runs, sample.run);
        if let Some(load) = sample.load {
            keep(&mut self.loads, load);
        }
        Told {
            slow,
            others_fault: false,
        }
    }

    /// It needed more than it held and what was left: nobody knows by how much.
    fn ran_out(&mut self, sample: &Sample, drift: ByteSize) -> Told {
        if sample.foreign_rise > drift {
            return Told {
                slow: false,
                others_fault: true,
            };
        }
        self.out_of_memory = self.out_of_memory.saturating_add(1);
        self.squeezed = None;
        if let Some(held) = sample.held() {
            self.peak.exceeds(held.plus(sample.lowest_free));
        }
        let had = sample.fall().plus(sample.lowest_free);
        match sample.start {
            Start::Empty => self.grows_cold.exceeds(had),
            Start::Warm => self.grows_warm.exceeds(had),
            Start::Other => {}
        }
        Told::default()
    }

    fn is_slow(&self, sample: &Sample) -> bool {
        let usual = median(&self.runs).filter(|_| self.runs.len() >= USUAL);
        // 2.5 times.
        usual.is_some_and(|usual| sample.clocks_normal && 2 * sample.run > 5 * usual)
    }

    /// Device memory to reckon with, on a card with so much of it.
    pub(super) fn memory(
        &self,
        declared: DeviceMemory,
        total: ByteSize,
        now: Timestamp,
    ) -> DeviceMemory {
        let estimate = self.peak.estimate(declared.peak);
        let peak = self.can_be_had(estimate, declared.peak, total, now);
        let load = self.resident.estimate(declared.load).min(peak);
        DeviceMemory {
            load,
            ..with_peak(declared, peak)
        }
    }

    /// How far free memory falls.
    pub(super) fn growth(&self, declared: DeviceMemory, total: ByteSize, now: Timestamp) -> Growth {
        let cold = self.grows_cold.known().map(|_| {
            let cold = self.grows_cold.estimate(declared.peak);
            self.can_be_had(cold, declared.peak, total, now)
        });
        // The declared growth is a lower bound wherever this is used.
        let warm = self
            .grows_warm
            .known()
            .map(|warm| self.can_be_had(warm, declared.peak, total, now));
        Growth { cold, warm }
    }

    /// A backend takes what is there: what it was seen to hold can be more than it needs. That must not keep a job from a card
    /// on which it fits by what is declared, or by what a squeezed job did with. Not so once it has run out of memory twice in
    /// a row: it does not fit. Not even that holds for ever, since nothing could show that it was wrong.
    fn can_be_had(
        &self,
        estimate: ByteSize,
        declared: ByteSize,
        total: ByteSize,
        now: Timestamp,
    ) -> ByteSize {
        let limit = to_be_had(total);
        let lately = self
            .seen_at
            .is_none_or(|at| now.since(at) < TRIED_AGAIN_AFTER);
        if estimate <= limit || (self.out_of_memory >= 2 && lately) {
            return estimate;
        }
        let needed = self.squeezed.map_or(limit, |least| least.min(limit));
        declared.min(estimate).max(needed)
    }

    /// The peak as a start for another card: a tenth more than here. From a larger card only what a squeezed job did with, since
    /// all else may be greed.
    pub(super) fn seed(&self, here: ByteSize, there: ByteSize) -> Option<ByteSize> {
        let peak = self.peak.known()?;
        let peak = match (self.squeezed, here <= there) {
            (Some(least), _) => least.min(peak),
            (None, true) => peak,
            (None, false) => return None,
        };
        Some(peak.plus(peak.percent(10)).min(to_be_had(there)))
    }

    /// The usual time of a run, and of loading.
    pub(super) fn times(&self) -> (Option<Duration>, Option<Duration>) {
        (median(&self.runs), median(&self.loads))
    }
}

fn to_be_had(total: ByteSize) -> ByteSize {
    total.percent(HAD).min(total.less(NOT_HAD))
}

/// The same with another peak. While two jobs overlap there is as much more as was declared.
pub(super) fn with_peak(declared: DeviceMemory, peak: ByteSize) -> DeviceMemory {
    DeviceMemory {
        load: declared.load.min(peak),
        peak,
        spike: peak.plus(declared.spike.less(declared.peak)),
    }
}

fn keep(times: &mut VecDeque<u64>, time: Duration) {
    if times.len() == TIMES {
        times.pop_front();
    }
    times.push_back(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
}

fn median(times: &VecDeque<u64>) -> Option<Duration> {
    let mut sorted: Vec<_> = times.iter().copied().collect();
    sorted.sort_unstable();
    sorted
        .get(sorted.len() / 2)
        .map(|millis| Duration::from_millis(*millis))
}

/// How far the memory of others rises during a job on one card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Drift {
    rises: VecDeque<ByteSize>,
}

impl Drift {
    /// Rises that are kept.
    const KEPT: usize = 200;

    pub(super) fn learn(&mut self, rise: ByteSize) {
        if self.rises.len() == Self::KEPT {
            self.rises.pop_front();
        }
        self.rises.push_back(rise);
    }

    /// What to reckon with: almost all rises were smaller, and never less than what is assumed at the start.
    pub(super) fn expected(&self, at_first: ByteSize) -> ByteSize {
        quantile(&self.rises, 99).max(at_first)
    }
}
