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
    /// The request's own backend is among those that unload.
    pub(super) own: bool,
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
    own: bool,
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
    let (old, young): (Vec<_>, Vec<_>) =
        idle.partition(|candidate| residency_left(candidate.booked, request, policy).is_zero());
    match cheapest(old, deficit) {
        Some(plan) => Search::Found(plan),
        None => match young
            .iter()
            .map(|candidate| candidate.booked)
            .min_by_key(|booked| residency_left(booked, request, policy))
        {
            Some(booked) => Search::Young(
                booked.entry.work.profile.clone(),
                residency_left(booked, request, policy),
            ),
            None => Search::Short,
        },
    }
}

/// Everything idle of ours that may leave, if some of it holds what the books do not tell; otherwise nothing, since then
/// leaving was already seen not to help.
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
    if !idle.iter().any(untold) {
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
    let own = work.backend == request.backend;
    let replaced = own
        && match backend.kind {
            BackendKind::Replacing => true,
            BackendKind::Stacking => work.profile == request.profile,
        };
    let size = holdings.size_of_model(&work.backend, size);
    let back = size.less(backend.residue);
    let gain = match replaced {
        false => back,
        // What the job may still take is then counted from an empty backend, and what was freed is free. With full knowledge
        // both are the same and nothing is gained; with partial knowledge this is what keeps a job from waiting for its own
        // model.
        true => holdings
            .promised_with(&request.backend, &request.profile, memory.into())
            .plus(back)
            .less(memory.peak.less(backend.residue)),
    };
    (gain > ByteSize::ZERO).then_some(Candidate {
        booked,
        size,
        gain,
        own: replaced,
    })
}

/// The set of least reload time, then of fewest, that gives that much.
fn cheapest(mut candidates: Vec<Candidate<'_>>, deficit: ByteSize) -> Option<Plan> {
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
    Some(Plan {
        own: members(best).any(|candidate| candidate.own),
        victims: members(best).map(victim).collect(),
    })
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
