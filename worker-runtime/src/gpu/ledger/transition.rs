//! What becomes of an entry. Pure: the files are kept elsewhere.
//!
//! ```text
//! (Ticket) -> Claim -> Job -> Settling -> (Resident) -> gone
//!               \        \__ owner dies __-> Orphan -> Job (taken over) or Settling -> gone
//!                \__ owner dies, time -> gone
//! ```
//!
//! An orphan is a job whose owner is gone: nothing is written when a process is killed, so it is seen and not stored.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::Attempt;

use super::boot_time::BootTime;
use super::entry::{BackendKind, Entry, Owner, State};

/// How long a job that has ended may take to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settling {
    /// It is taken for settled after this long, whatever its backend holds.
    pub within: Duration,
    /// The same where nothing tells what the backend holds. The job is over, so nothing grows any more, and what is not given
    /// back yet is not free: being early costs a reading that looks fuller than it need be.
    pub unseen_within: Duration,
}

impl Default for Settling {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(10),
            unseen_within: Duration::from_secs(2),
        }
    }
}

/// What happened to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The claim's job begins.
    Begun,
    /// The job will not begin: its backend was never asked.
    Withdrawn,
    /// Its backend has finished the job.
    Finished {
        /// What stays loaded, at most.
        keeps: ByteSize,
        /// The lowest free memory during the job, where it was watched and ran to its end.
        lowest_free: Option<ByteSize>,
    },
    /// The device was read.
    Looked {
        /// What the backend holds, where that is known.
        held: Option<ByteSize>,
        /// Free memory.
        free: ByteSize,
        /// When it was read.
        at: BootTime,
    },
    /// Somebody runs the same job again and goes on with it.
    TakenOver {
        /// Who.
        owner: Owner,
        /// As which attempt.
        attempt: Attempt,
    },
    /// The backend was asked, and has nothing to do.
    BackendIdle,
    /// The backend was asked, and still works on the job, or has it in line.
    BackendBusy,
    /// The backend's process is gone, and its memory with it.
    BackendGone,
    /// The backend does not answer.
    BackendSilent {
        /// Free memory has not moved for a while.
        quiet: bool,
    },
    /// The model is being asked to leave.
    AskedToLeave,
    /// The model has left: free memory was seen at the level it should then have.
    Evicted,
    /// The device is lost, or was reset: nothing of what was on it is there.
    DeviceLost,
}

/// What becomes of the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What it is now.
    pub next: Next,
    /// What somebody should be told.
    pub alarm: Option<Alarm>,
}

/// What an entry is after an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The same as before.
    Same,
    /// Something else.
    Changed(Box<Entry>),
    /// Nothing: it is taken off the books.
    Gone,
}

/// Something that should not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// A backend still holds more than was to stay, well after its job.
    NeverSettled {
        /// What it holds.
        held: ByteSize,
        /// What was to stay.
        keeps: ByteSize,
    },
    /// A backend has not answered until its job must have ended.
    OrphanGivenUp,
}

/// What becomes of that entry after that event. An event that does not concern it changes nothing, so that all may be told
/// twice.
pub fn after(
    entry: &Entry,
    orphaned: bool,
    event: &Event,
    now: BootTime,
    times: Settling,
) -> Outcome {
    match (event, entry.state) {
        (Event::DeviceLost | Event::BackendGone, _) => plain(Next::Gone),
        (_, State::Claim { until }) => claim(entry, until, orphaned, event, now),
        (_, State::Job) if orphaned => orphan(entry, event, now, times),
        (_, State::Job) => job(entry, event, now, times),
        (
            _,
            State::Settling {
                keeps,
                lowest_free,
                until,
            },
        ) => settling(entry, (keeps, lowest_free, until), event, now, times),
        (
            _,
            State::Resident {
                size, free_then, ..
            },
        ) => resident(entry, size, free_then, event),
    }
}

fn claim(entry: &Entry, until: BootTime, orphaned: bool, event: &Event, now: BootTime) -> Outcome {
    match event {
        Event::Begun if !orphaned => plain(entry.becomes(State::Job, now)),
        Event::Withdrawn => plain(Next::Gone),
        Event::Begun
        | Event::Finished { .. }
        | Event::Looked { .. }
        | Event::TakenOver { .. }
        | Event::BackendIdle
        | Event::BackendBusy
        | Event::BackendGone
        | Event::BackendSilent { .. }
        | Event::AskedToLeave
        | Event::Evicted
        | Event::DeviceLost => match orphaned || now >= until {
            true => plain(Next::Gone),
            false => plain(Next::Same),
        },
    }
}

fn job(entry: &Entry, event: &Event, now: BootTime, times: Settling) -> Outcome {
    match event {
        Event::Finished { keeps, lowest_free } => {
            plain(entry.settles(*keeps, *lowest_free, now, times))
        }
        Event::Withdrawn => plain(Next::Gone),
        Event::Begun
        | Event::Looked { .. }
        | Event::TakenOver { .. }
        | Event::BackendIdle
        | Event::BackendBusy
        | Event::BackendGone
        | Event::BackendSilent { .. }
        | Event::AskedToLeave
        | Event::Evicted
        | Event::DeviceLost => plain(Next::Same),
    }
}

