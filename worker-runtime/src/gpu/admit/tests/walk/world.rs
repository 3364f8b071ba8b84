//! The world of a walk: what is true of the card, and what the gate can see of it.

use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::JobId;
use shared::profile::DeviceMemory;

use super::super::build::{
    COMFY, OLLAMA, Situation, backend_of, booked, memory, precedence, reading, tenths,
};
use super::super::chance::Chance;
use crate::gpu::admit::amount::{Amount, total};
use crate::gpu::admit::{
    Booked, Evictions, Growth, Need, Request, Verdict, Victim, Waiting, Waits, admit, held_by,
};
use crate::gpu::ledger::{
    BackendId, BackendKind, BootTime, Event, Next, Owner, Settling, State, after, lowers, replaces,
};
use crate::gpu::reading::{Holder, Holders};

/// What jobs and programs may have together: the card without what the driver keeps.
const ALL: ByteSize = ByteSize::mib(24 * 1024 - 256);
const PLACES: [(&str, u32); 2] = [COMFY, OLLAMA];
/// A name, and load, peak and spike in tenths of a GiB.
type Profile = (&'static str, (u64, u64, u64));
const PROFILES: [[Profile; 2]; 2] = [
    [("wan", (180, 210, 222)), ("still", (60, 80, 90))],
    [("mistral-7b", (60, 65, 70)), ("llama-3b", (25, 30, 35))],
];

/// What was met in walks.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    admitted: u64,
    admitted_warm: u64,
    beside_another: u64,
    evicted: u64,
    swept: u64,
    ignored: u64,
    orphaned: u64,
    taken_over: u64,
    waited: u64,
    foreign: u64,
    blind: u64,
}

impl Seen {
    pub(super) fn add(&mut self, other: &Self) {
        self.admitted += other.admitted;
        self.admitted_warm += other.admitted_warm;
        self.beside_another += other.beside_another;
        self.evicted += other.evicted;
        self.swept += other.swept;
        self.ignored += other.ignored;
        self.orphaned += other.orphaned;
        self.taken_over += other.taken_over;
        self.waited += other.waited;
        self.foreign += other.foreign;
        self.blind += other.blind;
    }

    pub(super) fn assert_rich(&self) {
        let all = [
            self.admitted / 20,
            self.admitted_warm / 5,
            self.beside_another,
            self.evicted,
            self.swept,
            self.ignored,
            self.orphaned,
            self.taken_over,
            self.waited,
            self.foreign,
            self.blind,
        ];
        assert!(all.iter().all(|count| *count >= 500), "{self:?}");
    }
}

/// What the gate can know of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knowledge {
    Exact,
    Half,
    None,
}

/// What is true of a backend.
#[derive(Debug)]
struct Truth {
    kind: BackendKind,
    knowledge: Knowledge,
    holds: ByteSize,
    /// Jobs that it works on.
    running: Vec<Running>,
    /// Models that are loaded, or will be.
    loaded: Vec<(&'static str, ByteSize)>,
}

#[derive(Debug)]
struct Running {
    entry: u64,
    profile: &'static str,
    memory: DeviceMemory,
    /// Foreign memory when it was admitted.
    foreign_then: ByteSize,
    /// The lowest free memory since then.
    lowest_free: ByteSize,
}

#[derive(Debug)]
struct Turn {
    job: u64,
    place: usize,
    profile: usize,
    arrived: BootTime,
    evictions: Evictions,
    evicting: Option<(Vec<Victim>, ByteSize, u32)>,
}

#[derive(Debug)]
pub(super) struct World {
    chance: Chance,
    now: BootTime,
    foreign: ByteSize,
    backends: [Truth; 2],
    entries: Vec<Booked>,
    turns: Vec<Turn>,
    next: u64,
    lowered: Option<BootTime>,
    template: Situation,
    pub(super) seen: Seen,
}

impl World {
    pub(super) fn new(mut chance: Chance) -> Self {
        // In one walk of four nothing at all is known of anybody.
        let blind = chance.per_mille(250);
        let truth = |chance: &mut Chance| Truth {
            kind: match chance.per_mille(500) {
                true => BackendKind::Replacing,
                false => BackendKind::Stacking,
            },
            knowledge: match (blind, chance.below(3)) {
                (true, _) | (false, 0) => Knowledge::None,
                (false, 1) => Knowledge::Half,
                (false, _) => Knowledge::Exact,
            },
            holds: ByteSize::ZERO,
            running: Vec::new(),
            loaded: Vec::new(),
        };
        let mut first = truth(&mut chance);
        first.kind = BackendKind::Replacing;
        let second = truth(&mut chance);
        let mut template = Situation::scene(0);
        template.device.backends = vec![
            backend_of(COMFY, first.kind),
            backend_of(OLLAMA, second.kind),
        ];
        Self {
            now: BootTime::after(Duration::from_secs(1_000)),
            foreign: ByteSize::ZERO,
            backends: [first, second],
            entries: Vec::new(),
            turns: Vec::new(),
            next: 100,
            lowered: None,
            template,
            seen: Seen::default(),
            chance,
        }
    }

