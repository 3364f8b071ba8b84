//! Whether a job fits a card now, after something idle has left, later, or never. Pure.
//!
//! The one formula, where something tells what our backends hold: **admit if free memory is at least the margin and all that
//! anybody was promised and has not taken yet, the new job included.** Memory that was promised is still free to the eye, and
//! what our own warm model holds is not; comparing free memory with a job's need is wrong both ways.
//!
//! Why it is right. Let `A` be what a backend truly holds, `H <= A` what is known of that, `C` the most that its jobs may make
//! it hold, `X` what others hold. All memory is `free + X + sum(A)`. A backend with a job may still take
//! `max(0, C - A) <= max(0, C - H)`, one without takes nothing. So if `free >= margin + sum(max(0, C - H))` then
//! `X + margin + sum(max(A, C))` is no more than all memory: everybody can take what was promised, while others take no more
//! than the margin. Knowing less of `H` only makes the promise larger. It rests on decisions being taken one at a time, and
//! written down before the next.
//!
//! And nobody waits for itself: with its model known, a job asks for its growth alone; with less known, what is idle is put
//! out (`evict`), its own model included, after which it fits if it fits at all.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

pub(crate) mod amount;
mod blind;
mod books;
mod evict;
mod explain;
mod ground;
mod holdings;
mod host;
mod policy;
mod request;
mod verdict;

#[cfg(test)]
pub(crate) mod tests;

use shared::byte_size::ByteSize;
use shared::profile::DeviceMemory;

use self::amount::Amount;
pub use self::books::{Backend, Booked, Books, Device, Waiting};
use self::evict::Search;
use self::ground::Ground;
pub(crate) use self::holdings::held_by;
use self::holdings::{Holdings, counted, foreigners};
pub use self::policy::Policy;
pub use self::request::{Evictions, Growth, Need, Request};
pub use self::verdict::{
    Foreign, Impossible, Model, NeverFits, Promise, Shortfall, Verdict, Victim, Waits,
};
use crate::gpu::reading::HostReading;

/// Whether that request may begin.
pub fn admit(
    request: &Request,
    device: &Device,
    host: Option<&HostReading>,
    books: &Books,
    policy: &Policy,
) -> Verdict {
    let decided = match request.need {
        Need::Unknown => Err(Waits::NeedUnknown),
        Need::Host { ram, busy } => on_host(request, (ram, busy), device, host, books, policy),
        Need::Device {
            memory,
            ram,
            growth,
        } => on_device(request, memory, ram, growth, device, host, books, policy),
    };
    decided.unwrap_or_else(|reason| Verdict::Wait { reason })
}

/// Work that needs no device.
fn on_host(
    request: &Request,
    (ram, busy): (ByteSize, bool),
    device: &Device,
    host: Option<&HostReading>,
    books: &Books,
    policy: &Policy,
) -> Result<Verdict, Waits> {
    if let Some(reason) = host::never(ram, host, policy) {
        return Ok(Verdict::Never { reason });
    }
    readable(books)?;
    host::has_memory(request, ram, device, host, books, policy)?;
    let threads = match busy {
        true => host::threads(request, host, books, policy)?,
        false => None,
    };
    Ok(Verdict::Admit {
        ceiling: ByteSize::ZERO,
        threads,
    })
}

/// Work on the device.
#[expect(
    clippy::too_many_arguments,
    reason = "a pure function names all it goes by"
)]
fn on_device(
    request: &Request,
    memory: DeviceMemory,
    ram: ByteSize,
    growth: Growth,
    device: &Device,
    host: Option<&HostReading>,
    books: &Books,
    policy: &Policy,
) -> Result<Verdict, Waits> {
    let ground = Ground::of(device.reading.as_ref(), policy)?;
    // With what others may take meanwhile it would depend on what was learned last; never is for ever.
    let least = memory.peak.plus(ground.floor);
    if least > ground.usable {
        let reason = NeverFits::Device {
            need: least,
            usable: ground.usable,
        };
        return Ok(Verdict::Never { reason });
    }
    if let Some(reason) = host::never(ram, host, policy) {
        return Ok(Verdict::Never { reason });
    }
    ground.is_fit(books.lowered, policy)?;
    readable(books)?;
    may_pass(books, policy)?;
    host::has_memory(request, ram, device, host, books, policy)?;

    let entries = counted(&books.entries, request);
    let holdings = Holdings::of_device(device, &entries);
    let verdict = if blind::applies(device) {
        let asked = (memory, growth);
        blind::judge(request, asked, &ground, device, &holdings, &entries, policy)
    } else {
        by_formula(
            request, memory, &ground, device, &holdings, &entries, policy,
        )
    };
    match (&verdict, books.ahead.first()) {
        // Only the head of the queue puts others out.
        (Verdict::EvictFirst { .. }, Some(_)) => Err(behind(books)),
        (
            Verdict::Admit { .. }
            | Verdict::EvictFirst { .. }
            | Verdict::Wait { .. }
            | Verdict::Never { .. },
            _,
        ) => Ok(verdict),
    }
}

