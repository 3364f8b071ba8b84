//! What our backends hold of a device and what they may still take.
//!
//! A backend holds at least `held` and may come to hold its ceiling; the difference is promised. One rule serves device
//! memory and host memory.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use shared::byte_size::ByteSize;
use shared::ids::ProfileName;
use shared::profile::DeviceMemory;

use super::amount::{Amount, total};
use super::books::{Backend, Booked, Device};
use super::request::Request;
use super::verdict::{Foreign, Promise};
use crate::gpu::ledger::{BackendId, BackendKind, State};
use crate::gpu::reading::{DeviceReading, Holders};

/// What a job asks of one sort of memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    /// The most it holds.
    pub(super) peak: ByteSize,
    /// The most its backend holds while two jobs overlap.
    pub(super) spike: ByteSize,
}

impl From<DeviceMemory> for Ask {
    fn from(memory: DeviceMemory) -> Self {
        Self {
            peak: memory.peak,
            spike: memory.spike,
        }
    }
}

/// Which of two memories is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    Device,
    Host,
}

impl Pool {
    fn ask_of(self, booked: &Booked) -> Ask {
        match self {
            Self::Device => booked.entry.work.memory.into(),
            Self::Host => Ask {
                peak: booked.entry.work.ram,
                spike: booked.entry.work.ram,
            },
        }
    }

    fn resident_size(self, booked: &Booked) -> ByteSize {
        match (self, booked.entry.state) {
            (Self::Device, State::Resident { size, .. }) => size,
            (Self::Host, State::Resident { .. })
            | (_, State::Claim { .. } | State::Job | State::Settling { .. }) => ByteSize::ZERO,
        }
    }
}

/// The entries that count against a request, by backend, and what each backend holds.
#[derive(Debug, Clone)]
pub(super) struct Holdings<'a> {
    pool: Pool,
    backends: BTreeMap<&'a BackendId, Held<'a>>,
}

/// One backend.
#[derive(Debug, Clone)]
struct Held<'a> {
    kind: BackendKind,
    /// A lower bound; nothing when unknown.
    held: ByteSize,
    /// It is not only a lower bound: the driver told it.
    exact: bool,
    entries: Vec<&'a Booked>,
}

