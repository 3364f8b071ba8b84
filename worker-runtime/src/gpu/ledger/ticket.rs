//! Who waits, and who goes first.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::ids::{JobId, ProfileName};

use super::boot_time::BootTime;
use super::entry::{BackendId, Class, EntryId, Owner};

/// How waiting and class make up the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aging {
    /// How long a story must have waited to go before a scene that has just come.
    pub story_after: Duration,
}

impl Default for Aging {
    fn default() -> Self {
        Self {
            story_after: Duration::from_secs(180),
        }
    }
}

/// A place in the order; the smaller goes first.
///
/// Effective priority is base(class) + waited / τ. All who wait grow at the same rate, so their order never changes, and it
/// is the order of `arrived − base · τ`: no one has to look at a clock to compare two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Precedence(i64);

impl Precedence {
    /// The place of a request of that class that came then.
    pub fn of(class: Class, arrived: BootTime, aging: Aging) -> Self {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2);
        let head_start = match class {
            Class::Video => millis(aging.story_after),
            Class::Story => 0,
        };
        Self(millis(arrived.since_start()) - head_start)
    }
}

/// One waiting request, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Which.
    pub id: EntryId,
    /// Its place.
    pub precedence: Precedence,
    /// When it came.
    pub arrived: BootTime,
    /// The job that waits.
    pub job: JobId,
    /// How it will be done.
    pub profile: ProfileName,
    /// By which backend.
    pub backend: BackendId,
    /// Who waits.
    pub owner: Owner,
    /// Why, as it was last told.
    pub reason: Option<String>,
}

impl Ticket {
    /// What they are ordered by. Two that came in the same millisecond go by name.
    pub fn order(&self) -> (Precedence, &EntryId) {
        (self.precedence, &self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootTime {
        BootTime::after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_scene_goes_before_a_story_that_has_waited_less_than_three_minutes_more() {
        let place = |class, seconds| Precedence::of(class, at(seconds), Aging::default());
        assert!(place(Class::Video, 100) < place(Class::Story, 0));
        assert!(place(Class::Video, 179) < place(Class::Story, 0));
        assert!(place(Class::Video, 181) > place(Class::Story, 0));
        assert!(place(Class::Video, 5) < place(Class::Video, 6));
        assert!(place(Class::Story, 5) < place(Class::Story, 6));
    }
}