/// What cannot be read may promise anything.
fn readable(books: &Books) -> Result<(), Waits> {
    match books.unreadable.is_empty() {
        true => Ok(()),
        false => Err(Waits::BooksUnreadable(books.unreadable.clone())),
    }
}

/// Whether the request may go before those who are first, should it fit: only from the first places, and only until the head
/// has waited long enough, or a large job would never find room among small ones.
fn may_pass(books: &Books, policy: &Policy) -> Result<(), Waits> {
    match books.ahead.first() {
        Some(head)
            if books.ahead.len() >= policy.passing_places
                || head.waited >= policy.passing_until =>
        {
            Err(behind(books))
        }
        Some(_) | None => Ok(()),
    }
}

fn behind(books: &Books) -> Waits {
    let head = books.ahead.first().expect("somebody is ahead");
    Waits::Behind {
        ahead: books.ahead.len(),
        head: head.job,
        head_waited: head.waited,
    }
}

/// The verdict by the formula.
fn by_formula(
    request: &Request,
    memory: DeviceMemory,
    ground: &Ground<'_>,
    device: &Device,
    holdings: &Holdings<'_>,
    entries: &[&Booked],
    policy: &Policy,
) -> Verdict {
    let ask = memory.into();
    let own = holdings.promised_with(&request.backend, &request.profile, ask);
    let others = holdings.promised_beside(&request.backend);
    let wanted = ground.margin.plus(others).plus(own);
    if wanted <= ground.free {
        return Verdict::Admit {
            ceiling: holdings.ceiling(&request.backend, Some((&request.profile, ask))),
            threads: None,
        };
    }
    let deficit = wanted.less(ground.free);
    let short = Box::new(Shortfall {
        need: ground.margin.plus(own),
        margin: ground.margin,
        free: ground.free,
        missing: deficit,
        promised: holdings.promises(),
        foreign: foreigners(device),
        blind: false,
    });
    let tried = request.evictions;
    let may_evict = tried.plans < policy.eviction_plans;
    // Once, all of ours that is idle: we may not know all that it holds, or what the books tell of it may not be true.
    let sweep = || {
        let victims = match may_evict && !tried.swept {
            true => evict::everything(request, device, holdings, entries, policy),
            false => Vec::new(),
        };
        let own_then = memory.peak.less(device.residue(&request.backend));
        (!victims.is_empty()).then(|| Verdict::EvictFirst {
            victims,
            target_free: ground.margin.plus(others).plus(own_then),
            short: short.clone(),
        })
    };
    if tried.failed
        && let Some(verdict) = sweep()
    {
        return verdict;
    }
    let found = evict::search(request, memory, deficit, device, holdings, entries, policy);
    let ours_runs = entries.iter().any(|booked| booked.is_active());
    match found {
        Search::Found(plan) if may_evict => Verdict::EvictFirst {
            victims: plan.victims,
            target_free: ground.margin.plus(plan.promised_then),
            short,
        },
        Search::Found(_) => waits(Waits::ReclaimFailed(short)),
        Search::Young(..) | Search::Short if ours_runs => waits(Waits::Promised(short)),
        Search::Young(profile, left) => waits(Waits::TooYoung {
            short,
            profile,
            left,
        }),
        Search::Short => sweep().unwrap_or_else(|| waits(Waits::Foreign(short))),
    }
}

fn waits(reason: Waits) -> Verdict {
    Verdict::Wait { reason }
}
