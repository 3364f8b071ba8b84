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
//! counting until somebody has asked the backend ([`Gate::look_after`]) or takes the same job over.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::{JobId, ProfileName};

use super::admit::{
    Backend, Books, Device, Evictions, Need, Policy, Request, Verdict, Victim, Waiting, Waits,
    admit, held_by,
};
use super::ledger::{
    Aging, Alarm, Asked, BackendId, BackendNote, BootTime, Class, Event, Held, Ledger, LedgerError,
    Locked, Next, Page, Precedence, State, Ticket, Work,
};
use super::reading::{DeviceReading, HostReading};

/// A claim that nobody renews ends after this long: unloading takes 10 s at most, twice, and then a restart of the backend.
const CLAIM: Duration = Duration::from_secs(60);
/// After evictions that gave too little back, the next one is tried no sooner than this.
pub const COOL_DOWN: Duration = Duration::from_secs(60);
/// Who waits asks again after a time between these two.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

/// Why a request waits is written down anew this often at most: its numbers change all the time.
const TELLS_EVERY: Duration = Duration::from_secs(1);

/// Where a gate gets its readings. At times called while the host's other workers wait for the decision: it answers within
/// milliseconds, or with the last reading and its age.
pub trait Sight: fmt::Debug + Send + Sync {
    /// What is to be seen now.
    fn look(&self) -> Seen;

    /// The same where nothing is decided by it and nothing runs: it may cost less and tell the holders of a moment ago, as
    /// long as free memory has not moved since.
    fn glance(&self) -> Seen {
        self.look()
    }

    /// What time it is.
    fn now(&self) -> BootTime {
        BootTime::now()
    }
}

/// What is to be seen of a device, its host and the backends of this worker.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The device.
    pub device: Option<DeviceReading>,
    /// The host.
    pub host: Option<HostReading>,
    /// This worker's backends on the device.
    pub backends: Vec<Backend>,
    /// Host memory that our backends hold, where it is known.
    pub ram_held: BTreeMap<BackendId, ByteSize>,
}

/// What was seen, and when.
struct Looked {
    seen: Seen,
    at: BootTime,
}

impl Looked {
    /// The same as it stands now.
    fn at(self, now: BootTime) -> Seen {
        let since = now.since(self.at);
        let mut seen = self.seen;
        if let Some(device) = &mut seen.device {
            device.age += since;
        }
        if let Some(host) = &mut seen.host {
            host.age += since;
        }
        seen
    }
}

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

/// The gate of one device, as one worker uses it.
#[derive(Debug)]
pub struct Gate {
    ledger: Ledger,
    policy: Policy,
    aging: Aging,
    sight: Arc<dyn Sight>,
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

    /// A job that wants to begin. `work.precedence` is worked out here.
    pub fn turn(self: &Arc<Self>, mut work: Work, need: Need) -> Turn {
        let arrived = self.sight.now();
        work.precedence = Precedence::of(work.class, arrived, self.aging);
        Turn {
            gate: Arc::clone(self),
            work,
            need,
            arrived,
            ticket: None,
            told_at: arrived,
            claim: None,
            evictions: Evictions::default(),
            rests_until: None,
        }
    }

    /// Brings the books up to date with what is seen and with what backends say of themselves. To be called every second:
    /// jobs that have ended settle, orphans whose backend is idle are released.
    pub fn look_after(
        &self,
        said: &[(BackendId, BackendSays)],
    ) -> Result<Vec<(BackendId, Alarm)>, LedgerError> {
        let looked = self.look();
        let mut locked = self.ledger.lock()?;
        let now = self.sight.now();
        let seen = looked.at(now);
        self.bring_up_to_date(&mut locked, said, &seen, now)
    }

    /// The same, and how jobs would be answered that might come. Nobody waits or is put out by that. `glance`: nothing ran at
    /// the last look, so that a look that costs less will do.
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
        let mut locked = self.ledger.lock()?;
        let now = self.sight.now();
        let seen = looked.at(now);
        let alarms = self.bring_up_to_date(&mut locked, said, &seen, now)?;
        let page = locked.page(now)?;
        introduce(&mut locked, &page, &seen)?;
        drop(locked);
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

    /// The device is lost or was reset: everything that was promised on it is void.
    pub fn device_lost(&self) -> Result<(), LedgerError> {
        let now = self.sight.now();
        self.ledger.lock()?.void(now)
    }

    /// A model has left its backend, or everything has: free memory was read at the level that it must then have.
    pub fn evicted(&self, victims: &[Victim]) -> Result<(), LedgerError> {
        let mut locked = self.ledger.lock()?;
        let now = self.sight.now();
        tell_victims(&mut locked, victims, &Event::Evicted, now)
    }

    /// What the backend of that worker was asked to unload is unloaded, or was never there.
    pub fn seen_to(&self, asked: &Asked) -> Result<(), LedgerError> {
        self.ledger.lock()?.seen_to(asked)
    }