    pub(super) fn step(&mut self) {
        self.now = self
            .now
            .plus(Duration::from_millis(100 + self.chance.below(900)));
        match self.chance.below(100) {
            0..10 => self.drift(),
            10..50 => self.grow(),
            50..62 => self.finish(),
            62..66 => self.die(),
            66..70 => self.ask_backends(),
            70..82 if self.turns.len() < 4 => self.arrive(),
            _ => self.ask(),
        }
        self.shrink();
        self.carry_out();
        self.look();
        self.check();
    }

    /// Nothing more comes, nobody dies and no program of others interferes: everything that waits begins or never can.
    pub(super) fn calm_down(&mut self) {
        self.foreign = ByteSize::ZERO;
        for _ in 0..2_000 {
            if self.turns.is_empty() {
                return;
            }
            self.now = self.now.plus(Duration::from_secs(1));
            match self.chance.below(4) {
                0 => self.grow(),
                1 => self.finish(),
                2 => self.ask_backends(),
                _ => self.ask(),
            }
            self.shrink();
            self.carry_out();
            self.look();
            self.check();
        }
        panic!("these wait for ever: {:?}", self.turns);
    }

    fn free(&self) -> ByteSize {
        let ours = total(self.backends.iter().map(|backend| backend.holds));
        ALL.less(self.foreign).less(ours)
    }

    /// Programs of others take and give back; during a job no more than is kept free for them.
    fn drift(&mut self) {
        if self.chance.per_mille(400) {
            let back = self.chance.below(self.foreign.as_bytes() + 1);
            self.foreign = self.foreign.less(ByteSize::bytes(back));
            return;
        }
        let kept = self.template.policy.drift;
        let running = self.backends.iter().flat_map(|backend| &backend.running);
        let limit = running
            .map(|job| job.foreign_then.plus(kept))
            .min()
            .unwrap_or(tenths(60))
            .less(self.foreign)
            .min(self.free());
        self.foreign = self
            .foreign
            .plus(ByteSize::bytes(self.chance.below(limit.as_bytes() + 1)));
    }

    /// Jobs take what they were promised, bit by bit.
    fn grow(&mut self) {
        let place = self.chance.place(2);
        let all_at_once = self.chance.per_mille(100);
        let backend = &mut self.backends[place];
        if backend.running.is_empty() {
            return;
        }
        let room = backend.most().less(backend.holds).as_bytes();
        let more = match all_at_once {
            true => room,
            false => self.chance.below(room.min(tenths(40).as_bytes()) + 1),
        };
        backend.holds = backend.holds.plus(ByteSize::bytes(more));
    }

    /// Memory of what has ended is given back, with some delay.
    fn shrink(&mut self) {
        for backend in &mut self.backends {
            let to = match backend.running.is_empty() {
                true => total(backend.loaded.iter().map(|(_, load)| *load)),
                false => backend.most(),
            };
            let excess = backend.holds.less(to);
            if excess > ByteSize::ZERO {
                let less = excess
                    .percent(40 + self.chance.below(61))
                    .plus(ByteSize::mib(1));
                backend.holds = backend.holds.less(less.min(excess));
            }
        }
    }

