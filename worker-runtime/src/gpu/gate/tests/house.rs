//! A host with a simulated card, two backends and a worker for each.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::{Attempt, BootId, JobId, Take};
use shared::profile::DeviceMemory;
use tempfile::TempDir;

use super::super::*;
use crate::gpu::admit::amount::{Amount, total};
use crate::gpu::admit::{Growth, Need};
use crate::gpu::ledger::{BackendKind, Class, Owner, Precedence, Work};
use crate::gpu::reading::{DeviceReading, DeviceUuid, Health, Holder, Holders, HostReading};

pub(super) const ALL: ByteSize = ByteSize::mib(24 * 1024 - 256);
pub(super) const COMFY: (&str, u32) = ("comfyui@127.0.0.1:8188", 100);
pub(super) const OLLAMA: (&str, u32) = ("ollama@127.0.0.1:11434", 200);

/// What is true of the card.
#[derive(Debug, Default)]
pub(super) struct Card(pub(super) Mutex<Truth>);

#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) now: Duration,
    /// What the clock goes on by at each look.
    pub(super) tick: Duration,
    pub(super) foreign: ByteSize,
    pub(super) holds: BTreeMap<u32, ByteSize>,
    pub(super) blind: bool,
}

impl Card {
    pub(super) fn set(&self, change: impl FnOnce(&mut Truth)) {
        change(&mut self.0.lock().unwrap());
    }

    pub(super) fn hold(&self, (_, pid): (&str, u32), amount: ByteSize) {
        self.set(|truth| {
            truth.holds.insert(pid, amount);
        });
    }

    pub(super) fn pass(&self, time: Duration) {
        self.set(|truth| truth.now += time);
    }

    pub(super) fn free(&self) -> ByteSize {
        let truth = self.0.lock().unwrap();
        ALL.less(truth.foreign)
            .less(total(truth.holds.values().copied()))
    }
}

/// The card as the worker of one backend sees it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) card: Arc<Card>,
    pub(super) backend: (&'static str, u32),
}

impl Sight for View {
    fn look(&self) -> Seen {
        let free = self.card.free();
        let mut truth = self.card.0.lock().unwrap();
        let tick = truth.tick;
        truth.now += tick;
        let holders = truth.holds.iter().map(|(pid, used)| Holder {
            pid: *pid,
            program: None,
            used: *used,
        });
        let known = Holders::Known(holders.collect());
        let reading = DeviceReading {
            uuid: gpu(),
            name: "NVIDIA GeForce RTX 4090".to_owned(),
            total: ByteSize::gib(24),
            reserved: ByteSize::mib(256),
            used: ALL.less(free),
            free,
            holders: match truth.blind {
                true => Holders::Unknown("as on Windows".to_owned()),
                false => known,
            },
            health: Health::Well,
            age: Duration::ZERO,
        };
        let (id, pid) = self.backend;
        Seen {
            device: Some(reading),
            host: Some(HostReading {
                ram_total: ByteSize::gib(64),
                ram_available: ByteSize::gib(48),
                cores: 16,
                cpu_idle: Some(1.0),
                age: Duration::ZERO,
            }),
            backends: vec![Backend {
                id: BackendId(id.to_owned()),
                kind: BackendKind::Replacing,
                pids: vec![pid],
                live: true,
                reported: None,
                residue: ByteSize::ZERO,
            }],
            ram_held: BTreeMap::new(),
        }
    }

    fn now(&self) -> BootTime {
        BootTime::start().plus(Duration::from_secs(1_000) + self.card.0.lock().unwrap().now)
    }
}

pub(super) fn gpu() -> DeviceUuid {
    DeviceUuid("GPU-6f1e".to_owned())
}

pub(super) fn gate(
    root: &Path,
    card: &Arc<Card>,
    number: u128,
    backend: (&'static str, u32),
) -> Arc<Gate> {
    let owner = Owner {
        worker: format!("w{number}").parse().unwrap(),
        boot: BootId::from_u128(number),
    };
    let ledger = Ledger::open(root, Some(&gpu()), owner).unwrap();
    let card = Arc::clone(card);
    let view = Arc::new(View { card, backend });
    Gate::new(ledger, Policy::default(), Aging::default(), view)
}

pub(super) fn memory(load: u64, peak: u64, spike: u64) -> DeviceMemory {
    DeviceMemory {
        load: ByteSize::gib(load),
        peak: ByteSize::gib(peak),
        spike: ByteSize::gib(spike),
    }
}

pub(super) fn turn(gate: &Arc<Gate>, job: u128, class: Class) -> Turn {
    let (backend, profile, memory) = match class {
        Class::Video => (COMFY.0, "wan", memory(18, 21, 23)),
        Class::Story => (OLLAMA.0, "mistral-7b", memory(6, 7, 8)),
    };
    turn_of(gate, job, class, backend, profile, memory)
}

pub(super) fn turn_of(
    gate: &Arc<Gate>,
    job: u128,
    class: Class,
    backend: &str,
    profile: &str,
    memory: DeviceMemory,
) -> Turn {
    let work = Work {
        job: JobId::from_u128(job),
        take: Take::FIRST,
        attempt: Attempt::FIRST,
        backend: BackendId(backend.to_owned()),
        kind: BackendKind::Replacing,
        profile: profile.parse().unwrap(),
        class,
        precedence: Precedence::of(class, BootTime::default(), Aging::default()),
        memory,
        ram: ByteSize::ZERO,
        pinned: false,
        reload: Duration::from_secs(45),
        limit: Duration::from_secs(600),
    };
    let need = Need::Device {
        memory,
        ram: ByteSize::ZERO,
        growth: Growth::default(),
    };
    gate.turn(work, need)
}

pub(super) fn reserved(turn: &mut Turn) -> Reservation {
    match turn.ask().unwrap() {
        Answer::Reserved(reservation) => reservation,
        other => panic!("it should begin: {other:?}"),
    }
}

pub(super) fn waits(turn: &mut Turn) -> Waits {
    match turn.ask().unwrap() {
        Answer::Wait(reason) => reason,
        other => panic!("it should wait: {other:?}"),
    }
}

pub(super) fn evicts(turn: &mut Turn) -> (Vec<Victim>, ByteSize) {
    match turn.ask().unwrap() {
        Answer::Evict {
            victims,
            target_free,
            ..
        } => (victims, target_free),
        other => panic!("something should leave: {other:?}"),
    }
}

/// Runs a job to its end on that backend.
pub(super) fn run(
    card: &Card,
    backend: (&str, u32),
    memory: DeviceMemory,
    reservation: Reservation,
) {
    card.hold(backend, memory.peak);
    let lowest_free = card.free();
    card.pass(Duration::from_secs(50));
    reservation.finish(memory.load, Some(lowest_free)).unwrap();
    card.hold(backend, memory.load);
}

pub(super) struct House {
    pub(super) root: TempDir,
    pub(super) card: Arc<Card>,
    pub(super) video: Arc<Gate>,
    pub(super) story: Arc<Gate>,
}

pub(super) fn house() -> House {
    let root = TempDir::new().unwrap();
    let card = Arc::new(Card::default());
    House {
        video: gate(root.path(), &card, 1, COMFY),
        story: gate(root.path(), &card, 2, OLLAMA),
        root,
        card,
    }
}
