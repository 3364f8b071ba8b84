//! What was seen in a race, and whether the gate holds what it promises.

use std::fmt;
use std::time::Duration;

use crate::plan::{LARGEST, Plan};

/// A race of this length has these bounds; others are in proportion.
const FULL: Duration = Duration::from_secs(20);
const JOBS: u32 = 200;
const KILLS: u32 = 200;
/// So many jobs must run out of memory with the naive gate, or the race proves nothing.
const NAIVE_OUT_OF_MEMORY: u32 = 50;
/// Done with the gate, for each 100 with the naive one.
const PERCENT: u32 = 70;
const RELEASED_WITHIN: Duration = Duration::from_secs(2);
const LARGEST_WAITS: Duration = Duration::from_secs(3);
const DECIDED_WITHIN: Duration = Duration::from_millis(1);

/// What was seen in one race.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Jobs that were done, as their workers told.
    pub done: u32,
    /// Workers that were killed.
    pub kills: u32,
    /// What the card refused.
    pub out_of_memory: u32,
    /// How many of the largest jobs were admitted.
    pub largest: u32,
    /// The longest that one of the largest jobs waited, those that were killed while they waited included.
    pub largest_waited: Duration,
    /// The longest that any other job waited.
    pub others_waited: Duration,
    /// The most jobs that one backend had at the same time.
    pub deepest: usize,
    /// What only the gate has.
    pub books: Option<Books>,
}

/// What was seen of the gate's books.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// Reservations of dead owners.
    pub orphans: u32,
    /// The longest that one of them was seen to count although its backend was idle. The books are looked at twenty times a
    /// second.
    pub released_after: Duration,
    /// Whether something was still promised in the end.
    pub left: bool,
    /// For how long each decision kept the others waiting; sorted.
    pub decided: Vec<Duration>,
    /// How long the last reading for each of them took; sorted.
    pub looked: Vec<Duration>,
}

/// What of it the gate does not hold, each in a few words.
pub fn missed(plan: &Plan, gate: &Figures, naive: &Figures) -> Vec<String> {
    let of = |bound: u32| {
        let scaled = u128::from(bound) * plan.time.as_millis() / FULL.as_millis();
        u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
    };
    let books = gate.books.clone().unwrap_or_default();
    let p99 = percentile(&books.decided, 99);
    let least = naive.done * PERCENT / 100;
    let bounds = [
        (
            gate.out_of_memory == 0,
            format!("{} jobs ran out of memory", gate.out_of_memory),
        ),
        (
            gate.done >= of(JOBS),
            format!("{} jobs are fewer than {}", gate.done, of(JOBS)),
        ),
        (
            gate.kills >= of(KILLS),
            format!("{} kills are fewer than {}", gate.kills, of(KILLS)),
        ),
        (
            gate.done >= least,
            format!(
                "{} jobs are fewer than {PERCENT} % of {}",
                gate.done, naive.done
            ),
        ),
        (
            books.released_after <= RELEASED_WITHIN,
            format!(
                "a dead owner's reservation was kept for {}",
                seconds(books.released_after)
            ),
        ),
        (
            !books.left,
            "something is still promised in the end".to_owned(),
        ),
        (
            gate.largest > 0 && gate.largest_waited < LARGEST_WAITS,
            format!(
                "one of {} jobs of {LARGEST} waited {}",
                gate.largest,
                seconds(gate.largest_waited)
            ),
        ),
        (
            p99 <= DECIDED_WITHIN,
            format!(
                "one decision in a hundred took more than {}",
                milliseconds(p99)
            ),
        ),
        (
            naive.out_of_memory >= of(NAIVE_OUT_OF_MEMORY),
            format!(
                "only {} jobs ran out of memory with the naive gate, so that this race proves little",
                naive.out_of_memory
            ),
        ),
    ];
    let missed = bounds.into_iter().filter(|(holds, _)| !holds);
    missed.map(|(_, what)| what).collect()
}

