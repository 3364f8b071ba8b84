//! The gate as a worker uses it: read, decide and write down.
//!
//! Decisions are taken one at a time on a host, and written down before the next. The device is read before that, since who
//! holds its memory takes milliseconds to tell: what others are promised meanwhile is on the books, in full, and what they take
//! of it was still free in the reading. Only what a promise has given back could be counted twice, in the reading and by the
//! books: then the device is read once more, with nobody deciding.
//!
//! A [`Turn`] is one job that wants to begin. It is asked until it is admitted or given up; while it waits it has a ticket,
//! and while others unload for it, a claim. A [`Reservation`] is a job that may run; it is to be ended by [`Reservation::finish`]
//! or [`Reservation::withdraw`]. One that is merely dropped leaves an orphan: the backend may go on, so its memory goes on
//! counting until somebody has asked the backend ([`Gate::survey`]) or takes the same job over.

mod reservation;
mod sight;
mod survey;
#[cfg(test)]
mod tests;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use shared::byte_size::ByteSize;

use self::sight::Looked;
use super::admit::{Backend, Books, Device, Policy, Verdict, Victim, Waiting, Waits, held_by};
use super::ledger::{
    Aging, Alarm, Asked, BackendId, BackendNote, BootTime, Event, Ledger, LedgerError, Locked,
    Next, Page, State, Ticket,
};

pub use self::reservation::Reservation;
pub use self::sight::{Seen, Sight};
pub use self::survey::{BackendSays, Prospect, Survey};
pub use self::turn::Turn;

/// After evictions that gave too little back, the next one is tried no sooner than this.
pub const COOL_DOWN: Duration = Duration::from_secs(60);

/// The gate of one device, as one worker uses it.
#[derive(Debug)]
pub struct Gate {
    ledger: Ledger,
    policy: Policy,
    aging: Aging,
    sight: Arc<dyn Sight>,
}

/// What a turn was answered.
#[derive(Debug)]
pub enum Answer {
    /// The job may run.
    Reserved(Reservation),
    /// These must leave first; what they free is claimed. Then tell the turn, and ask again.
    Evict {
        /// Who.
        victims: Vec<Victim>,
        /// Free memory that must be read.
        target_free: ByteSize,
        /// What is short, for a person.
        why: String,
    },
    /// Not now.
    Wait(Waits),
    /// Never here.
    Never(Verdict),
}

impl Gate {
    /// The gate over that ledger.
    pub fn new(ledger: Ledger, policy: Policy, aging: Aging, sight: Arc<dyn Sight>) -> Arc<Self> {
        Arc::new(Self {
            ledger,
            policy,
            aging,
            sight,
        })
    }

    /// The device is lost or was reset: everything that was promised on it is void.
    pub fn device_lost(&self) -> Result<(), LedgerError> {
        let now = self.sight.now();
        self.ledger.decide(|locked| locked.void(now))
    }

    /// A model has left its backend, or everything has: free memory was read at the level that it must then have.
    pub fn evicted(&self, victims: &[Victim]) -> Result<(), LedgerError> {
        self.ledger
            .decide(|locked| tell_victims(locked, victims, &Event::Evicted, self.sight.now()))
    }

    /// What the backend of that worker was asked to unload is unloaded, or was never there.
    pub fn seen_to(&self, asked: &Asked) -> Result<(), LedgerError> {
        self.ledger.decide(|locked| locked.seen_to(asked))
    }

    /// What is on the books now.
    pub fn page(&self) -> Result<Page, LedgerError> {
        self.ledger.decide(|locked| locked.page(self.sight.now()))
    }

    /// How long this worker's last decision kept the host's other workers from theirs.
    pub fn last_decision(&self) -> Duration {
        self.ledger.last_held()
    }

    fn look(&self) -> Looked {
        let seen = self.sight.look();
        Looked {
            seen,
            at: self.sight.now(),
        }
    }

    /// What was seen, or what is seen now, where that is too old or may count twice what a promise has given back.
    fn still_good(&self, looked: Looked, page: &Page, now: BootTime) -> (Seen, BootTime) {
        let seen = looked.at(now);
        let too_old = seen.device.as_ref().is_some_and(|reading| {
            let lowered = page.lowered.map(|lowered| now.since(lowered));
            reading.age
                > lowered
                    .unwrap_or(Duration::MAX)
                    .min(self.policy.reading_limit)
        });
        match too_old {
            true => (self.sight.look(), self.sight.now()),
            false => (seen, now),
        }
    }

