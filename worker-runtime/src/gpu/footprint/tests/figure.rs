//! The rule as laws over random samples.

use std::collections::VecDeque;

use shared::byte_size::ByteSize;

use super::build::{STEPS, WALKS, gib, percent};
use crate::gpu::admit::tests::chance::Chance;
use crate::gpu::footprint::figure::{Figure, quantile};

/// Random values around some GiB, with outliers.
fn value(chance: &mut Chance) -> ByteSize {
    let usual = 5_000 + chance.below(500);
    ByteSize::mib(match chance.per_mille(50) {
        true => usual * 2,
        false => usual,
    })
}

#[test]
fn an_estimate_rises_at_once_and_falls_by_two_hundredths_at_most() {
    for seed in 0..WALKS {
        let mut chance = Chance::of(seed);
        let mut figure = Figure::default();
        let mut before = ByteSize::ZERO;
        for step in 0..STEPS {
            let value = match step < 100 {
                true => value(&mut chance),
                // From here on jobs need next to nothing.
                false => ByteSize::mib(1),
            };
            figure.learn(value);
            let after = figure.known().unwrap();
            assert!(after >= value, "seed {seed}, step {step}");
            let floor = (before.as_bytes() - before.as_bytes() / 50).saturating_sub(2);
            assert!(
                step == 0 || after.as_bytes() >= floor,
                "seed {seed}, step {step}: from {before} to {after}"
            );
            before = after;
        }
    }
}

#[test]
fn more_need_never_makes_a_smaller_estimate() {
    for seed in 0..WALKS {
        let mut chance = Chance::of(seed);
        let (mut less, mut more) = (Figure::default(), Figure::default());
        for _ in 0..STEPS {
            let value = value(&mut chance);
            less.learn(value);
            let extra = ByteSize::mib(chance.below(300));
            more.learn(ByteSize::bytes(value.as_bytes() + extra.as_bytes()));
            assert!(more.known() >= less.known(), "seed {seed}");
        }
    }
}

#[test]
fn what_was_declared_counts_until_there_are_twenty_samples() {
    let declared = ByteSize::gib(10);
    let mut figure = Figure::default();
    assert_eq!(figure.estimate(declared), declared);
    assert_eq!(figure.known(), None);
    for _ in 0..19 {
        figure.learn(ByteSize::gib(5));
        assert_eq!(figure.estimate(declared), declared);
    }
    // The premium of a tenth goes slowly, too.
    for _ in 19..30 {
        figure.learn(ByteSize::gib(5));
        assert!(figure.estimate(declared) < declared);
    }
    let settled = percent(ByteSize::gib(5), 105);
    assert_eq!(figure.estimate(declared), settled);
}

#[test]
fn few_samples_are_taken_with_a_premium_of_a_tenth_on_the_largest() {
    let mut figure = Figure::default();
    for amount in [40, 60, 50] {
        figure.learn(gib(amount));
    }
    let largest = gib(60).as_bytes();
    let estimate = figure.estimate(gib(10)).as_bytes();
    assert!(estimate.abs_diff(largest * 110 / 100) < 100, "{estimate}");
}

#[test]
fn with_many_samples_the_largest_of_the_last_twenty_counts_and_older_ones_by_their_quantile() {
    let mut figure = Figure::default();
    for _ in 0..60 {
        figure.learn(gib(50));
    }
    figure.learn(gib(80));
    assert_eq!(figure.known(), Some(gib(80)));
    for _ in 0..19 {
        figure.learn(gib(50));
    }
    assert_eq!(figure.known(), Some(gib(80)));
    for _ in 0..40 {
        figure.learn(gib(50));
    }
    let estimate = figure.known().unwrap().as_bytes();
    assert!(estimate.abs_diff(percent(gib(50), 105).as_bytes()) < 100);
}

#[test]
fn the_quantile_is_the_smallest_that_so_many_do_not_exceed() {
    let samples: VecDeque<_> = (1..=100).rev().map(ByteSize::bytes).collect();
    assert_eq!(quantile(&samples, 95), ByteSize::bytes(95));
    assert_eq!(quantile(&samples, 100), ByteSize::bytes(100));
    assert_eq!(
        quantile(&[ByteSize::bytes(7)].into(), 95),
        ByteSize::bytes(7)
    );
    assert_eq!(quantile(&VecDeque::new(), 95), ByteSize::ZERO);
}