    fn finish(&mut self) {
        let place = self.chance.place(2);
        if self.backends[place].running.is_empty() {
            return;
        }
        // Most run to their end, and take all that they need on the way; some are cancelled.
        let to_the_end = self.chance.per_mille(800);
        if to_the_end {
            let backend = &mut self.backends[place];
            backend.holds = backend.holds.max(backend.most());
            self.check();
        }
        let one = self.chance.place(self.backends[place].running.len());
        let job = self.backends[place].running.remove(one);
        let backend = &mut self.backends[place];
        if !to_the_end
            && backend
                .running
                .iter()
                .all(|other| other.profile != job.profile)
        {
            // Half a model: dropped, which the books do not tell.
            backend
                .loaded
                .retain(|(profile, _)| *profile != job.profile);
        }
        let keeps = job.memory.load;
        let lowest_free = to_the_end.then_some(job.lowest_free);
        let orphaned = self.entry(job.entry).is_none_or(|entry| entry.orphaned);
        if !orphaned {
            self.tell(job.entry, &Event::Finished { keeps, lowest_free });
        }
    }

    /// The owner of a job or a claim is killed. The backend knows nothing of that.
    fn die(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        let one = self.chance.place(self.entries.len());
        let victim = &mut self.entries[one];
        if victim.is_in_line() && !victim.orphaned {
            victim.orphaned = true;
            self.seen.orphaned += 1;
            let job = victim.entry.work.job;
            // Its turn dies with it.
            self.turns.retain(|turn| job != id(turn.job));
        }
    }

    /// Orphans are taken over while their backend works on them, and released when it has nothing to do.
    fn ask_backends(&mut self) {
        let orphans: Vec<(u64, usize, bool)> = self
            .entries
            .iter()
            .filter(|booked| booked.orphaned && booked.entry.state == State::Job)
            .map(|booked| {
                let place = place_of(&booked.entry.work.backend);
                let number = number(booked);
                let running = &self.backends[place].running;
                (number, place, running.iter().any(|job| job.entry == number))
            })
            .collect();
        for (number, place, runs) in orphans {
            if runs && self.chance.per_mille(300) {
                let owner = self.owner();
                let attempt = shared::ids::Attempt::new(2);
                let before = self.entries.len();
                self.tell(number, &Event::TakenOver { owner, attempt });
                self.entry_mut(number).orphaned = false;
                assert_eq!(self.entries.len(), before, "booked twice");
                self.seen.taken_over += 1;
            } else if self.backends[place].running.is_empty() {
                self.tell(number, &Event::BackendIdle);
            } else {
                self.tell(number, &Event::BackendBusy);
            }
        }
    }

    fn arrive(&mut self) {
        let place = self.chance.place(2);
        self.next += 1;
        self.turns.push(Turn {
            job: self.next,
            place,
            profile: self.chance.place(2),
            arrived: self.now,
            evictions: Evictions::default(),
            evicting: None,
        });
    }

    fn ask(&mut self) {
        if self.turns.is_empty() {
            return;
        }
        let which = self.chance.place(self.turns.len());
        if self.turns[which].evicting.is_some() {
            return;
        }
        let (request, situation) = self.situation(which);
        let verdict = admit(
            &request,
            &situation.device,
            situation.host.as_ref(),
            &situation.books,
            &situation.policy,
        );
        let turn = &self.turns[which];
        let (place, (profile, numbers)) = (turn.place, PROFILES[turn.place][turn.profile]);
        match verdict {
            Verdict::Admit { .. } => self.begin(which, place, profile, needs(numbers)),
            Verdict::EvictFirst {
                victims,
                target_free,
                ..
            } => {
                self.check_victims(&victims, place, profile, needs(numbers));
                let until = self.now.plus(Duration::from_secs(60));
                self.book(
                    which,
                    place,
                    profile,
                    needs(numbers),
                    State::Claim { until },
                );
                self.tell_victims(&victims, &Event::AskedToLeave);
                self.unload(&victims);
                self.turns[which].evicting = Some((victims, target_free, 0));
            }
            Verdict::Wait { reason } => {
                self.seen.waited += 1;
                self.check_wait(which, &reason, needs(numbers));
            }
            Verdict::Never { reason } => panic!("never: {reason}"),
        }
    }

