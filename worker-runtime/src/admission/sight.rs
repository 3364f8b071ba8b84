//! What the gate sees: the card by its sampler, the host, and what this worker's backends say of themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shared::byte_size::ByteSize;
use tokio::runtime::Handle;

use super::lock;
use crate::backend::Backend;
use crate::gpu::admit;
use crate::gpu::gate::{Seen, Sight};
use crate::gpu::ledger::BackendId;
use crate::gpu::probe::host::HostSource;
use crate::gpu::probe::sampler::{Often, Sample, Sampler};
use crate::gpu::reading::{DeviceReading, Holders};
use crate::serving::lives;

/// A decision waits no longer for a reading.
const DEADLINE: Duration = Duration::from_millis(500);
/// Free memory that has moved by no more than this tells that the same processes hold the same.
const STILL: ByteSize = ByteSize::mib(16);
/// After this long, who holds what is asked anew though nothing moves.
const HOLDERS_KEEP: Duration = Duration::from_secs(30);
/// The same where it is not known: a server is known to serve a moment before it holds anything.
const DOUBT_KEEPS: Duration = Duration::from_secs(2);

/// What the gate of one worker sees.
pub(super) struct CardSight {
    sampler: Sampler,
    backends: Vec<(BackendId, Arc<dyn Backend>)>,
    runtime: Handle,
    host: Arc<dyn HostSource>,
    /// The last reading with who holds what, and when it was asked for.
    full: Mutex<Option<(DeviceReading, Instant)>>,
}

impl CardSight {
    pub(super) fn new(
        sampler: Sampler,
        host: Arc<dyn HostSource>,
        backends: Vec<(BackendId, Arc<dyn Backend>)>,
        runtime: Handle,
    ) -> Self {
        // Several backends may be one server: any of them can speak for it.
        let mut servers: Vec<(BackendId, Arc<dyn Backend>)> = Vec::new();
        for (id, backend) in backends {
            if servers.iter().all(|(known, _)| *known != id) {
                servers.push((id, backend));
            }
        }
        Self {
            sampler,
            backends: servers,
            runtime,
            host,
            full: Mutex::default(),
        }
    }

    /// The latest sample of the card's memory, to be watched.
    pub(super) fn samples(&self) -> tokio::sync::watch::Receiver<Option<Sample>> {
        self.sampler.latest()
    }

    /// The card is read often as long as the answer lives.
    pub(super) fn often(&self) -> Often {
        self.sampler.often()
    }

    /// What is free, if that was read lately.
    pub(super) fn free(&self) -> Option<ByteSize> {
        let sample = self.sampler.latest().borrow().clone()?;
        let memory = sample.memory.ok()?;
        (sample.asked_at.elapsed() < DEADLINE).then_some(memory.free)
    }

    /// What is free at this moment, if the card answers.
    pub(super) async fn free_now(&self) -> Option<ByteSize> {
        let sample = self.sampler.sample(DEADLINE).await?;
        sample.memory.ok().map(|memory| memory.free)
    }

    /// The backends and what they are called.
    pub(super) fn backends(&self) -> &[(BackendId, Arc<dyn Backend>)] {
        &self.backends
    }

    fn read(&self) -> Option<DeviceReading> {
        let began = Instant::now();
        let mut reading = self.runtime.block_on(self.sampler.reading(DEADLINE));
        if let Some(reading) = &mut reading {
            for (id, backend) in &self.backends {
                // Only a server that holds memory must be on the list. One that has ended holds none, whatever it was last known to.
                if !backend.residents().is_empty() {
                    let mut pids = backend.on_card().pids;
                    pids.retain(|pid| lives(*pid));
                    doubt(reading, id, &pids);
                }
            }
        }
        let mut full = lock(&self.full);
        match reading {
            Some(reading) => {
                *full = Some((reading.clone(), began));
                Some(reading)
            }
            // The last one, with its age: it tells why nothing is admitted.
            None => full.as_ref().map(|(last, at)| DeviceReading {
                age: last.age.max(at.elapsed()),
                ..last.clone()
            }),
        }
    }

    /// The last reading, with the memory as it is now, if that tells the same.
    fn refreshed(&self) -> Option<DeviceReading> {
        let (last, at) = lock(&self.full).clone()?;
        let sample = self.runtime.block_on(self.sampler.sample(DEADLINE))?;
        let memory = sample.memory.ok()?;
        let moved = memory.free.as_bytes().abs_diff(last.free.as_bytes());
        let keep = match last.holders {
            Holders::Known(_) => HOLDERS_KEEP,
            Holders::Unknown(_) => DOUBT_KEEPS,
        };
        let serves = moved <= STILL.as_bytes() && at.elapsed() < keep;
        serves.then(|| DeviceReading {
            total: memory.total,
            reserved: memory.reserved,
            used: memory.used,
            free: memory.free,
            age: sample.asked_at.elapsed(),
            ..last
        })
    }

    fn seen(&self, device: Option<DeviceReading>) -> Seen {
        Seen {
            device,
            host: self.host.read(),
            backends: self.backends.iter().map(as_used).collect(),
            ram_held: BTreeMap::new(),
        }
    }
}

/// How a backend uses the card, as far as it knows without asking anybody.
pub(super) fn as_used((id, backend): &(BackendId, Arc<dyn Backend>)) -> admit::Backend {
    let on_card = backend.on_card();
    admit::Backend {
        id: id.clone(),
        kind: on_card.kind,
        pids: on_card.pids,
        live: true,
        reported: on_card.reported,
        residue: on_card.residue,
    }
}

impl Sight for CardSight {
    fn look(&self) -> Seen {
        self.seen(self.read())
    }

    fn glance(&self) -> Seen {
        self.seen(self.refreshed().or_else(|| self.read()))
    }
}

/// Believes nobody's figures if a server that serves us from there is not among the holders with any of its processes.
fn doubt(reading: &mut DeviceReading, id: &BackendId, pids: &[u32]) {
    if let Holders::Known(holders) = &reading.holders
        && !pids.is_empty()
        && !holders.iter().any(|holder| pids.contains(&holder.pid))
    {
        let why = format!("{id} serves us from this device, but none of its processes is listed");
        reading.holders = Holders::Unknown(why);
    }
}

impl fmt::Debug for CardSight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CardSight")
            .field("backends", &self.backends)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::reading::{DeviceUuid, Health, Holder};

    #[test]
    fn of_a_server_with_several_processes_one_must_be_among_the_holders() {
        let reading = |pids: &[u32]| DeviceReading {
            uuid: DeviceUuid("GPU-1".to_owned()),
            name: "Card".to_owned(),
            total: ByteSize::gib(24),
            reserved: ByteSize::ZERO,
            used: ByteSize::gib(10),
            free: ByteSize::gib(14),
            holders: Holders::Known(
                pids.iter()
                    .map(|pid| Holder {
                        pid: *pid,
                        program: None,
                        used: ByteSize::gib(10),
                    })
                    .collect(),
            ),
            health: Health::Well,
            age: Duration::ZERO,
        };
        let id = BackendId("ollama@127.0.0.1:11434".to_owned());
        for (holders, server, believed) in [
            (&[42][..], &[41, 42][..], true),
            (&[7], &[41, 42], false),
            (&[], &[41, 42], false),
            // Nobody knows its processes: nothing speaks against the list.
            (&[7], &[], true),
        ] {
            let mut seen = reading(holders);
            doubt(&mut seen, &id, server);
            let is_believed = matches!(seen.holders, Holders::Known(_));
            assert_eq!(is_believed, believed, "{holders:?} {server:?}");
        }
    }
}
