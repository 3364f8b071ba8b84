//! Situations with good defaults: a card of 24 GiB, headless, with 23.5 GiB to use.

use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::{Attempt, BootId, JobId, Take};
use shared::profile::DeviceMemory;

use crate::gpu::admit::amount::{Amount, total};
use crate::gpu::admit::{
    Backend, Booked, Books, Device, Evictions, Growth, Need, Policy, Request, Verdict, Waiting,
    admit,
};
use crate::gpu::ledger::{
    Aging, BackendId, BackendKind, BootTime, Class, Entry, EntryId, Owner, Precedence, State, Work,
};
use crate::gpu::reading::{DeviceReading, DeviceUuid, Health, Holder, Holders, HostReading};

pub(super) const COMFY: (&str, u32) = ("comfyui@127.0.0.1:8188", 100);
pub(super) const OLLAMA: (&str, u32) = ("ollama@127.0.0.1:11434", 200);

/// Tenths of a GiB.
pub(super) fn tenths(tenths: u64) -> ByteSize {
    ByteSize::mib(tenths * 1024 / 10)
}

pub(super) fn memory(load: u64, peak: u64, spike: u64) -> DeviceMemory {
    DeviceMemory {
        load: tenths(load),
        peak: tenths(peak),
        spike: tenths(spike),
    }
}

pub(super) fn wan() -> DeviceMemory {
    memory(180, 210, 230)
}

pub(super) fn story() -> DeviceMemory {
    memory(65, 65, 65)
}

/// All that `admit` is told, ready to be changed.
#[derive(Debug, Clone)]
pub(super) struct Situation {
    pub(super) request: Request,
    pub(super) device: Device,
    pub(super) host: Option<HostReading>,
    pub(super) books: Books,
    pub(super) policy: Policy,
    jobs: u64,
}

impl Situation {
    /// A request for that backend, with that many tenths of a GiB free.
    pub(super) fn new(backend: &str, profile: &str, memory: DeviceMemory, free: u64) -> Self {
        let request = Request {
            job: JobId::from_u128(1),
            profile: profile.parse().unwrap(),
            backend: BackendId(backend.to_owned()),
            need: Need::Device {
                memory,
                ram: ByteSize::ZERO,
                growth: Growth::default(),
            },
            precedence: precedence(100),
            waited: Duration::ZERO,
            evictions: Evictions::default(),
        };
        Self {
            request,
            device: Device {
                reading: Some(reading(tenths(free))),
                backends: vec![
                    backend_of(COMFY, BackendKind::Replacing),
                    backend_of(OLLAMA, BackendKind::Replacing),
                ],
            },
            host: Some(HostReading {
                ram_total: ByteSize::gib(64),
                ram_available: ByteSize::gib(48),
                cores: 16,
                cpu_idle: Some(0.9),
                age: Duration::ZERO,
            }),
            books: Books::default(),
            policy: Policy::default(),
            jobs: 10,
        }
    }

    /// A scene on ComfyUI.
    pub(super) fn scene(free: u64) -> Self {
        Self::new(COMFY.0, "wan", wan(), free)
    }

    /// A story on Ollama.
    pub(super) fn story(free: u64) -> Self {
        Self::new(OLLAMA.0, "mistral-7b", story(), free)
    }

    /// Work without a device.
    pub(super) fn on_host(ram: u64, busy: bool) -> Self {
        let mut it = Self::new("llama@cpu", "mistral-cpu", story(), 200);
        let ram = tenths(ram);
        it.request.need = Need::Host { ram, busy };
        it
    }

    /// That process holds so much, as the driver says.
    pub(super) fn holds(mut self, (_, pid): (&str, u32), used: u64) -> Self {
        self.add_holder(pid, None, tenths(used));
        self
    }

    /// A program that is none of ours holds so much.
    pub(super) fn foreign(mut self, program: &str, pid: u32, used: u64) -> Self {
        self.add_holder(pid, Some(program.to_owned()), tenths(used));
        self
    }

    fn add_holder(&mut self, pid: u32, program: Option<String>, used: ByteSize) {
        let reading = self.device.reading.as_mut().unwrap();
        let Holders::Known(holders) = &mut reading.holders else {
            panic!("holders are not known here")
        };
        holders.push(Holder { pid, program, used });
    }