    /// What is on the books now.
    pub fn page(&self) -> Result<Page, LedgerError> {
        self.ledger.lock()?.page(self.sight.now())
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

/// Asks the workers of those victims to have them unloaded.
fn ask_to_leave(
    locked: &mut Locked<'_>,
    victims: &[Victim],
    by: JobId,
    now: BootTime,
) -> Result<(), LedgerError> {
    for victim in victims {
        locked.ask(&Asked {
            backend: victim.backend.clone(),
            profile: victim.model.as_ref().map(|model| model.profile.clone()),
            by,
            at: now,
        })?;
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
        alarms.extend(
            outcome
                .alarm
                .map(|alarm| (booked.entry.work.backend.clone(), alarm)),
        );
    }
    Ok((changed, alarms))
}

/// One job that wants to begin. Dropped, it gives up its place and its claim.
#[derive(Debug)]
pub struct Turn {
    gate: Arc<Gate>,
    work: Work,
    need: Need,
    arrived: BootTime,
    ticket: Option<Held>,
    /// When the ticket was last written.
    told_at: BootTime,
    claim: Option<Held>,
    evictions: Evictions,
    rests_until: Option<BootTime>,
}

impl Turn {
    /// Whether the job may begin now. Blocks for as long as others decide.
    pub fn ask(&mut self) -> Result<Answer, LedgerError> {
        let gate = Arc::clone(&self.gate);
        let looked = gate.look();
        let mut locked = gate.ledger.lock()?;
        let now = gate.sight.now();
        let mut page = locked.page(now)?;
        let (seen, now) = gate.still_good(looked, &page, now);
        introduce(&mut locked, &page, &seen)?;
        let own_orphan = page.entries.iter().find(|booked| {
            let work = &booked.entry.work;
            booked.orphaned && work.job == self.work.job && work.backend == self.work.backend
        });
        if let Some(orphan) = own_orphan
            && let Some(held) = locked.take_over(&orphan.entry, self.work.attempt, now)?
        {
            self.ticket = None;
            self.claim = None;
            return Ok(Answer::Reserved(self.reservation(held, None)));
        }
        let device = gate.device(&page, &seen);
        if settle(&mut locked, &page, &device, now)?.0 {
            page = locked.page(now)?;
        }
        if self.rests_until.is_some_and(|until| now >= until) {
            self.rests_until = None;
            self.evictions = Evictions::default();
        }
        let books = self.books(&page, &seen, now);
        let request = self.request(now);
        let verdict = admit(&request, &device, seen.host.as_ref(), &books, &gate.policy);
        self.record(&mut locked, verdict, now)
    }

    /// The victims were asked to leave. `reached`: free memory was read at its target; otherwise they are not asked again for
    /// a while once the plans are used up.
    pub fn evicted(&mut self, victims: &[Victim], reached: bool) -> Result<(), LedgerError> {
        self.evictions.plans += 1;
        self.evictions.swept |= victims.iter().any(|victim| victim.model.is_none());
        self.evictions.failed |= !reached;
        let now = self.gate.sight.now();
        self.rests_until = Some(now.plus(COOL_DOWN));
        if !reached {
            return Ok(());
        }
        let mut locked = self.gate.ledger.lock()?;
        for victim in victims {
            let profile = victim.model.as_ref().map(|model| &model.profile);
            locked.unask(&victim.backend, profile);
        }
        tell_victims(&mut locked, victims, &Event::Evicted, now)
    }

    /// Asks those victims once more to leave.
    pub fn ask_again(&self, victims: &[Victim]) -> Result<(), LedgerError> {
        let mut locked = self.gate.ledger.lock()?;
        ask_to_leave(&mut locked, victims, self.work.job, self.gate.sight.now())
    }

    /// Asks until there is something else to do than to wait, or until it has waited that long.
    pub async fn wait(mut self, patience: Duration) -> Result<(Self, Answer), LedgerError> {
        loop {
            let asked = tokio::task::spawn_blocking(move || {
                let answer = self.ask();
                (self, answer)
            });
            let (turn, answer) = asked.await.expect("asking does not panic");
            self = turn;
            let answer = answer?;
            let waited = self.gate.sight.now().since(self.arrived);
            if !matches!(answer, Answer::Wait(_)) || waited >= patience {
                return Ok((self, answer));
            }
            let pause = jitter(self.gate.sight.now()).min(patience.saturating_sub(waited));
            tokio::time::sleep(pause).await;
        }
    }

    fn request(&self, now: BootTime) -> Request {
        Request {
            job: self.work.job,
            profile: self.work.profile.clone(),
            backend: self.work.backend.clone(),
            need: self.need,
            precedence: self.work.precedence,
            waited: now.since(self.arrived),
            evictions: self.evictions,
        }
    }

    fn books(&self, page: &Page, seen: &Seen, now: BootTime) -> Books {
        let own = self.ticket.as_ref().map(Held::id);
        let before = |ticket: &&Ticket| match own {
            Some(own) => ticket.id != *own && ticket.order() < (self.work.precedence, own),
            None => ticket.precedence <= self.work.precedence,
        };
        books(page, seen, before, now)
    }

    fn record(
        &mut self,
        locked: &mut Locked<'_>,
        verdict: Verdict,
        now: BootTime,
    ) -> Result<Answer, LedgerError> {
        match verdict {
            Verdict::Admit { threads, .. } => {
                let held = match self.claim.take() {
                    Some(claim) if begins(locked, &claim, now)? => claim,
                    Some(_) | None => locked.book(self.work.clone(), State::Job, now)?,
                };
                self.ticket = None;
                Ok(Answer::Reserved(self.reservation(held, threads)))
            }
            Verdict::EvictFirst {
                victims,
                target_free,
                ref short,
            } => {
                let why = short.to_string();
                self.keep_place(locked, &why, now)?;
                if let Some(old) = self.claim.take() {
                    locked.tell(old.id(), &Event::Withdrawn, now)?;
                }
                tell_victims(locked, &victims, &Event::AskedToLeave, now)?;
                ask_to_leave(locked, &victims, self.work.job, now)?;
                let until = now.plus(CLAIM);
                self.claim = Some(locked.book(self.work.clone(), State::Claim { until }, now)?);
                Ok(Answer::Evict {
                    victims,
                    target_free,
                    why,
                })
            }
            // Time does not help it, and at the head of the queue it would hold up all others.
            Verdict::Wait {
                reason: Waits::NeedUnknown,
            } => {
                self.ticket = None;
                Ok(Answer::Wait(Waits::NeedUnknown))
            }
            Verdict::Wait { reason } => {
                self.keep_place(locked, &reason.to_string(), now)?;
                Ok(Answer::Wait(reason))
            }
            Verdict::Never { .. } => {
                self.ticket = None;
                self.give_up_claim(locked, now)?;
                Ok(Answer::Never(verdict))
            }
        }
    }

    /// Takes a ticket, or writes on it why it still waits.
    fn keep_place(
        &mut self,
        locked: &mut Locked<'_>,
        reason: &str,
        now: BootTime,
    ) -> Result<(), LedgerError> {
        if self.ticket.is_some() && now.since(self.told_at) < TELLS_EVERY {
            return Ok(());
        }
        self.told_at = now;
        let ticket = |id, owner| Ticket {
            id,
            precedence: self.work.precedence,
            arrived: self.arrived,
            job: self.work.job,
            profile: self.work.profile.clone(),
            backend: self.work.backend.clone(),
            owner,
            reason: Some(reason.to_owned()),
        };
        match &self.ticket {
            Some(held) => {
                let owner = self.gate.ledger.owner().clone();
                locked.save_ticket(&ticket(held.id().clone(), owner))
            }
            None => {
                self.ticket = Some(locked.queue(ticket)?);
                Ok(())
            }
        }
    }

    fn give_up_claim(&mut self, locked: &mut Locked<'_>, now: BootTime) -> Result<(), LedgerError> {
        if let Some(claim) = self.claim.take() {
            locked.tell(claim.id(), &Event::Withdrawn, now)?;
        }
        Ok(())
    }

    fn reservation(&self, held: Held, threads: Option<u32>) -> Reservation {
        Reservation {
            gate: Arc::clone(&self.gate),
            held,
            threads,
        }
    }
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

/// Turns a claim into a job; not, if it has run out meanwhile.
fn begins(locked: &mut Locked<'_>, claim: &Held, now: BootTime) -> Result<bool, LedgerError> {
    let outcome = locked.tell(claim.id(), &Event::Begun, now)?;
    Ok(matches!(outcome.next, Next::Changed(_)))
}

/// A job that may run, and holds what it was promised.
#[derive(Debug)]
#[must_use = "dropped, it leaves an orphan"]
pub struct Reservation {
    gate: Arc<Gate>,
    held: Held,
    threads: Option<u32>,
}

impl Reservation {
    /// Processor threads that it should keep to, where a video job runs beside it.
    pub fn threads(&self) -> Option<u32> {
        self.threads
    }

    /// The backend has finished the job. `keeps`: what stays loaded, in the memory that the job was for; `lowest_free`: the lowest free memory that was read
    /// during the job, if the job ran to its end and was watched all the time.
    pub fn finish(self, keeps: ByteSize, lowest_free: Option<ByteSize>) -> Result<(), LedgerError> {
        self.tell(&Event::Finished { keeps, lowest_free })
    }

    /// The backend was never asked to run the job.
    pub fn withdraw(self) -> Result<(), LedgerError> {
        self.tell(&Event::Withdrawn)
    }

    fn tell(&self, event: &Event) -> Result<(), LedgerError> {
        let now = self.gate.sight.now();
        let mut locked = self.gate.ledger.lock()?;
        locked.tell(self.held.id(), event, now).map(drop)
    }
}

/// A pause between the two bounds. The clock's last digits are chance enough to keep workers from asking in step.
fn jitter(now: BootTime) -> Duration {
    let (shortest, longest) = ASK_AGAIN;
    let range = (longest - shortest).as_micros();
    let within = now.since_start().as_nanos() % range;
    shortest + Duration::from_micros(u64::try_from(within).unwrap_or(0))
}
