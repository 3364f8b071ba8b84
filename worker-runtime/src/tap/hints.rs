//! What the coordinator said last of what waits, and how long ago. Pure: the time comes in.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use shared::ids::ProfileName;
use shared::job::JobKind;
use shared::protocol::Backlog;

use super::swap::Waits;
use crate::gpu::ledger::BootTime;

/// Older hints tell nothing. In simulations of fleets half a minute cost nothing.
const LIMIT: Duration = Duration::from_secs(30);

/// What was said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hints {
    backlogs: Vec<Backlog>,
    heard_at: BootTime,
}

impl Hints {
    /// That was said then.
    pub(crate) fn new(backlogs: Vec<Backlog>, heard_at: BootTime) -> Self {
        Self { backlogs, heard_at }
    }

    /// Whether they were heard lately, so that the coordinator is there.
    pub(crate) fn are_fresh(&self, now: BootTime) -> bool {
        now.since(self.heard_at) <= LIMIT
    }

    /// What waits for the profiles that are meant, all together. What was not spoken of does not wait. Nothing is known once the
    /// hints are too old.
    pub(crate) fn waits(
        &self,
        now: BootTime,
        is_meant: impl Fn(JobKind, &ProfileName) -> bool,
    ) -> Option<Waits> {
        if !self.are_fresh(now) {
            return None;
        }
        let age = now.since(self.heard_at);
        let mut waits = Waits::default();
        for backlog in &self.backlogs {
            if !is_meant(backlog.kind, &backlog.profile) {
                continue;
            }
            waits.queued = waits.queued.saturating_add(backlog.queued);
            waits.running = waits.running.saturating_add(backlog.running);
            if backlog.queued > 0 {
                waits.oldest = waits.oldest.max(backlog.oldest_wait.saturating_add(age));
            }
        }
        Some(waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootTime {
        BootTime::after(Duration::from_secs(seconds))
    }

    fn backlog(profile: &str, queued: u32, running: u32, oldest: u64) -> Backlog {
        Backlog {
            kind: JobKind::Scene,
            profile: profile.parse().unwrap(),
            queued,
            running,
            oldest_wait: Duration::from_secs(oldest),
            workers: 2,
        }
    }

    fn waits(hints: &Hints, profile: &str, now: BootTime) -> Option<Waits> {
        let profile: ProfileName = profile.parse().unwrap();
        hints.waits(now, |kind, name| kind == JobKind::Scene && *name == profile)
    }

    #[test]
    fn the_oldest_grows_older_while_nothing_is_heard() {
        let heard = at(100);
        let hints = Hints::new(
            vec![backlog("wan", 3, 1, 40), backlog("done", 0, 1, 0)],
            heard,
        );
        let known = |queued, running, oldest| {
            Some(Waits {
                queued,
                running,
                oldest: Duration::from_secs(oldest),
            })
        };
        let later = heard.plus(Duration::from_secs(5));
        assert_eq!(waits(&hints, "wan", heard), known(3, 1, 40));
        assert_eq!(waits(&hints, "wan", later), known(3, 1, 45));
        assert_eq!(waits(&hints, "done", later), known(0, 1, 0));
    }

    #[test]
    fn what_was_not_spoken_of_does_not_wait() {
        let heard = at(100);
        let hints = Hints::new(vec![backlog("wan", 3, 1, 40)], heard);
        assert_eq!(waits(&hints, "other", heard), Some(Waits::default()));
    }

    #[test]
    fn hints_older_than_half_a_minute_tell_nothing() {
        let heard = at(100);
        let hints = Hints::new(vec![backlog("wan", 3, 1, 40)], heard);
        assert!(waits(&hints, "wan", heard.plus(LIMIT)).is_some());
        let late = heard.plus(LIMIT + Duration::from_millis(1));
        assert_eq!(waits(&hints, "wan", late), None);
    }

    #[test]
    fn several_profiles_are_counted_together() {
        let heard = at(100);
        let hints = Hints::new(vec![backlog("a", 3, 1, 40), backlog("b", 2, 0, 90)], heard);
        let all = hints.waits(heard, |_, _| true).unwrap();
        assert_eq!((all.queued, all.running), (5, 1));
        assert_eq!(all.oldest, Duration::from_secs(90));
    }
}