    /// Nothing tells who holds what.
    pub(super) fn blind(mut self) -> Self {
        let reading = self.device.reading.as_mut().unwrap();
        reading.holders = Holders::Unknown("as on Windows".to_owned());
        self
    }

    /// A job runs there.
    pub(super) fn runs(
        self,
        (backend, _): (&str, u32),
        profile: &str,
        memory: DeviceMemory,
    ) -> Self {
        self.books_entry(backend, profile, memory, State::Job)
    }

    /// A model is loaded there and does nothing.
    pub(super) fn warm(
        self,
        (backend, _): (&str, u32),
        profile: &str,
        memory: DeviceMemory,
    ) -> Self {
        let free_then = self.device.reading.as_ref().unwrap().free;
        let state = State::Resident {
            size: memory.load,
            free_then,
            grew: None,
        };
        self.books_entry(backend, profile, memory, state)
    }

    pub(super) fn books_entry(
        mut self,
        backend: &str,
        profile: &str,
        memory: DeviceMemory,
        state: State,
    ) -> Self {
        self.jobs += 1;
        let kind = self
            .device
            .backends
            .iter()
            .find(|it| it.id.0 == backend)
            .map_or(BackendKind::Replacing, |it| it.kind);
        self.books
            .entries
            .push(booked(self.jobs, (backend, kind), profile, memory, state));
        self
    }

    /// The last entry on the books.
    pub(super) fn last(&mut self) -> &mut Booked {
        self.books.entries.last_mut().unwrap()
    }

    /// Somebody is ahead, and has waited that many seconds.
    pub(super) fn behind(mut self, seconds: u64) -> Self {
        self.books.ahead.push(Waiting {
            job: JobId::from_u128(7),
            waited: Duration::from_secs(seconds),
        });
        self
    }

    pub(super) fn verdict(&self) -> Verdict {
        admit(
            &self.request,
            &self.device,
            self.host.as_ref(),
            &self.books,
            &self.policy,
        )
    }

    pub(super) fn is_admitted(&self) -> bool {
        matches!(self.verdict(), Verdict::Admit { .. })
    }
}

pub(super) fn precedence(seconds: u64) -> Precedence {
    let arrived = BootTime::after(Duration::from_secs(seconds));
    Precedence::of(Class::Story, arrived, Aging::default())
}

pub(super) fn reading(free: ByteSize) -> DeviceReading {
    let whole = ByteSize::gib(24);
    let reserved = ByteSize::mib(256);
    DeviceReading {
        uuid: DeviceUuid("GPU-0".to_owned()),
        name: "NVIDIA GeForce RTX 4090".to_owned(),
        total: whole,
        reserved,
        used: whole.less(total([reserved, free])),
        free,
        holders: Holders::Known(Vec::new()),
        health: Health::Well,
        age: Duration::from_millis(5),
    }
}

pub(super) fn backend_of((id, pid): (&str, u32), kind: BackendKind) -> Backend {
    Backend {
        id: BackendId(id.to_owned()),
        kind,
        pids: vec![pid],
        live: true,
        reported: None,
        residue: ByteSize::ZERO,
    }
}

pub(super) fn booked(
    job: u64,
    (backend, kind): (&str, BackendKind),
    profile: &str,
    memory: DeviceMemory,
    state: State,
) -> Booked {
    let boot = BootId::from_u128(1);
    Booked {
        entry: Entry {
            id: EntryId::new(boot, job),
            state,
            since: BootTime::default(),
            owner: Owner {
                worker: "w1".parse().unwrap(),
                boot,
            },
            work: Work {
                job: JobId::from_u128(u128::from(job)),
                take: Take::FIRST,
                attempt: Attempt::FIRST,
                backend: BackendId(backend.to_owned()),
                kind,
                profile: profile.parse().unwrap(),
                class: Class::Video,
                precedence: precedence(job),
                memory,
                ram: ByteSize::ZERO,
                pinned: false,
                reload: Duration::from_secs(45),
                limit: Duration::from_secs(600),
            },
        },
        orphaned: false,
        age: Duration::from_secs(1),
    }
}