/// The smallest that so many hundredths do not exceed.
fn percentile(sorted: &[Duration], hundredths: usize) -> Duration {
    let place = (sorted.len() * hundredths).div_ceil(100);
    sorted
        .get(place.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} jobs, {} kills, {} out of memory; longest wait {} (of {} with {LARGEST}), {} (all others); at most {} in a backend",
            self.done,
            self.kills,
            self.out_of_memory,
            seconds(self.largest_waited),
            self.largest,
            seconds(self.others_waited),
            self.deepest,
        )?;
        let Some(books) = &self.books else {
            return Ok(());
        };
        let (p50, p99) = (
            percentile(&books.decided, 50),
            percentile(&books.decided, 99),
        );
        write!(
            f,
            "; {} reservations of dead owners, released {} after an idle backend at the latest, {} left; {} decisions, under the \
             lock p50 {} p99 {}, the readings for them p50 {} p99 {}",
            books.orphans,
            seconds(books.released_after),
            match books.left {
                true => "some",
                false => "none",
            },
            books.decided.len(),
            milliseconds(p50),
            milliseconds(p99),
            milliseconds(percentile(&books.looked, 50)),
            milliseconds(percentile(&books.looked, 99)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> (Plan, Figures, Figures) {
        let gate = Figures {
            done: 250,
            kills: 260,
            largest: 9,
            largest_waited: Duration::from_secs(2),
            deepest: 1,
            books: Some(Books {
                orphans: 100,
                released_after: Duration::from_millis(300),
                left: false,
                decided: vec![Duration::from_micros(400); 100],
                looked: vec![Duration::from_micros(200); 100],
            }),
            ..Figures::default()
        };
        let naive = Figures {
            done: 300,
            out_of_memory: 120,
            kills: 260,
            ..Figures::default()
        };
        (Plan::new(12, 20, 7), gate, naive)
    }

    #[test]
    fn every_bound_can_be_missed_and_is_missed_alone() {
        type Spoil = fn(&mut Figures, &mut Figures);
        let (plan, gate, naive) = good();
        assert_eq!(missed(&plan, &gate, &naive), [] as [String; 0]);
        let table: [(&str, Spoil); 10] = [
            ("1 jobs ran out of memory", |gate, _| gate.out_of_memory = 1),
            ("199 jobs are fewer than 200", |gate, naive| {
                (gate.done, naive.done) = (199, 200);
            }),
            ("199 kills are fewer", |gate, _| gate.kills = 199),
            ("250 jobs are fewer than 70 % of 359", |_, naive| {
                naive.done = 359;
            }),
            ("kept for 2.01 s", |gate, _| {
                gate.books.as_mut().unwrap().released_after = Duration::from_millis(2_010);
            }),
            ("still promised", |gate, _| {
                gate.books.as_mut().unwrap().left = true;
            }),
            ("waited 3.00 s", |gate, _| {
                gate.largest_waited = Duration::from_secs(3);
            }),
            ("one of 0 jobs", |gate, _| gate.largest = 0),
            ("took more than 1.01 ms", |gate, _| {
                gate.books.as_mut().unwrap().decided[98..].fill(Duration::from_micros(1_010));
            }),
            ("only 49 jobs", |_, naive| naive.out_of_memory = 49),
        ];
        for (says, spoil) in table {
            let (plan, mut gate, mut naive) = good();
            spoil(&mut gate, &mut naive);
            let missed = missed(&plan, &gate, &naive);
            assert_eq!(missed.len(), 1, "{says}: {missed:?}");
            assert!(missed[0].contains(says), "{says}: {missed:?}");
        }
    }

    #[test]
    fn a_percentile_is_one_of_the_figures() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Duration::from_millis(100));
        assert_eq!(percentile(&sorted, 99), Duration::from_millis(198));
        assert_eq!(percentile(&sorted[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
