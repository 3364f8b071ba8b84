//! One figure that was measured many times, and the amount to reckon with. Pure.
//!
//! A quantile needs data: the largest of 14 samples is above the 95th percentile half of the time, of 59 samples nineteen times
//! in twenty. So few samples are taken with a premium, and what was declared counts until there are enough of them.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;

use crate::gpu::admit::amount::Amount;

/// Samples that are kept.
const KEPT: usize = 100;
/// From so many samples on, they tell more than what was declared.
const ENOUGH: u64 = 20;
/// The last ones, of which the largest always counts.
const LAST: usize = 20;

/// One figure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figure {
    /// The last samples, the newest last.
    seen: VecDeque<ByteSize>,
    /// How many there were in all.
    count: u64,
    /// What to reckon with, as far as samples tell.
    estimate: ByteSize,
}

impl Figure {
    /// It was measured. The estimate rises at once and falls slowly.
    pub(super) fn learn(&mut self, value: ByteSize) {
        if self.seen.len() == KEPT {
            self.seen.pop_front();
        }
        self.seen.push_back(value);
        self.count = self.count.saturating_add(1);
        let fallen = self.estimate.less(self.estimate.percent(2));
        self.estimate = self.rule().max(fallen);
    }

    /// It is more than this, though nobody knows by how much.
    pub(super) fn exceeds(&mut self, value: ByteSize) {
        self.learn(value);
        self.estimate = self.estimate.max(value.plus(value.percent(5)));
    }

    /// Something speaks for more than was measured: five hundredths.
    pub(super) fn raise(&mut self) {
        self.estimate = self.estimate.plus(self.estimate.percent(5));
    }

    /// The amount to reckon with. With too few samples, what was declared counts, too.
    pub(super) fn estimate(&self, declared: ByteSize) -> ByteSize {
        match self.count < ENOUGH {
            true => self.estimate.max(declared),
            false => self.estimate,
        }
    }

    /// The same where nothing is declared.
    pub(super) fn known(&self) -> Option<ByteSize> {
        (self.count > 0).then_some(self.estimate)
    }

    fn rule(&self) -> ByteSize {
        let largest = |last: usize| {
            let values = self.seen.iter().rev().take(last);
            values.copied().max().unwrap_or_default()
        };
        match self.count < ENOUGH {
            true => largest(KEPT).plus(largest(KEPT).percent(10)),
            false => {
                let p95 = quantile(&self.seen, 95);
                p95.plus(p95.percent(5)).max(largest(LAST))
            }
        }
    }
}

/// The smallest sample that at least so many hundredths of them do not exceed; nothing without samples.
pub(super) fn quantile(samples: &VecDeque<ByteSize>, hundredths: usize) -> ByteSize {
    let mut sorted: Vec<_> = samples.iter().copied().collect();
    sorted.sort_unstable();
    let rank = (sorted.len() * hundredths).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}