    /// The device with all backends on it, those of other workers as they told of them.
    fn device(&self, page: &Page, seen: &Seen) -> Device {
        let mut backends = seen.backends.clone();
        for note in &page.backends {
            if backends.iter().all(|backend| backend.id != note.id) {
                backends.push(Backend {
                    id: note.id.clone(),
                    kind: note.kind,
                    pids: note.pids.clone(),
                    live: true,
                    reported: None,
                    // Only its own worker knows whether it lives.
                    residue: ByteSize::ZERO,
                });
            }
        }
        Device {
            reading: seen.device.clone(),
            backends,
        }
    }
}

/// Tells the others of this worker's backends, where they do not know them yet.
fn introduce(locked: &mut Locked<'_>, page: &Page, seen: &Seen) -> Result<(), LedgerError> {
    for backend in &seen.backends {
        let note = BackendNote {
            id: backend.id.clone(),
            kind: backend.kind,
            pids: backend.pids.clone(),
            residue: backend.residue,
        };
        if !page.backends.contains(&note) {
            locked.note(&note)?;
        }
    }
    Ok(())
}

/// Tells the models that are among those victims.
fn tell_victims(
    locked: &mut Locked<'_>,
    victims: &[Victim],
    event: &Event,
    now: BootTime,
) -> Result<(), LedgerError> {
    for booked in locked.page(now)?.entries {
        let among = victims.iter().any(|victim| match &victim.model {
            Some(model) => model.entry == booked.entry.id,
            None => victim.backend == booked.entry.work.backend && !booked.is_active(),
        });
        if among {
            locked.tell(&booked.entry.id, event, now)?;
        }
    }
    Ok(())
}

/// Tells all that settle what was read. Whether anything changed, and what somebody should be told.
fn settle(
    locked: &mut Locked<'_>,
    page: &Page,
    device: &Device,
    now: BootTime,
) -> Result<(bool, Vec<(BackendId, Alarm)>), LedgerError> {
    let mut changed = false;
    let mut alarms = Vec::new();
    let Some(reading) = &device.reading else {
        return Ok((changed, alarms));
    };
    let at = BootTime::after(now.since_start().saturating_sub(reading.age));
    for booked in &page.entries {
        if !matches!(booked.entry.state, State::Settling { .. }) {
            continue;
        }
        let backend = device
            .backends
            .iter()
            .find(|backend| backend.id == booked.entry.work.backend);
        let event = Event::Looked {
            held: backend.and_then(|backend| held_by(backend, Some(reading))),
            free: reading.free,
            at,
        };
        let outcome = locked.tell(&booked.entry.id, &event, now)?;
        changed |= outcome.next != Next::Same;
        let id = &booked.entry.work.backend;
        // What a backend holds that has gone on to its next job is that one's, and not odd.
        let alarm = outcome.alarm.filter(|_| !works(page, id));
        alarms.extend(alarm.map(|alarm| (id.clone(), alarm)));
    }
    Ok((changed, alarms))
}

/// Whether that backend has a job.
fn works(page: &Page, backend: &BackendId) -> bool {
    let mut entries = page.entries.iter().map(|booked| &booked.entry);
    entries.any(|entry| entry.work.backend == *backend && matches!(entry.state, State::Job))
}

/// What was promised, for a request before which those tickets come.
fn books(page: &Page, seen: &Seen, before: impl Fn(&&Ticket) -> bool, now: BootTime) -> Books {
    Books {
        entries: page.entries.clone(),
        elsewhere: page.elsewhere.clone(),
        ram_held: seen.ram_held.clone(),
        ahead: page
            .tickets
            .iter()
            .filter(before)
            .map(|ticket| Waiting {
                job: ticket.job,
                waited: now.since(ticket.arrived),
            })
            .collect(),
        lowered: page.lowered.map(|lowered| now.since(lowered)),
        unreadable: page.unreadable.clone(),
    }
}