impl<'a> Holdings<'a> {
    /// Of device memory.
    pub(super) fn of_device(device: &'a Device, entries: &[&'a Booked]) -> Self {
        let mut holdings = Self {
            pool: Pool::Device,
            backends: BTreeMap::new(),
        };
        for backend in &device.backends {
            let held = held_by(backend, device.reading.as_ref())
                .unwrap_or(ByteSize::ZERO)
                .max(backend.residue);
            holdings.add(&backend.id, backend.kind, held);
            if let Some(it) = holdings.backends.get_mut(&backend.id) {
                it.exact = seen_by_driver(backend, device.reading.as_ref()).is_some();
            }
        }
        holdings.book(entries);
        holdings
    }

    /// Of host memory.
    pub(super) fn of_host(
        device: &'a Device,
        held: &'a BTreeMap<BackendId, ByteSize>,
        entries: &[&'a Booked],
    ) -> Self {
        let mut holdings = Self {
            pool: Pool::Host,
            backends: BTreeMap::new(),
        };
        for (backend, held) in held {
            holdings.add(backend, BackendKind::Stacking, *held);
        }
        for backend in &device.backends {
            let held = holdings.held(&backend.id);
            holdings.add(&backend.id, backend.kind, held);
        }
        holdings.book(entries);
        holdings
    }

    fn add(&mut self, backend: &'a BackendId, kind: BackendKind, held: ByteSize) {
        let empty = Held {
            kind,
            held,
            exact: false,
            entries: Vec::new(),
        };
        self.backends.insert(backend, empty);
    }

    fn book(&mut self, entries: &[&'a Booked]) {
        for booked in entries {
            // A backend that nobody told us of holds nothing that we know of: its promise counts in full.
            let held = self
                .backends
                .entry(&booked.entry.work.backend)
                .or_insert(Held {
                    kind: booked.entry.work.kind,
                    held: ByteSize::ZERO,
                    exact: false,
                    entries: Vec::new(),
                });
            held.entries.push(booked);
        }
    }

    /// What that backend may come to hold, with one more job where there is one.
    pub(super) fn ceiling(
        &self,
        backend: &BackendId,
        more: Option<(&ProfileName, Ask)>,
    ) -> ByteSize {
        let nothing = Held {
            kind: BackendKind::Stacking,
            held: ByteSize::ZERO,
            exact: false,
            entries: Vec::new(),
        };
        let held = self.backends.get(backend).unwrap_or(&nothing);
        let ceiling = match held.kind {
            BackendKind::Replacing => self.ceiling_of_one(held, more.map(|(_, ask)| ask)),
            BackendKind::Stacking => self.ceiling_of_many(held, more),
        };
        // It holds more than it was said to: it may well take a little more still.
        if held.held > ceiling {
            held.held.percent(110)
        } else {
            ceiling
        }
    }

    /// A backend that drops one model for the next holds the largest.
    fn ceiling_of_one(&self, held: &Held<'_>, more: Option<Ask>) -> ByteSize {
        let residents = held
            .entries
            .iter()
            .map(|booked| self.pool.resident_size(booked));
        residents
            .chain([self.largest_ask(held, more)])
            .max()
            .unwrap_or_default()
    }

    /// The most that one of its jobs asks for; two in its line overlap.
    fn largest_ask(&self, held: &Held<'_>, more: Option<Ask>) -> ByteSize {
        let in_line = held.entries.iter().filter(|booked| booked.is_in_line());
        let overlap = in_line.count() + usize::from(more.is_some()) > 1;
        let asks = held
            .entries
            .iter()
            .filter(|booked| booked.is_active())
            .map(|booked| (booked.is_in_line(), self.pool.ask_of(booked)))
            .chain(more.map(|ask| (true, ask)));
        let active = asks.map(|(in_line, ask)| match overlap && in_line {
            true => ask.spike,
            false => ask.peak,
        });
        active.max().unwrap_or_default()
    }

    /// Models beside each other add up. A job runs in the loaded model of its profile, not beside it.
    fn ceiling_of_many(&self, held: &Held<'_>, more: Option<(&ProfileName, Ask)>) -> ByteSize {
        let mut profiles: BTreeMap<&ProfileName, (ByteSize, ByteSize)> = BTreeMap::new();
        for booked in &held.entries {
            let (active, resident) = profiles.entry(&booked.entry.work.profile).or_default();
            if booked.is_active() {
                *active = active.plus(self.pool.ask_of(booked).peak);
            } else {
                *resident = (*resident).max(self.pool.resident_size(booked));
            }
        }
        if let Some((profile, ask)) = more {
            let (active, _) = profiles.entry(profile).or_default();
            *active = active.plus(ask.peak);
        }
        total(
            profiles
                .into_values()
                .map(|(active, resident)| active.max(resident)),
        )
    }

    /// What that backend holds at least.
    pub(super) fn held(&self, backend: &BackendId) -> ByteSize {
        self.backends
            .get(backend)
            .map_or(ByteSize::ZERO, |held| held.held)
    }

    /// Whether what that backend holds is known exactly, not only from below.
    pub(super) fn is_exact(&self, backend: &BackendId) -> bool {
        self.backends.get(backend).is_some_and(|held| held.exact)
    }

    /// What an idle model of that backend holds, which was that large when it had settled.
    pub(super) fn size_of_model(&self, backend: &BackendId, size: ByteSize) -> ByteSize {
        match self.backends.get(backend) {
            Some(held) => match (held.kind, held.exact) {
                (BackendKind::Replacing, true) => held.held,
                (BackendKind::Replacing, false) => size.max(held.held),
                (BackendKind::Stacking, true) => size.min(held.held),
                (BackendKind::Stacking, false) => size,
            },
            None => size,
        }
    }

    /// What that backend may still take. Without a job on it: nothing, however much its models hold, since a model that runs
    /// no job does not grow and what it holds is not free.
    pub(super) fn promised(&self, backend: &BackendId) -> ByteSize {
        match self.is_active(backend) {
            true => self.rise(backend, None),
            false => ByteSize::ZERO,
        }
    }

    /// The same with one more job.
    pub(super) fn promised_with(
        &self,
        backend: &BackendId,
        profile: &ProfileName,
        ask: Ask,
    ) -> ByteSize {
        self.rise(backend, Some((profile, ask)))
    }

    /// Two bounds, and the lower one counts: up to its ceiling from what it holds, and what its jobs ask for as if nothing of
    /// it was loaded. The second holds where the books tell of models that have left, or nothing tells what is held.
    fn rise(&self, backend: &BackendId, more: Option<(&ProfileName, Ask)>) -> ByteSize {
        let to_ceiling = self.ceiling(backend, more).less(self.held(backend));
        to_ceiling.min(self.asked(backend, more.map(|(_, ask)| ask)))
    }

    /// What the jobs on that backend ask for.
    fn asked(&self, backend: &BackendId, more: Option<Ask>) -> ByteSize {
        let Some(held) = self.backends.get(backend) else {
            return more.map_or(ByteSize::ZERO, |ask| ask.peak);
        };
        match held.kind {
            BackendKind::Replacing => self.largest_ask(held, more),
            BackendKind::Stacking => {
                let active = held.entries.iter().filter(|booked| booked.is_active());
                total(
                    active
                        .map(|booked| self.pool.ask_of(booked).peak)
                        .chain(more.map(|ask| ask.peak)),
                )
            }
        }
    }

    /// What all may still take once that job has begun.
    pub(super) fn promised_in_all(
        &self,
        backend: &BackendId,
        profile: &ProfileName,
        ask: Ask,
    ) -> ByteSize {
        self.promised_beside(backend)
            .plus(self.promised_with(backend, profile, ask))
    }

    /// The same once those models have left, as far as can be told.
    pub(super) fn after_leaving(&self, models: &[&Booked], device: &Device) -> Self {
        let mut after = self.clone();
        for model in models {
            let State::Resident { size, .. } = model.entry.state else {
                continue;
            };
            let backend = &model.entry.work.backend;
            let size = self.size_of_model(backend, size);
            if let Some(held) = after.backends.get_mut(backend) {
                held.entries.retain(|it| it.entry.id != model.entry.id);
                held.held = match held.kind {
                    BackendKind::Replacing => ByteSize::ZERO,
                    BackendKind::Stacking => held.held.less(size),
                }
                .max(device.residue(backend));
            }
        }
        after
    }

    /// What all other backends may still take.
    pub(super) fn promised_beside(&self, backend: &BackendId) -> ByteSize {
        total(
            self.backends
                .keys()
                .filter(|other| **other != backend)
                .map(|other| self.promised(other)),
        )
    }

    /// Whether a job is on that backend.
    pub(super) fn is_active(&self, backend: &BackendId) -> bool {
        self.backends
            .get(backend)
            .is_some_and(|held| held.entries.iter().any(|booked| booked.is_active()))
    }

    /// Who was promised how much, one line for each backend with a job.
    pub(super) fn promises(&self) -> Vec<Promise> {
        let active = self.backends.iter().filter_map(|(backend, held)| {
            let newest = held
                .entries
                .iter()
                .filter(|booked| booked.is_active())
                .min_by_key(|booked| booked.age)?;
            Some(Promise {
                backend: (*backend).clone(),
                job: newest.entry.work.job,
                profile: newest.entry.work.profile.clone(),
                amount: self.promised(backend),
                // A job that has ended has nobody any more, whoever lives.
                orphaned: newest.orphaned && newest.is_in_line(),
                age: newest.age,
            })
        });
        active.collect()
    }
}

/// The entries that count against this request. Its own claim does not; the claim of somebody who comes after it does not
/// either.
pub(super) fn counted<'a>(entries: &'a [Booked], request: &Request) -> Vec<&'a Booked> {
    let counts = |booked: &&Booked| match booked.entry.state {
        State::Claim { .. } => {
            booked.entry.work.job != request.job
                && booked.entry.work.precedence <= request.precedence
        }
        State::Job | State::Settling { .. } | State::Resident { .. } => true,
    };
    entries.iter().filter(counts).collect()
}

