//! The card as the coordinator and people are told of it. Pure.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::protocol::{AskedToLeave, CardTicket, Device, Holding, Resident};

use crate::gpu::admit::amount::{Amount, total};
use crate::gpu::gate::Survey;
use crate::gpu::ledger::{Asked, BackendId, Entry, State, Ticket};
use crate::gpu::probe::FoundDevice;
use crate::gpu::reading::{DeviceReading, Health, Holder, Holders};

/// The card.
pub(super) fn device(found: &FoundDevice, survey: &Survey) -> Device {
    let reading = survey.seen.device.as_ref();
    let figure = |of: fn(&DeviceReading) -> ByteSize| reading.map_or(ByteSize::ZERO, of);
    let held: Vec<Holding> = match reading.map(|reading| &reading.holders) {
        Some(Holders::Known(holders)) => holders.iter().map(|it| holding(it, survey)).collect(),
        Some(Holders::Unknown(_)) | None => Vec::new(),
    };
    let now = survey.at;
    let ticket = |ticket: &Ticket| CardTicket {
        job: ticket.job,
        profile: ticket.profile.clone(),
        worker: ticket.owner.worker.clone(),
        waited: now.since(ticket.arrived),
        reason: ticket.reason.clone(),
    };
    let asked = |asked: &Asked| AskedToLeave {
        backend: asked.backend.0.clone(),
        profile: asked.profile.clone(),
        by: asked.by,
        ago: now.since(asked.at),
    };
    let promised = promised(survey, &held);
    let mut holders = held;
    holders.sort_by_key(|holding| std::cmp::Reverse(holding.used));
    Device {
        uuid: found.uuid.0.clone(),
        name: found.name.clone(),
        total: figure(|reading| reading.total),
        free: figure(|reading| reading.free),
        used: figure(|reading| reading.used),
        promised,
        age: reading.map_or(Duration::ZERO, |reading| reading.age),
        holders,
        trouble: trouble(survey),
        queue: survey.page.tickets.iter().map(ticket).collect(),
        asked: survey.page.asked.iter().map(asked).collect(),
    }
}

/// The models of the backends that are `ours`, as the books tell of them.
pub(super) fn residents(
    found: &FoundDevice,
    survey: &Survey,
    ours: impl Fn(&BackendId) -> bool,
) -> Vec<Resident> {
    let entries = survey.page.entries.iter().map(|booked| &booked.entry);
    let resident = |entry: &Entry| match entry.state {
        State::Resident { size, .. } if ours(&entry.work.backend) => Some(Resident {
            profile: entry.work.profile.clone(),
            backend: entry.work.backend.0.clone(),
            device: found.uuid.0.clone(),
            size: Some(size),
        }),
        State::Resident { .. } | State::Claim { .. } | State::Job | State::Settling { .. } => None,
    };
    entries.filter_map(resident).collect()
}

/// What that backend holds, and what processes hold that are none of ours; nothing where it is not known.
pub(super) fn split(survey: &Survey, backend: &BackendId) -> (Option<ByteSize>, Option<ByteSize>) {
    let Some(Holders::Known(holders)) = survey.seen.device.as_ref().map(|it| &it.holders) else {
        return (None, None);
    };
    let all: Vec<Holding> = holders.iter().map(|it| holding(it, survey)).collect();
    let own = survey.seen.backends.iter().find(|it| it.id == *backend);
    // Nobody knows what a backend holds whose processes are not known, nor who those are that are left then.
    let Some(_) = own.filter(|it| !it.pids.is_empty()) else {
        return (None, None);
    };
    let of_it = |it: &&Holding| it.ours && it.program.as_deref() == Some(&backend.0);
    let foreign = |it: &&Holding| !it.ours;
    (
        Some(total(all.iter().filter(of_it).map(|it| it.used))),
        Some(total(all.iter().filter(foreign).map(|it| it.used))),
    )
}

fn holding(holder: &Holder, survey: &Survey) -> Holding {
    let notes = survey.page.backends.iter().map(|it| (&it.id, &it.pids));
    let own = survey.seen.backends.iter().map(|it| (&it.id, &it.pids));
    let backend = own
        .chain(notes)
        .find(|(_, pids)| pids.contains(&holder.pid))
        .map(|(id, _)| id.0.clone());
    Holding {
        ours: backend.is_some(),
        program: backend.or_else(|| holder.program.clone()),
        pid: holder.pid,
        used: holder.used,
    }
}

/// What backends with jobs may still take: the largest of what their jobs may hold, less what they hold.
fn promised(survey: &Survey, holders: &[Holding]) -> ByteSize {
    let active = survey.page.entries.iter().filter(|it| it.is_active());
    let mut backends: Vec<(&BackendId, ByteSize)> = Vec::new();
    for booked in active {
        let work = &booked.entry.work;
        match backends.iter_mut().find(|(id, _)| **id == work.backend) {
            Some((_, most)) => *most = (*most).max(work.memory.peak),
            None => backends.push((&work.backend, work.memory.peak)),
        }
    }
    total(backends.into_iter().map(|(id, most)| {
        let of_it = |it: &&Holding| it.ours && it.program.as_deref() == Some(&id.0);
        most.less(total(holders.iter().filter(of_it).map(|it| it.used)))
    }))
}

fn trouble(survey: &Survey) -> Option<String> {
    let Some(reading) = &survey.seen.device else {
        return Some("it does not answer".to_owned());
    };
    match (&reading.health, &reading.holders) {
        (Health::Down(why) | Health::Unsettled(why), _) => Some(why.clone()),
        (Health::Well, Holders::Unknown(why)) => {
            Some(format!("it cannot be told who holds it: {why}"))
        }
        (Health::Well, Holders::Known(_)) => None,
    }
}
