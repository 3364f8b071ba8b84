//! When the engine looks again what is due. An idle coordinator sleeps until the next thing is.

use std::time::Duration;

use shared::time::Timestamp;
use tokio::time::Instant;

/// How soon it looks after anything has happened.
const SOON: Duration = Duration::from_millis(250);
/// How long it sleeps at most.
const LONGEST: Duration = Duration::from_secs(10);
/// Looking this late means that the machine slept, or that nothing ran for that long.
const LATE: Duration = Duration::from_secs(5);

/// The moment of the next look, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    next: Instant,
    /// The wall clock goes on through a suspend, the other one may not.
    next_wall: Timestamp,
}

/// A look that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// For some time before it, no time went by for this process.
    pub(super) is_late: bool,
}

impl Clock {
    pub(super) fn new(now: Instant, wall: Timestamp) -> Self {
        Self {
            next: now,
            next_wall: wall,
        }
    }

    /// Resolves when a look is due.
    pub(super) async fn is_due(self) {
        tokio::time::sleep_until(self.next).await;
    }

    /// The engine goes to wait. Time that went by while it worked was no sleep.
    pub(super) fn wait(&mut self, now: Instant, wall: Timestamp) {
        self.next = self.next.max(now);
        self.next_wall = self.next_wall.max(wall);
    }

    /// Something has happened: what follows may be due soon.
    pub(super) fn look_soon(&mut self, now: Instant, wall: Timestamp) {
        if now + SOON < self.next {
            self.set(SOON, now, wall);
        }
    }

    /// Nothing was due; the next thing that is known will be at `due`.
    pub(super) fn sleep_until(&mut self, due: Option<Timestamp>, now: Instant, wall: Timestamp) {
        let pause = due.map_or(LONGEST, |due| due.since(wall));
        self.set(pause.clamp(SOON, LONGEST), now, wall);
    }

    /// The look that is due, if one is. A late one is due by whichever clock says so.
    pub(super) fn take(&mut self, now: Instant, wall: Timestamp) -> Option<Look> {
        let is_late =
            now.saturating_duration_since(self.next) > LATE || wall.since(self.next_wall) > LATE;
        if now < self.next && !is_late {
            return None;
        }
        self.set(SOON, now, wall);
        Some(Look { is_late })
    }

    fn set(&mut self, pause: Duration, now: Instant, wall: Timestamp) {
        self.next = now + pause;
        self.next_wall = wall.plus(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    /// A clock that looks at once, and how both clocks stand so many milliseconds later.
    fn clock() -> (Clock, impl Fn(u64) -> (Instant, Timestamp)) {
        let start = Instant::now();
        let later = move |ms| {
            (
                start + Duration::from_millis(ms),
                WALL.plus(Duration::from_millis(ms)),
            )
        };
        (Clock::new(start, WALL), later)
    }

    fn take(clock: &mut Clock, (now, wall): (Instant, Timestamp)) -> Option<bool> {
        clock.take(now, wall).map(|look| look.is_late)
    }

    #[test]
    fn it_looks_at_once_then_soon_and_when_nothing_is_due_seldom() {
        let (mut clock, at) = clock();
        assert_eq!(take(&mut clock, at(0)), Some(false));
        assert_eq!(take(&mut clock, at(249)), None);
        assert_eq!(take(&mut clock, at(250)), Some(false));
        clock.sleep_until(None, at(250).0, at(250).1);
        assert_eq!(take(&mut clock, at(10_249)), None);
        assert_eq!(take(&mut clock, at(10_250)), Some(false));
    }

    #[test]
    fn it_sleeps_no_longer_than_until_the_next_thing_is_due() {
        let (mut clock, at) = clock();
        clock.sleep_until(Some(at(2_000).1), at(0).0, at(0).1);
        assert_eq!(take(&mut clock, at(1_999)), None);
        assert_eq!(take(&mut clock, at(2_000)), Some(false));
        clock.sleep_until(Some(at(1_000).1), at(2_000).0, at(2_000).1);
        assert_eq!(
            take(&mut clock, at(2_249)),
            None,
            "what cannot be done now is not tried without a pause"
        );
        assert_eq!(take(&mut clock, at(2_250)), Some(false));
    }

    #[test]
    fn what_happens_meanwhile_brings_the_next_look_nearer_and_never_puts_it_off() {
        let (mut clock, at) = clock();
        clock.sleep_until(None, at(0).0, at(0).1);
        clock.look_soon(at(1_000).0, at(1_000).1);
        clock.look_soon(at(1_200).0, at(1_200).1);
        assert_eq!(take(&mut clock, at(1_249)), None);
        assert_eq!(take(&mut clock, at(1_250)), Some(false));
    }

    #[test]
    fn long_work_is_no_sleep() {
        let (mut clock, at) = clock();
        assert_eq!(take(&mut clock, at(0)), Some(false));
        clock.wait(at(60_000).0, at(60_000).1);
        assert_eq!(take(&mut clock, at(60_000)), Some(false));
    }

    #[test]
    fn a_suspend_is_seen_by_either_clock_and_before_anything_else_is_done() {
        let (mut clock, at) = clock();
        clock.sleep_until(None, at(0).0, at(0).1);
        // One second went by for the process, and a night outside.
        assert_eq!(
            take(&mut clock, (at(1_000).0, at(30_000_000).1)),
            Some(true)
        );
        assert_eq!(
            take(&mut clock, (at(9_000).0, at(30_000_000).1)),
            Some(true)
        );
    }
}
