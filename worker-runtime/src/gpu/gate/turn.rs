//! One job that wants to begin, from its first question to its reservation.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::JobId;

use super::{
    Answer, COOL_DOWN, Gate, Looked, Reservation, Seen, books, introduce, settle, tell_victims,
};
use crate::gpu::admit::{Books, Evictions, Need, Request, Verdict, Victim, Waits, admit};
use crate::gpu::ledger::{
    Asked, BootTime, Event, Held, LedgerError, Locked, Next, Page, Precedence, State, Ticket, Work,
};

/// A claim that nobody renews ends after this long: unloading takes 10 s at most, twice, and then a restart of the backend.
const CLAIM: Duration = Duration::from_secs(60);
/// Who waits asks again after a time between these two.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));
/// Why a request waits is written down anew this often at most: its numbers change all the time.
const TELLS_EVERY: Duration = Duration::from_secs(1);

impl Gate {
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
}

/// One job that wants to begin. Dropped, it gives up its place and its claim.
#[derive(Debug)]
pub struct Turn {
    gate: Arc<Gate>,
    pub(super) work: Work,
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
        gate.ledger.decide(|locked| self.answer(locked, looked))
    }

    fn answer(&mut self, locked: &mut Locked<'_>, looked: Looked) -> Result<Answer, LedgerError> {
        let gate = Arc::clone(&self.gate);
        let now = gate.sight.now();
        let mut page = locked.page(now)?;
        let (seen, now) = gate.still_good(looked, &page, now);
        introduce(locked, &page, &seen)?;
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
        if settle(locked, &page, &device, now)?.0 {
            page = locked.page(now)?;
        }
        if self.rests_until.is_some_and(|until| now >= until) {
            self.rests_until = None;
            self.evictions = Evictions::default();
        }
        let books = self.books(&page, &seen, now);
        let request = self.request(now);
        let verdict = admit(&request, &device, seen.host.as_ref(), &books, &gate.policy);
        self.record(locked, verdict, now)
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
        self.gate.ledger.decide(|locked| {
            for victim in victims {
                let profile = victim.model.as_ref().map(|model| &model.profile);
                locked.unask(&victim.backend, profile)?;
            }
            tell_victims(locked, victims, &Event::Evicted, now)
        })
    }

    /// Asks those victims once more to leave.
    pub fn ask_again(&self, victims: &[Victim]) -> Result<(), LedgerError> {
        let (ledger, now) = (&self.gate.ledger, self.gate.sight.now());
        ledger.decide(|locked| ask_to_leave(locked, victims, self.work.job, now))
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
                if let Some(ticket) = self.ticket.take() {
                    locked.leave(&ticket)?;
                }
                let held = match self.claim.take() {
                    Some(claim) if begins(locked, &claim, now)? => claim,
                    Some(_) | None => locked.book(self.work.clone(), State::Job, now)?,
                };
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
        Reservation::new(&self.gate, held, threads)
    }
}

/// Turns a claim into a job; not, if it has run out meanwhile.
fn begins(locked: &mut Locked<'_>, claim: &Held, now: BootTime) -> Result<bool, LedgerError> {
    let outcome = locked.tell(claim.id(), &Event::Begun, now)?;
    Ok(matches!(outcome.next, Next::Changed(_)))
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

/// A pause between the two bounds. The clock's last digits are chance enough to keep workers from asking in step.
fn jitter(now: BootTime) -> Duration {
    let (shortest, longest) = ASK_AGAIN;
    let range = (longest - shortest).as_micros();
    let within = now.since_start().as_nanos() % range;
    shortest + Duration::from_micros(u64::try_from(within).unwrap_or(0))
}
