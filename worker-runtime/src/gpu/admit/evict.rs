//! Which of our idle models to put out, so that a request fits.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::ProfileName;
use shared::profile::DeviceMemory;

use super::amount::{Amount, total};
use super::books::{Backend, Booked, Device};
use super::holdings::Holdings;
use super::policy::Policy;
use super::request::Request;
use super::verdict::{Model, Victim};
use crate::gpu::ledger::{BackendKind, State};

/// Sets of victims are searched one by one, so there must not be too many.
const CANDIDATES: usize = 12;

/// A set of victims.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) victims: Vec<Victim>,
    /// What all may still take, the request included, once they have left.
    pub(super) promised_then: ByteSize,
}

/// What might leave.
#[derive(Debug)]
pub(super) enum Search {
    /// This set.
    Found(Plan),
    /// Not enough, but something will be old enough then.
    Young(ProfileName, Duration),
    /// Not enough.
    Short,
}

struct Candidate<'a> {
    booked: &'a Booked,
    size: ByteSize,
    gain: ByteSize,
}

/// The cheapest set of idle models whose leaving makes up for `deficit`.
///
/// Cheap is what loads again quickly; then what is few. Gains are expected, not certain: nothing is admitted on them, since
/// the request is judged anew after the eviction.
pub(super) fn search(
    request: &Request,
    memory: DeviceMemory,
    deficit: ByteSize,
    device: &Device,
    holdings: &Holdings<'_>,
    entries: &[&Booked],
    policy: &Policy,
) -> Search {
    let idle = entries
        .iter()
        .filter_map(|booked| candidate(request, memory, device, holdings, entries, booked));
    let (mut old, young): (Vec<_>, Vec<_>) =
        idle.partition(|candidate| residency_left(candidate.booked, request, policy).is_zero());
    if let Some(best) = cheapest(&mut old, deficit) {
        let models: Vec<&Booked> = best.iter().map(|candidate| candidate.booked).collect();
        let after = holdings.after_leaving(&models, device);
        return Search::Found(Plan {
            victims: best.into_iter().map(victim).collect(),
            promised_then: after.promised_in_all(&request.backend, &request.profile, memory.into()),
        });
    }
    let first = young
        .iter()
        .map(|candidate| {
            let left = residency_left(candidate.booked, request, policy);
            (left, &candidate.booked.entry.work.profile)
        })
        .min();
    first.map_or(Search::Short, |(left, profile)| {
        Search::Young(profile.clone(), left)
    })
}

/// Everything idle of ours that may leave, if some of it may hold what the books do not tell, or if less came back than they
/// told; otherwise nothing, since it was already seen not to be enough.
pub(super) fn everything(
    request: &Request,
    device: &Device,
    holdings: &Holdings<'_>,
    entries: &[&Booked],
    policy: &Policy,
) -> Vec<Victim> {
    let on = |backend: &Backend| {
        let id = backend.id.clone();
        entries
            .iter()
            .filter(move |booked| booked.entry.work.backend == id)
    };
    let may_leave = |backend: &&Backend| {
        let free_to = on(backend).all(|booked| {
            !booked.entry.work.pinned && residency_left(booked, request, policy).is_zero()
        });
        free_to && !holdings.is_active(&backend.id)
    };
    let holds = |backend: &Backend| match holdings.is_exact(&backend.id) {
        // Its own memory is no gain to a job: it is counted as held already.
        true => backend.id != request.backend && holdings.held(&backend.id) > backend.residue,
        false => backend.live || on(backend).next().is_some(),
    };
    let untold =
        |backend: &&Backend| !holdings.is_exact(&backend.id) || on(backend).next().is_none();
    let idle: Vec<&Backend> = device
        .backends
        .iter()
        .filter(may_leave)
        .filter(|backend| holds(backend))
        .collect();
    if !request.evictions.failed && !idle.iter().any(untold) {
        return Vec::new();
    }
    let victims = idle.iter().map(|backend| Victim {
        backend: backend.id.clone(),
        model: None,
    });
    victims.collect()
}

/// How long that model must stay yet.
fn residency_left(booked: &Booked, request: &Request, policy: &Policy) -> Duration {
    match request.waited >= policy.aged_after {
        true => Duration::ZERO,
        false => policy.min_residency.saturating_sub(booked.age),
    }
}

/// That entry as something that may leave, with what its leaving would give.
fn candidate<'a>(
    request: &Request,
    memory: DeviceMemory,
    device: &Device,
    holdings: &Holdings<'_>,
    entries: &[&Booked],
    booked: &'a Booked,
) -> Option<Candidate<'a>> {
    let State::Resident { size, .. } = booked.entry.state else {
        return None;
    };
    let work = &booked.entry.work;
    let backend = device.backends.iter().find(|it| it.id == work.backend)?;
    let busy = match backend.kind {
        BackendKind::Replacing => holdings.is_active(&work.backend),
        BackendKind::Stacking => entries.iter().any(|other| {
            other.is_active()
                && other.entry.work.backend == work.backend
                && other.entry.work.profile == work.profile
        }),
    };
    if work.pinned || busy {
        return None;
    }
    let size = holdings.size_of_model(&work.backend, size);
    let back = size.less(backend.residue);
    // What is freed, and what all may still take before and after. A job whose own model leaves will take that much more:
    // with full knowledge nothing is gained; with partial knowledge this is what keeps it from waiting for its own model.
    let promised = |holdings: &Holdings<'_>| {
        holdings.promised_in_all(&request.backend, &request.profile, memory.into())
    };
    let after = holdings.after_leaving(&[booked], device);
    let gain = promised(holdings).plus(back).less(promised(&after));
    (gain > ByteSize::ZERO).then_some(Candidate { booked, size, gain })
}

/// The set of least reload time, then of fewest, that gives that much.
fn cheapest<'a, 'b>(
    candidates: &'b mut Vec<Candidate<'a>>,
    deficit: ByteSize,
) -> Option<Vec<&'b Candidate<'a>>> {
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.gain));
    candidates.truncate(CANDIDATES);
    let sets = 1_u32..(1 << candidates.len());
    let members = |set: u32| {
        candidates
            .iter()
            .enumerate()
            .filter(move |(place, _)| set & (1 << place) != 0)
            .map(|(_, candidate)| candidate)
    };
    let enough = sets.filter(|set| total(members(*set).map(|candidate| candidate.gain)) >= deficit);
    let best = enough.min_by_key(|set| {
        let reload: Duration = members(*set)
            .map(|candidate| candidate.booked.entry.work.reload)
            .fold(Duration::ZERO, Duration::saturating_add);
        (reload, set.count_ones())
    })?;
    Some(members(best).collect())
}

fn victim(candidate: &Candidate<'_>) -> Victim {
    let entry = &candidate.booked.entry;
    Victim {
        backend: entry.work.backend.clone(),
        model: Some(Model {
            entry: entry.id.clone(),
            profile: entry.work.profile.clone(),
            size: candidate.size,
        }),
    }
}
