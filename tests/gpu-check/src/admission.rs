//! Whether the gate decides on this card as it should, over a ledger of its own: nothing is loaded, so the figures of the card
//! stay as they are, and what is promised is all that may change an answer.
#![expect(
    clippy::print_stdout,
    reason = "a program of the command line speaks to its user"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use shared::byte_size::ByteSize;
use shared::ids::{Attempt, BootId, JobId, Take};
use shared::profile::DeviceMemory;
use worker_runtime::gpu::admit::{Growth, Need, Policy};
use worker_runtime::gpu::gate::{Answer, Gate, Reservation, Seen, Sight, Turn};
use worker_runtime::gpu::ledger::{
    Aging, BackendId, BackendKind, BootTime, Class, Ledger, Owner, Precedence, Work,
};
use worker_runtime::gpu::probe::GpuProbe;
use worker_runtime::gpu::probe::host::HostProbe;
use worker_runtime::gpu::probe::nvml::NvmlProbe;
use worker_runtime::gpu::reading::DeviceUuid;

use crate::costs::show;

/// Shows what is promised, what waits for it, what never fits, and what a decision costs.
pub(crate) fn measure(probe: &Arc<NvmlProbe>, uuid: &DeviceUuid, times: u32) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let owner = Owner {
        worker: "gpu-check".parse()?,
        boot: BootId::generate(),
    };
    let ledger = Ledger::open(folder.path(), Some(uuid), owner)?;
    let view = View {
        probe: Arc::clone(probe),
        uuid: uuid.clone(),
        host: Mutex::new(HostProbe::new().map_err(anyhow::Error::msg)?),
    };
    let gate = Gate::new(ledger, Policy::default(), Aging::default(), Arc::new(view));
    let memory = probe.memory(uuid)?;
    let part = |percent: u64| ByteSize::bytes(memory.free.as_bytes() / 100 * percent);

    let mut first = turn(&gate, "first", part(55));
    let reservation = reserved(&mut first)?;
    println!("  a job of {} is admitted", part(55));
    let mut second = turn(&gate, "second", part(60));
    match second.ask()? {
        Answer::Wait(why) => println!("  another of {} waits: {why}", part(60)),
        other => bail!(
            "a second job of {} should wait, not {}",
            part(60),
            told(&other)
        ),
    }
    show("deciding that it waits", times, || second.ask().is_ok());
    reservation.withdraw()?;
    let reservation = reserved(&mut second).context("after the first job was given up")?;
    println!("  it is admitted once the first is given up");
    let larger = ByteSize::bytes(memory.total.as_bytes() * 2);
    match turn(&gate, "third", larger).ask()? {
        Answer::Never(why) => println!("  one of {larger} is refused: {why}"),
        other => bail!("a job of {larger} should be refused, not {}", told(&other)),
    }
    Ok(reservation.withdraw()?)
}

/// The card as it is at the moment of a decision.
#[derive(Debug)]
struct View {
    probe: Arc<NvmlProbe>,
    uuid: DeviceUuid,
    host: Mutex<HostProbe>,
}

impl Sight for View {
    fn look(&self) -> Seen {
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        Seen {
            device: Some(self.probe.reading(&self.uuid)),
            host: Some(host.read()),
            backends: Vec::new(),
            ram_held: BTreeMap::new(),
        }
    }
}

/// A job that needs that much at its peak, of a backend of that name: the jobs of one backend run one after the other, and
/// together need no more than the largest of them.
fn turn(gate: &Arc<Gate>, backend: &str, peak: ByteSize) -> Turn {
    let memory = DeviceMemory {
        load: peak,
        peak,
        spike: peak,
    };
    let work = Work {
        job: JobId::generate(),
        take: Take::FIRST,
        attempt: Attempt::FIRST,
        backend: BackendId(backend.to_owned()),
        kind: BackendKind::Replacing,
        profile: "gpu-check".parse().expect("it is a name"),
        class: Class::Video,
        precedence: Precedence::of(Class::Video, BootTime::default(), Aging::default()),
        memory,
        ram: ByteSize::ZERO,
        pinned: false,
        reload: Duration::ZERO,
        limit: Duration::from_secs(60),
    };
    let need = Need::Device {
        memory,
        ram: ByteSize::ZERO,
        growth: Growth::default(),
    };
    gate.turn(work, need)
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Reserved(_) => "begin".to_owned(),
        Answer::Wait(why) => format!("wait: {why}"),
        Answer::Never(why) => format!("be refused: {why}"),
        Answer::Evict { why, .. } => format!("put others out: {why}"),
    }
}

fn reserved(turn: &mut Turn) -> Result<Reservation> {
    match turn.ask()? {
        Answer::Reserved(reservation) => Ok(reservation),
        other => bail!("a job that fits should be admitted, not {}", told(&other)),
    }
}
