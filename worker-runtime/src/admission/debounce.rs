//! Whether a queue is open, from what the gate says of it again and again. Pure.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use super::Shut;
use crate::gpu::ledger::BootTime;
use crate::pace::Pace;

/// The gate must say yes for this long before a queue is opened, and no for this long before it is shut again: opening and
/// shutting costs the broker more than a second of waiting costs anybody.
const HOLDS_FOR: Duration = Duration::from_millis(600);
/// The reason is told anew after this long, though nothing changes but its figures.
const TOLD_EACH: Duration = Duration::from_secs(5);
/// After a job was handed back, its queue rests for this long; twice as long after each that follows, up to the second.
const RESTS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// One queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Debounce {
    /// What was decided; none before anything was said.
    now: Option<Decided>,
    /// What would be decided otherwise, and since when it has been said.
    otherwise: Option<BootTime>,
    /// It stays shut until then, whatever is said.
    rests_until: Option<BootTime>,
    /// Jobs that were handed back since the last one was admitted.
    handed_back: u32,
    pace: Pace,
}

#[derive(Debug, Clone)]
struct Decided {
    shut: Option<Shut>,
    told_at: BootTime,
}

impl Debounce {
    /// One of which nothing was said, where time goes that fast.
    pub(super) fn at(pace: Pace) -> Self {
        Self {
            pace,
            ..Self::default()
        }
    }

    /// The gate says that a job would be admitted, or why not. What is to be done.
    pub(super) fn said(&mut self, said: Option<Shut>, now: BootTime) -> Option<Shut> {
        if self.rests_until.is_some_and(|until| now < until) {
            return self.shut();
        }
        self.rests_until = None;
        let Some(decided) = &mut self.now else {
            return self.decide(said, now);
        };
        let same = decided.shut.is_some() == said.is_some();
        let never = |shut: &Option<Shut>| shut.as_ref().is_some_and(|shut| shut.never);
        let for_a_run = |shut: &Option<Shut>| shut.as_ref().is_some_and(|it| it.until_a_run_ends);
        let is_other = for_a_run(&decided.shut) != for_a_run(&said);
        if never(&decided.shut) != never(&said) || same && is_other {
            return self.decide(said, now);
        }
        if same {
            self.otherwise = None;
            let due = now.since(decided.told_at) >= TOLD_EACH;
            return match due && decided.shut != said {
                true => self.decide(said, now),
                false => self.shut(),
            };
        }
        let since = *self.otherwise.get_or_insert(now);
        match now.since(since) >= self.pace.of(HOLDS_FOR) {
            true => self.decide(said, now),
            false => self.shut(),
        }
    }

    /// A job was handed back for that reason.
    pub(super) fn handed_back(&mut self, why: Shut, now: BootTime) {
        let (first, last) = RESTS;
        let rest = first.saturating_mul(1 << self.handed_back.min(8)).min(last);
        self.handed_back += 1;
        self.rests_until = Some(now.plus(self.pace.of(rest)));
        self.decide(Some(why), now);
    }

    /// A job was admitted.
    pub(super) fn admitted(&mut self) {
        self.handed_back = 0;
    }

    /// Whether something else may be decided soon.
    pub(super) fn is_undecided(&self) -> bool {
        self.otherwise.is_some()
    }

    fn decide(&mut self, shut: Option<Shut>, now: BootTime) -> Option<Shut> {
        self.otherwise = None;
        self.now = Some(Decided {
            shut: shut.clone(),
            told_at: now,
        });
        shut
    }

    fn shut(&self) -> Option<Shut> {
        self.now.as_ref().and_then(|decided| decided.shut.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> BootTime {
        BootTime::after(Duration::from_millis(millis))
    }

    fn no(reason: &str) -> Option<Shut> {
        Some(Shut::for_now(reason))
    }

    #[test]
    fn a_gate_that_flickers_neither_opens_nor_shuts_a_queue() {
        let mut queue = Debounce::default();
        assert_eq!(queue.said(None, at(0)), None);
        for millis in (1_000..20_000).step_by(1_000) {
            assert_eq!(queue.said(no("full"), at(millis)), None);
            assert_eq!(queue.said(None, at(millis + 500)), None);
        }
        assert_eq!(queue.said(no("full"), at(30_000)), None);
        assert!(queue.is_undecided());
        assert_eq!(queue.said(no("full"), at(30_600)), no("full"));
        for millis in (31_000..50_000).step_by(1_000) {
            assert!(queue.said(None, at(millis)).is_some());
            assert!(queue.said(no("full"), at(millis + 500)).is_some());
        }
        assert!(queue.said(None, at(60_000)).is_some());
        assert_eq!(queue.said(None, at(60_600)), None);
    }

    #[test]
    fn new_figures_are_told_now_and_then_and_a_reason_for_ever_at_once() {
        let mut queue = Debounce::default();
        assert_eq!(queue.said(no("3 GiB free"), at(0)), no("3 GiB free"));
        assert_eq!(queue.said(no("2 GiB free"), at(1_000)), no("3 GiB free"));
        assert_eq!(queue.said(no("2 GiB free"), at(5_000)), no("2 GiB free"));
        let never = Some(Shut {
            never: true,
            until_a_run_ends: false,
            reason: "too large".to_owned(),
        });
        assert_eq!(queue.said(never.clone(), at(5_100)), never);
    }

    #[test]
    fn that_only_a_run_is_in_the_way_is_told_at_once() {
        let mut queue = Debounce::default();
        assert_eq!(queue.said(no("a stranger"), at(0)), no("a stranger"));
        let run = Some(Shut {
            until_a_run_ends: true,
            ..Shut::for_now("a run")
        });
        assert_eq!(queue.said(run.clone(), at(100)), run);
        assert_eq!(queue.said(no("a stranger"), at(200)), no("a stranger"));
    }

    #[test]
    fn what_was_handed_back_rests_longer_each_time_until_a_job_is_admitted() {
        let mut queue = Debounce::default();
        queue.said(None, at(0));
        let mut now = 0;
        let mut rest = |queue: &mut Debounce| {
            queue.handed_back(Shut::for_now("taken"), at(now));
            let began = now;
            while queue.said(None, at(now)).is_some() {
                now += 100;
            }
            now - began
        };
        assert_eq!(rest(&mut queue), 2_600);
        assert_eq!(rest(&mut queue), 4_600);
        for _ in 0..10 {
            rest(&mut queue);
        }
        assert_eq!(rest(&mut queue), 60_600);
        queue.admitted();
        assert_eq!(rest(&mut queue), 2_600);
    }
}
