//! The host's side of the decision: memory and processors.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use shared::byte_size::ByteSize;

use super::amount::Amount;
use super::books::{Booked, Books, Device};
use super::holdings::{Ask, Holdings, counted};
use super::policy::Policy;
use super::request::Request;
use super::verdict::{Impossible, NeverFits, Waits};
use crate::gpu::ledger::{Class, State};
use crate::gpu::reading::HostReading;

/// Whether the host's memory suffices for that much more. Who needs none is not asked to leave a margin either.
pub(super) fn has_memory(
    request: &Request,
    ram: ByteSize,
    device: &Device,
    host: Option<&HostReading>,
    books: &Books,
    policy: &Policy,
) -> Result<(), Waits> {
    if ram == ByteSize::ZERO {
        return Ok(());
    }
    let host = host.ok_or(Waits::NoHostReading)?;
    let (available, all) = (host.ram_available, host.ram_total);
    if all == ByteSize::ZERO {
        return Err(Waits::ImpossibleReading(Impossible::NoMemory));
    }
    if available > all {
        let total = all;
        let what = Impossible::RamAboveTotal { available, total };
        return Err(Waits::ImpossibleReading(what));
    }
    if host.age > policy.host_limit {
        let (age, limit) = (host.age, policy.host_limit);
        return Err(Waits::StaleReading { age, limit });
    }
    let mut entries = counted(&books.entries, request);
    entries.extend(counted(&books.elsewhere, request));
    let holdings = Holdings::of_host(device, &books.ram_held, &entries);
    let ask = Ask {
        peak: ram,
        spike: ram,
    };
    let own =
        if is_resident(request, &books.entries) && !books.ram_held.contains_key(&request.backend) {
            // Its model is loaded, so it is not available any more: only what the margin covers is still to come.
            holdings.promised(&request.backend)
        } else {
            holdings.promised_with(&request.backend, &request.profile, ask)
        };
    let promised = holdings.promised_beside(&request.backend);
    let need = own.plus(policy.ram_margin);
    if need.plus(promised) > available {
        return Err(Waits::Ram {
            need,
            available,
            promised,
        });
    }
    Ok(())
}

/// Whether the host could ever have that much.
pub(super) fn never(
    ram: ByteSize,
    host: Option<&HostReading>,
    policy: &Policy,
) -> Option<NeverFits> {
    let total = host?.ram_total;
    let need = ram.plus(policy.ram_margin);
    (ram > ByteSize::ZERO && total > ByteSize::ZERO && need > total)
        .then_some(NeverFits::Host { need, total })
}

/// How many threads work without a device should keep to; nothing said: as many as it likes.
pub(super) fn threads(
    request: &Request,
    host: Option<&HostReading>,
    books: &Books,
    policy: &Policy,
) -> Result<Option<u32>, Waits> {
    let host = host.ok_or(Waits::NoHostReading)?;
    if let Some(idle) = host.cpu_idle
        && !(0.0..=1.0).contains(&idle)
    {
        return Err(Waits::ImpossibleReading(Impossible::IdleShare(idle)));
    }
    if !video_runs(request, books) {
        return Ok(None);
    }
    let rested = host.cpu_idle.is_some_and(|idle| idle >= policy.cpu_idle);
    if !rested && request.waited < policy.aged_after {
        return Err(Waits::Processors {
            idle: host.cpu_idle,
            wanted: policy.cpu_idle,
        });
    }
    Ok(Some(host.cores.saturating_sub(policy.cores_left).max(1)))
}

fn is_resident(request: &Request, entries: &[Booked]) -> bool {
    entries.iter().any(|booked| {
        let of_it = booked.entry.work.backend == request.backend
            && booked.entry.work.profile == request.profile;
        of_it && !booked.is_active()
    })
}

/// Whether a job on a device makes pictures now, anywhere on this host.
fn video_runs(request: &Request, books: &Books) -> bool {
    let all = books.entries.iter().chain(&books.elsewhere);
    all.filter(|booked| booked.entry.work.job != request.job)
        .any(|booked| {
            let video = booked.entry.work.class == Class::Video
                && booked.entry.work.memory.peak > ByteSize::ZERO;
            video && matches!(booked.entry.state, State::Job)
        })
}