    fn begin(&mut self, which: usize, place: usize, profile: &'static str, memory: DeviceMemory) {
        let blind = self
            .backends
            .iter()
            .all(|it| it.knowledge == Knowledge::None);
        let others_run = self
            .backends
            .iter()
            .any(|backend| !backend.running.is_empty());
        let foreign_then = self.foreign;
        let backend = &mut self.backends[place];
        self.seen.admitted += 1;
        self.seen.admitted_warm += u64::from(backend.loaded.iter().any(|it| it.0 == profile));
        self.seen.beside_another += u64::from(others_run);
        self.seen.blind += u64::from(blind);
        assert!(!(blind && others_run), "blind, and two jobs at once");
        if backend.kind == BackendKind::Replacing {
            backend.loaded.clear();
        }
        if backend.loaded.iter().all(|it| it.0 != profile) {
            backend.loaded.push((profile, memory.load));
        }
        self.book(which, place, profile, memory, State::Job);
        let entry = number(self.entries.last().unwrap());
        self.backends[place].running.push(Running {
            entry,
            profile,
            memory,
            foreign_then,
            lowest_free: ALL,
        });
        self.turns.remove(which);
        // Not only what is held now must fit, but all that may still come.
        let may_hold = total(self.backends.iter().map(|it| match it.running.is_empty() {
            true => it.holds,
            false => it.holds.max(it.most()),
        }));
        assert!(
            may_hold.plus(self.foreign) <= ALL,
            "{may_hold} may be held beside {} of others\n{self:#?}",
            self.foreign
        );
    }

    /// Writes down a job, or the claim before it; what the request had claimed goes.
    fn book(
        &mut self,
        which: usize,
        place: usize,
        profile: &'static str,
        memory: DeviceMemory,
        state: State,
    ) {
        let turn = &self.turns[which];
        let job = id(turn.job);
        let arrived = turn.arrived;
        self.entries.retain(|booked| {
            let own_claim =
                booked.entry.work.job == job && !matches!(booked.entry.state, State::Job);
            !own_claim || !booked.is_active()
        });
        self.next += 1;
        let backend = (PLACES[place].0, self.backends[place].kind);
        let mut new = booked(self.next, backend, profile, memory, state);
        new.entry.since = self.now;
        new.entry.work.job = job;
        new.entry.work.precedence = precedence(arrived.since_start().as_secs());
        self.entries.push(new);
    }

    /// Asks victims to unload. Some do not.
    fn unload(&mut self, victims: &[Victim]) {
        for victim in victims {
            let backend = &mut self.backends[place_of(&victim.backend)];
            assert!(
                victim.model.is_some() || backend.running.is_empty(),
                "a backend at work was asked to drop everything"
            );
            if self.chance.per_mille(150) {
                self.seen.ignored += 1;
                continue;
            }
            match &victim.model {
                Some(model) => {
                    self.seen.evicted += 1;
                    let busy = backend
                        .running
                        .iter()
                        .any(|job| job.profile == model.profile.as_str());
                    assert!(!busy, "a model at work was asked to leave");
                    backend.loaded.retain(|it| it.0 != model.profile.as_str());
                }
                None => {
                    self.seen.swept += 1;
                    backend.loaded.clear();
                }
            }
        }
    }

    /// Whether the victims have left: free memory tells.
    fn carry_out(&mut self) {
        let free = self.free();
        for which in 0..self.turns.len() {
            let Some((victims, target, polls)) = self.turns[which].evicting.take() else {
                continue;
            };
            if free < target && polls < 8 {
                self.turns[which].evicting = Some((victims, target, polls + 1));
                continue;
            }
            let evictions = &mut self.turns[which].evictions;
            evictions.plans += 1;
            evictions.swept |= victims.iter().any(|victim| victim.model.is_none());
            evictions.failed |= free < target;
            if free >= target {
                self.tell_victims(&victims, &Event::Evicted);
            }
        }
        // A plan that failed is tried again later.
        for turn in &mut self.turns {
            if turn.evictions.plans > 0 && self.chance.per_mille(50) {
                turn.evictions = Evictions::default();
            }
        }
    }

