//! How fast time goes for the work on a card.

use std::time::Duration;

/// Nothing here is timed finer than this, however fast time goes: a look at the card costs milliseconds.
const FINEST: Duration = Duration::from_millis(20);

/// How many times faster models load and run here than real ones do. 1, but where an hour of films is told in a minute: there
/// whoever waits for a model waits so much less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace(u32);

impl Default for Pace {
    fn default() -> Self {
        Self(1)
    }
}

impl Pace {
    /// So many times faster; 0 is 1.
    pub const fn times(faster: u32) -> Self {
        match faster {
            0 => Self(1),
            faster => Self(faster),
        }
    }

    /// What that time is here.
    pub fn of(self, time: Duration) -> Duration {
        match self.0 {
            1 => time,
            faster => (time / faster).max(time.min(FINEST)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shorter_but_never_too_short_to_be_kept() {
        let seconds = Duration::from_secs;
        for time in [Duration::ZERO, Duration::from_millis(7), seconds(180)] {
            assert_eq!(Pace::default().of(time), time);
            assert_eq!(Pace::times(0).of(time), time);
        }
        let fast = Pace::times(60);
        assert_eq!(fast.of(seconds(180)), seconds(3));
        assert_eq!(fast.of(Duration::from_millis(600)), FINEST);
        assert_eq!(
            fast.of(Duration::from_millis(7)),
            Duration::from_millis(7),
            "and never longer than they were"
        );
    }
}