/// What that backend holds of the device, at least; absent when nothing tells. Of two lower bounds the higher is the better.
pub(crate) fn held_by(backend: &Backend, reading: Option<&DeviceReading>) -> Option<ByteSize> {
    seen_by_driver(backend, reading).max(backend.reported)
}

/// What the driver says that its processes hold.
fn seen_by_driver(backend: &Backend, reading: Option<&DeviceReading>) -> Option<ByteSize> {
    match reading.map(|reading| &reading.holders) {
        Some(Holders::Known(holders)) if !backend.pids.is_empty() => {
            let ours = holders
                .iter()
                .filter(|holder| backend.pids.contains(&holder.pid));
            Some(total(ours.map(|holder| holder.used)))
        }
        Some(Holders::Known(_) | Holders::Unknown(_)) | None => None,
    }
}

/// Processes that hold memory of the device and are none of ours, the largest first.
pub(super) fn foreigners(device: &Device) -> Vec<Foreign> {
    let Some(Holders::Known(holders)) = device.reading.as_ref().map(|reading| &reading.holders)
    else {
        return Vec::new();
    };
    let mut foreign: Vec<Foreign> = holders
        .iter()
        .filter(|holder| {
            !device
                .backends
                .iter()
                .any(|backend| backend.pids.contains(&holder.pid))
        })
        .map(|holder| Foreign {
            pid: holder.pid,
            program: holder.program.clone(),
            used: holder.used,
        })
        .collect();
    foreign.sort_by_key(|holder| std::cmp::Reverse(holder.used));
    foreign
}