    fn tell_victims(&mut self, victims: &[Victim], event: &Event) {
        let among: Vec<u64> = self
            .entries
            .iter()
            .filter(|booked| {
                victims.iter().any(|victim| match &victim.model {
                    Some(model) => model.entry == booked.entry.id,
                    None => victim.backend == booked.entry.work.backend && !booked.is_active(),
                })
            })
            .map(number)
            .collect();
        for entry in among {
            self.tell(entry, event);
        }
    }

    /// What is read settles what has ended. Claims without an owner, or past their time, go.
    fn look(&mut self) {
        let now = self.now;
        self.entries.retain(|booked| {
            let event = Event::BackendBusy;
            let told = after(
                &booked.entry,
                booked.orphaned,
                &event,
                now,
                Settling::default(),
            );
            told.next != Next::Gone
        });
        let settling: Vec<(u64, BackendId)> = self
            .entries
            .iter()
            .filter(|booked| matches!(booked.entry.state, State::Settling { .. }))
            .map(|booked| (number(booked), booked.entry.work.backend.clone()))
            .collect();
        if settling.is_empty() {
            return;
        }
        let (device, free) = (self.device(), self.free());
        for (entry, backend) in settling {
            let backend = &device.backends[place_of(&backend)];
            let held = held_by(backend, device.reading.as_ref());
            let at = self.now;
            self.tell(entry, &Event::Looked { held, free, at });
        }
    }

    fn tell(&mut self, entry: u64, event: &Event) {
        let Some(at) = self.entries.iter().position(|it| number(it) == entry) else {
            return;
        };
        let outcome = after(
            &self.entries[at].entry,
            self.entries[at].orphaned,
            event,
            self.now,
            Settling::default(),
        );
        if lowers(event, &outcome.next) {
            self.lowered = Some(self.now);
        }
        match outcome.next {
            Next::Same => {}
            Next::Gone => {
                self.entries.remove(at);
            }
            Next::Changed(new) => {
                self.entries.retain(|old| !replaces(&new, &old.entry));
                let booked = self
                    .entries
                    .iter_mut()
                    .find(|it| it.entry.id == new.id)
                    .unwrap();
                booked.entry = *new;
            }
        }
    }

    fn device(&mut self) -> crate::gpu::admit::Device {
        let mut device = self.template.device.clone();
        let mut read = reading(self.free());
        let mut holders = Vec::new();
        for (place, truth) in self.backends.iter().enumerate() {
            let backend = &mut device.backends[place];
            match truth.knowledge {
                Knowledge::Exact => holders.push(Holder {
                    pid: PLACES[place].1,
                    program: None,
                    used: truth.holds,
                }),
                Knowledge::Half => {
                    let told = truth.holds.percent(self.chance.below(101));
                    backend.pids.clear();
                    backend.reported = Some(told);
                }
                Knowledge::None => backend.pids.clear(),
            }
        }
        read.holders = Holders::Known(holders);
        device.reading = Some(read);
        device
    }

    fn situation(&mut self, which: usize) -> (Request, Situation) {
        let now = self.now;
        let mut situation = self.template.clone();
        situation.device = self.device();
        situation.books.entries = self.entries.clone();
        for booked in &mut situation.books.entries {
            booked.age = now.since(booked.entry.since);
        }
        situation.books.lowered = self
            .lowered
            .map(|at| now.since(at).max(Duration::from_millis(5)));
        let turn = &self.turns[which];
        situation.books.ahead = self
            .turns
            .iter()
            .filter(|other| other.job < turn.job)
            .map(|other| Waiting {
                job: id(other.job),
                waited: now.since(other.arrived),
            })
            .collect();
        let (profile, numbers) = PROFILES[turn.place][turn.profile];
        let request = Request {
            job: id(turn.job),
            profile: profile.parse().unwrap(),
            backend: BackendId(PLACES[turn.place].0.to_owned()),
            need: Need::Device {
                memory: needs(numbers),
                ram: ByteSize::ZERO,
                growth: Growth::default(),
            },
            precedence: precedence(turn.arrived.since_start().as_secs()),
            waited: now.since(turn.arrived),
            evictions: turn.evictions,
        };
        (request, situation)
    }

