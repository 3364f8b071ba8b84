//! How the device and its books stand, brought up to date: what a worker looks at each second.

use std::time::Duration;

use shared::ids::{JobId, ProfileName};

use super::sight::Looked;
use super::{Gate, Seen, books, introduce, settle};
use crate::gpu::admit::{Evictions, Need, Request, Verdict, admit};
use crate::gpu::ledger::{
    Alarm, BackendId, BootTime, Class, Event, LedgerError, Locked, Page, Precedence, Ticket,
};

/// What a backend said when it was asked what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendSays {
    /// It works, or has work in line.
    Busy,
    /// It has nothing to do.
    Idle,
    /// Its process is gone.
    Gone,
    /// It does not answer; `quiet`: and free memory has not moved for a while.
    Silent {
        /// Free memory has not moved for a while.
        quiet: bool,
    },
}

/// A sort of job that may come: what is asked about before there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Prospect {
    /// How it would be done.
    pub profile: ProfileName,
    /// By which backend.
    pub backend: BackendId,
    /// Which sort of work it is.
    pub class: Class,
    /// What it would need.
    pub need: Need,
    /// What was put out for such jobs lately.
    pub evictions: Evictions,
}

/// How the device and its books stand.
#[derive(Debug)]
pub struct Survey {
    /// When.
    pub at: BootTime,
    /// What was seen.
    pub seen: Seen,
    /// What is on the books.
    pub page: Page,
    /// What a job of each prospect would be answered if it came now.
    pub verdicts: Vec<Verdict>,
    /// What somebody should be told.
    pub alarms: Vec<(BackendId, Alarm)>,
}

impl Gate {
    /// Brings the books up to date with what is seen and with what backends say of themselves, and tells how jobs would be
    /// answered that might come. Nobody waits or is put out by that. To be called every second: jobs that have ended settle,
    /// orphans whose backend is idle are released. `glance`: nothing ran at the last look, so that a look that costs less
    /// will do.
    ///
    /// # Errors
    /// If the ledger cannot be read or written.
    pub fn survey(
        &self,
        said: &[(BackendId, BackendSays)],
        prospects: &[Prospect],
        glance: bool,
    ) -> Result<Survey, LedgerError> {
        let looked = match glance {
            true => Looked {
                seen: self.sight.glance(),
                at: self.sight.now(),
            },
            false => self.look(),
        };
        let (now, seen, alarms, page) = self.ledger.decide(|locked| {
            let now = self.sight.now();
            let seen = looked.at(now);
            let alarms = self.bring_up_to_date(locked, said, &seen, now)?;
            let page = locked.page(now)?;
            introduce(locked, &page, &seen)?;
            Ok((now, seen, alarms, page))
        })?;
        let device = self.device(&page, &seen);
        let verdict = |prospect: &Prospect| {
            let request = Request {
                job: JobId::generate(),
                profile: prospect.profile.clone(),
                backend: prospect.backend.clone(),
                need: prospect.need,
                precedence: Precedence::of(prospect.class, now, self.aging),
                waited: Duration::ZERO,
                evictions: prospect.evictions,
            };
            let before = |ticket: &&Ticket| ticket.precedence <= request.precedence;
            let books = books(&page, &seen, before, now);
            admit(&request, &device, seen.host.as_ref(), &books, &self.policy)
        };
        let verdicts = prospects.iter().map(verdict).collect();
        Ok(Survey {
            at: now,
            seen,
            page,
            verdicts,
            alarms,
        })
    }

    /// The same where nobody asks about jobs that might come.
    ///
    /// # Errors
    /// If the ledger cannot be read or written.
    pub fn look_after(
        &self,
        said: &[(BackendId, BackendSays)],
    ) -> Result<Vec<(BackendId, Alarm)>, LedgerError> {
        self.survey(said, &[], false).map(|survey| survey.alarms)
    }

    fn bring_up_to_date(
        &self,
        locked: &mut Locked<'_>,
        said: &[(BackendId, BackendSays)],
        seen: &Seen,
        now: BootTime,
    ) -> Result<Vec<(BackendId, Alarm)>, LedgerError> {
        let page = locked.page(now)?;
        let mut alarms = Vec::new();
        for booked in &page.entries {
            let entry = &booked.entry;
            for (_, says) in said
                .iter()
                .filter(|(backend, _)| *backend == entry.work.backend)
            {
                // A live owner knows better; and it is told of nothing by silence.
                if !booked.orphaned && *says != BackendSays::Gone {
                    continue;
                }
                let event = match says {
                    BackendSays::Busy => Event::BackendBusy,
                    BackendSays::Idle => Event::BackendIdle,
                    BackendSays::Gone => Event::BackendGone,
                    BackendSays::Silent { quiet } => Event::BackendSilent { quiet: *quiet },
                };
                let outcome = locked.tell(&entry.id, &event, now)?;
                alarms.extend(
                    outcome
                        .alarm
                        .map(|alarm| (entry.work.backend.clone(), alarm)),
                );
            }
        }
        let page = match said {
            [] => page,
            _ => locked.page(now)?,
        };
        let (_, more) = settle(locked, &page, &self.device(&page, seen), now)?;
        alarms.extend(more);
        Ok(alarms)
    }
}
