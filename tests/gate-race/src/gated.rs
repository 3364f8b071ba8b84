//! The strategy of the product: the gate, its ledger and its probe, as every worker uses them.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use shared::byte_size::ByteSize;
use shared::ids::{Attempt, BootId, Take};
use shared::profile::DeviceMemory;
use simulated_gpu::Client;
use worker_runtime::gpu::admit::{Growth, Need, Policy, Victim};
use worker_runtime::gpu::gate::{Answer, BackendSays, Gate, Reservation, Turn};
use worker_runtime::gpu::ledger::{
    Aging, BackendId, BackendKind, BootTime, Class, Ledger, Owner, Precedence, Work,
};
use worker_runtime::gpu::reading::DeviceUuid;

use crate::backends::named;
use crate::plan::{CONTEXT, Planned};
use crate::report::Report;
use crate::sight::View;
use crate::worker::{Orders, run};

/// Nobody passes a job that has waited this long: a few times as long as a job takes.
const PASSING_UNTIL: Duration = Duration::from_millis(500);
/// How often the backends of dead workers are asked how they are. A product does so every second, with jobs of minutes.
const LOOKS_AFTER: Duration = Duration::from_millis(200);
/// What was asked to leave is asked once more, and then it is given up.
const LEAVES_WITHIN: Duration = Duration::from_millis(300);

/// The gate of one worker.
pub(crate) struct Gated {
    gate: Arc<Gate>,
    view: Arc<View>,
    attempt: Attempt,
}

impl Gated {
    pub(crate) fn new(orders: &Orders) -> Result<Self> {
        let view = Arc::new(View::new(orders)?);
        let owner = Owner {
            worker: format!("worker-{}", orders.worker).parse()?,
            boot: boot(orders.worker, orders.life),
        };
        let device = DeviceUuid(orders.device.clone());
        let ledger = Ledger::open(&orders.ledger, Some(&device), owner)?;
        let policy = Policy {
            passing_until: PASSING_UNTIL,
            ..Policy::default()
        };
        let gate = Gate::new(ledger, policy, Aging::default(), Arc::clone(&view) as _);
        let looked_after = Arc::clone(&gate);
        thread::spawn(move || {
            loop {
                thread::sleep(LOOKS_AFTER);
                if let Err(error) = look_after(&looked_after) {
                    panic!("the books cannot be kept: {error}");
                }
            }
        });
        Ok(Self {
            gate,
            view,
            attempt: Attempt::new(orders.life + 1),
        })
    }

    /// Waits until that job may begin, and has it done; whether it is, or none if it was not to wait any longer.
    pub(crate) fn run(
        &self,
        job: &Planned,
        backend: Client,
        may_wait: impl FnMut() -> bool,
    ) -> Result<Option<bool>> {
        let Some(reservation) = self.wait(job, may_wait)? else {
            Report::Waited { admitted: false }.tell();
            return Ok(None);
        };
        Report::Waited { admitted: true }.tell();
        let done = run(job, backend)?;
        let keeps = match done && job.stays {
            true => plus(job.load, CONTEXT),
            false => CONTEXT,
        };
        reservation.finish(keeps, None)?;
        Ok(Some(done))
    }

    fn wait(
        &self,
        job: &Planned,
        mut may_wait: impl FnMut() -> bool,
    ) -> Result<Option<Reservation>> {
        let mut turn = self.turn(job);
        loop {
            let answer = turn.ask()?;
            Report::Decided {
                held: self.gate.last_decision(),
                looked: self.view.took(),
            }
            .tell();
            match answer {
                Answer::Reserved(reservation) => return Ok(Some(reservation)),
                Answer::Evict {
                    victims,
                    target_free,
                    ..
                } => {
                    let reached = self.evict(&victims, target_free);
                    turn.evicted(&victims, reached)?;
                }
                Answer::Wait(_) if may_wait() => {}
                Answer::Wait(_) => return Ok(None),
                Answer::Never(verdict) => bail!("a job of the race never fits: {verdict}"),
            }
        }
    }

    fn turn(&self, job: &Planned) -> Turn {
        let memory = DeviceMemory {
            load: plus(job.load, CONTEXT),
            peak: plus(job.peak, CONTEXT),
            // These backends drop the old model before they load the next one.
            spike: plus(job.peak, CONTEXT),
        };
        let profile = format!("of-{}-gib", job.peak.as_bytes() >> 30);
        let class = Class::Video;
        let work = Work {
            job: job.id,
            take: Take::FIRST,
            attempt: self.attempt,
            backend: self.view.backend().id.clone(),
            kind: BackendKind::Replacing,
            profile: profile.parse().expect("a name"),
            class,
            precedence: Precedence::of(class, BootTime::default(), Aging::default()),
            memory,
            ram: ByteSize::ZERO,
            pinned: false,
            reload: Duration::from_millis(60),
            limit: Duration::from_secs(60),
        };
        let need = Need::Device {
            memory,
            ram: ByteSize::ZERO,
            growth: Growth::default(),
        };
        self.gate.turn(work, need)
    }

    /// Asks the victims to unload, and waits until as much is free as should be then.
    fn evict(&self, victims: &[Victim], target_free: ByteSize) -> bool {
        for _ in 0..2 {
            for victim in victims {
                if let Some(backend) = named(&victim.backend) {
                    // A backend that is gone holds nothing.
                    let _ = backend.unload(None);
                }
            }
            let asked = Instant::now();
            while asked.elapsed() < LEAVES_WITHIN {
                if self.view.free_now().is_some_and(|free| free >= target_free) {
                    return true;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        false
    }
}

/// Asks the backends of dead workers how they are, and brings the books up to date with that.
fn look_after(gate: &Gate) -> Result<()> {
    let page = gate.page()?;
    let mut said: Vec<(BackendId, BackendSays)> = Vec::new();
    for booked in page.entries.iter().filter(|booked| booked.orphaned) {
        let id = &booked.entry.work.backend;
        if said.iter().all(|(known, _)| known != id)
            && let Some(backend) = named(id)
        {
            said.push((id.clone(), ask(backend)));
        }
    }
    gate.look_after(&said)?;
    Ok(())
}

fn ask(backend: Client) -> BackendSays {
    match backend.state() {
        Ok(state) if state.is_idle() => BackendSays::Idle,
        Ok(_) => BackendSays::Busy,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => BackendSays::Gone,
        Err(_) => BackendSays::Silent { quiet: false },
    }
}

/// The name of that life of that worker.
pub(crate) fn boot(worker: u32, life: u32) -> BootId {
    BootId::from_u128((u128::from(worker) << 32) | u128::from(life))
}

fn plus(one: ByteSize, other: ByteSize) -> ByteSize {
    ByteSize::bytes(one.as_bytes() + other.as_bytes())
}