    /// The first in line waits only for a job of ours, or for programs of others that leave too little.
    fn check_wait(&mut self, which: usize, reason: &Waits, memory: DeviceMemory) {
        let active = self.entries.iter().any(Booked::is_active);
        match reason {
            Waits::Behind { .. } => assert!(which > 0),
            Waits::Promised(_) => assert!(active, "promised, but to nobody"),
            Waits::ReclaimFailed(_) => assert!(self.turns[which].evictions.plans >= 2),
            Waits::Foreign(_) => {
                self.seen.foreign += 1;
                if which > 0 || active || self.turns[which].evictions.plans > 0 {
                    return;
                }
                let margin = self.template.policy.drift.plus(tenths(8));
                let without_ours = ALL.less(self.foreign);
                assert!(
                    memory.peak.plus(margin) > without_ours,
                    "it waits for its own\n{self:#?}"
                );
            }
            other => panic!("it waits for {other}"),
        }
    }

    /// A model whose backend is known exactly is never put out for its own next job.
    fn check_victims(&self, victims: &[Victim], place: usize, profile: &str, memory: DeviceMemory) {
        let own = victims.iter().any(|victim| {
            let model = victim.model.as_ref();
            victim.backend.0 == PLACES[place].0
                && model.is_none_or(|model| model.profile.as_str() == profile)
        });
        let truth = &self.backends[place];
        // More than the job will take is worth putting out.
        let grown = truth.holds > memory.load;
        let replaced = truth.kind == BackendKind::Replacing && truth.knowledge == Knowledge::Exact;
        assert!(
            !(own && replaced) || grown,
            "it puts out its own model, which is known\n{self:#?}"
        );
    }

    fn check(&mut self) {
        let free = self.free();
        let running = self.backends.iter_mut().flat_map(|it| &mut it.running);
        for job in running {
            job.lowest_free = job.lowest_free.min(free);
        }
        let ours = total(self.backends.iter().map(|backend| backend.holds));
        assert!(
            ours.plus(self.foreign) <= ALL,
            "{ours} held beside {} of others\n{self:#?}",
            self.foreign
        );
    }

    fn entry(&self, entry: u64) -> Option<&Booked> {
        self.entries.iter().find(|booked| number(booked) == entry)
    }

    fn entry_mut(&mut self, entry: u64) -> &mut Booked {
        self.entries
            .iter_mut()
            .find(|booked| number(booked) == entry)
            .unwrap()
    }

    fn owner(&self) -> Owner {
        self.entries[0].entry.owner.clone()
    }
}

impl Truth {
    /// The most it may come to hold for what it works on.
    fn most(&self) -> ByteSize {
        let overlap = self.running.len() > 1;
        let asks = self.running.iter().map(|job| match overlap {
            true => job.memory.spike,
            false => job.memory.peak,
        });
        match self.kind {
            BackendKind::Replacing => asks.max().unwrap_or_default(),
            BackendKind::Stacking => {
                let idle = self
                    .loaded
                    .iter()
                    .filter(|(profile, _)| self.running.iter().all(|job| job.profile != *profile));
                total(
                    idle.map(|(_, load)| *load)
                        .chain(self.running.iter().map(|job| job.memory.peak)),
                )
            }
        }
    }
}

fn needs((load, peak, spike): (u64, u64, u64)) -> DeviceMemory {
    memory(load, peak, spike)
}

fn id(job: u64) -> JobId {
    JobId::from_u128(u128::from(job))
}

/// The number that an entry was made with.
fn number(booked: &Booked) -> u64 {
    let (_, number) = booked.entry.id.as_str().rsplit_once('-').unwrap();
    number.parse().unwrap()
}

fn place_of(backend: &BackendId) -> usize {
    usize::from(backend.0 == OLLAMA.0)
}