fn orphan(entry: &Entry, event: &Event, now: BootTime, times: Settling) -> Outcome {
    match event {
        Event::TakenOver { owner, attempt } => {
            let mut taken = entry.clone();
            taken.owner = owner.clone();
            taken.work.attempt = *attempt;
            plain(Next::Changed(Box::new(taken)))
        }
        Event::BackendIdle => plain(entry.settles(entry.work.memory.load, None, now, times)),
        Event::BackendSilent { quiet: true } if now.since(entry.since) >= entry.work.limit => {
            Outcome {
                next: Next::Gone,
                alarm: Some(Alarm::OrphanGivenUp),
            }
        }
        // Its owner may say so in the moment it goes.
        Event::Finished { keeps, lowest_free } => {
            plain(entry.settles(*keeps, *lowest_free, now, times))
        }
        Event::Begun
        | Event::Withdrawn
        | Event::Looked { .. }
        | Event::BackendBusy
        | Event::BackendGone
        | Event::BackendSilent { .. }
        | Event::AskedToLeave
        | Event::Evicted
        | Event::DeviceLost => plain(Next::Same),
    }
}

fn settling(
    entry: &Entry,
    (keeps, lowest_free, until): (ByteSize, Option<ByteSize>, BootTime),
    event: &Event,
    now: BootTime,
    times: Settling,
) -> Outcome {
    match event {
        // A reading from before the end of the job tells nothing of what is left of it.
        Event::Looked { held, free, at } if *at >= entry.since => {
            let settled = match held {
                Some(held) => *held <= keeps,
                None => at.since(entry.since) >= times.unseen_within,
            };
            if !settled && now < until {
                return plain(Next::Same);
            }
            let size = held.unwrap_or(keeps).max(keeps);
            let alarm = match held {
                Some(held) if !settled => Some(Alarm::NeverSettled { held: *held, keeps }),
                Some(_) | None => None,
            };
            if size == ByteSize::ZERO {
                return plain(Next::Gone);
            }
            let grew = lowest_free
                .map(|lowest| ByteSize::bytes(free.as_bytes().saturating_sub(lowest.as_bytes())));
            let resident = State::Resident {
                size,
                free_then: *free,
                grew,
            };
            Outcome {
                next: entry.becomes(resident, now),
                alarm,
            }
        }
        Event::Looked { .. }
        | Event::Begun
        | Event::Withdrawn
        | Event::Finished { .. }
        | Event::TakenOver { .. }
        | Event::BackendIdle
        | Event::BackendBusy
        | Event::BackendGone
        | Event::BackendSilent { .. }
        | Event::AskedToLeave
        | Event::Evicted
        | Event::DeviceLost => plain(Next::Same),
    }
}

fn resident(entry: &Entry, size: ByteSize, free_then: ByteSize, event: &Event) -> Outcome {
    match event {
        Event::Evicted => plain(Next::Gone),
        // It may be half gone from now on, and not even its worker can tell.
        Event::AskedToLeave => {
            let mut leaving = entry.clone();
            leaving.state = State::Resident {
                size,
                free_then,
                grew: None,
            };
            plain(Next::Changed(Box::new(leaving)))
        }
        Event::Begun
        | Event::Withdrawn
        | Event::Finished { .. }
        | Event::Looked { .. }
        | Event::TakenOver { .. }
        | Event::BackendIdle
        | Event::BackendBusy
        | Event::BackendGone
        | Event::BackendSilent { .. }
        | Event::DeviceLost => plain(Next::Same),
    }
}

/// Whether a model that has just become resident stands in the place of that entry.
pub fn replaces(new: &Entry, old: &Entry) -> bool {
    let same = new.work.backend == old.work.backend && new.id != old.id;
    let resident = |entry: &Entry| match entry.state {
        State::Resident { .. } => true,
        State::Claim { .. } | State::Job | State::Settling { .. } => false,
    };
    same && resident(new)
        && resident(old)
        && match new.work.kind {
            BackendKind::Replacing => true,
            BackendKind::Stacking => new.work.profile == old.work.profile,
        }
}

/// Whether less is promised after that event than before. A reading from before that may count the same memory twice.
pub fn lowers(event: &Event, next: &Next) -> bool {
    match next {
        Next::Same => false,
        Next::Gone => true,
        Next::Changed(_) => match event {
            Event::Begun | Event::TakenOver { .. } | Event::AskedToLeave => false,
            Event::Withdrawn
            | Event::Finished { .. }
            | Event::Looked { .. }
            | Event::BackendIdle
            | Event::BackendBusy
            | Event::BackendGone
            | Event::BackendSilent { .. }
            | Event::Evicted
            | Event::DeviceLost => true,
        },
    }
}

impl Entry {
    fn becomes(&self, state: State, now: BootTime) -> Next {
        Next::Changed(Box::new(Self {
            state,
            since: now,
            ..self.clone()
        }))
    }

    fn settles(
        &self,
        keeps: ByteSize,
        lowest_free: Option<ByteSize>,
        now: BootTime,
        times: Settling,
    ) -> Next {
        if self.work.memory.peak == ByteSize::ZERO {
            return self.settles_on_host(keeps, now);
        }
        let settling = State::Settling {
            keeps,
            lowest_free,
            until: now.plus(times.within),
        };
        self.becomes(settling, now)
    }

    /// Work without a device has nothing there to settle. A model that stays in host memory is written down, so that its next
    /// job does not ask for that memory again.
    fn settles_on_host(&self, keeps: ByteSize, now: BootTime) -> Next {
        match keeps {
            ByteSize::ZERO => Next::Gone,
            _ => self.becomes(
                State::Resident {
                    size: ByteSize::ZERO,
                    free_then: ByteSize::ZERO,
                    grew: None,
                },
                now,
            ),
        }
    }
}

fn plain(next: Next) -> Outcome {
    Outcome { next, alarm: None }
}
