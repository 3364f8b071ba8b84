//! The decision when nothing tells who holds what: one job at a time on the device, judged by how far free memory fell during
//! jobs like it.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use shared::byte_size::ByteSize;
use shared::profile::DeviceMemory;

use super::amount::Amount;
use super::books::{Booked, Device};
use super::evict;
use super::ground::Ground;
use super::holdings::{Holdings, foreigners, held_by};
use super::policy::Policy;
use super::request::{Growth, Request};
use super::verdict::{Shortfall, Verdict, Waits};
use crate::gpu::ledger::State;

/// Whether nothing at all tells what our backends on this device hold.
pub(super) fn applies(device: &Device) -> bool {
    let nothing_known = device
        .backends
        .iter()
        .all(|backend| held_by(backend, device.reading.as_ref()).is_none());
    nothing_known && !device.backends.is_empty()
}

/// The verdict by growth.
pub(super) fn judge(
    request: &Request,
    (memory, growth): (DeviceMemory, Growth),
    ground: &Ground<'_>,
    device: &Device,
    holdings: &Holdings<'_>,
    entries: &[&Booked],
    policy: &Policy,
) -> Verdict {
    // Declared, the peak: `spike` is for two jobs of one backend, and here there is never a second one.
    let cold = growth.cold.unwrap_or(memory.peak);
    let grows = warm(request, (memory, growth), ground.free, entries, policy).unwrap_or(cold);
    let need = ground.margin.plus(grows);
    let short = |need: ByteSize| {
        Box::new(Shortfall {
            need,
            margin: ground.margin,
            free: ground.free,
            missing: need.less(ground.free),
            promised: holdings.promises(),
            foreign: foreigners(device),
            blind: true,
        })
    };
    if entries.iter().any(|booked| booked.is_active()) {
        let reason = Waits::Promised(short(need));
        return Verdict::Wait { reason };
    }
    if need <= ground.free {
        return Verdict::Admit {
            ceiling: memory.peak,
            threads: None,
        };
    }
    let target_free = ground.margin.plus(cold);
    let short = short(need);
    if request.evictions.plans < policy.eviction_plans && !request.evictions.swept {
        let victims = evict::everything(request, device, holdings, entries, policy);
        if !victims.is_empty() {
            return Verdict::EvictFirst {
                victims,
                target_free,
                short,
            };
        }
    }
    Verdict::Wait {
        reason: Waits::Foreign(short),
    }
}

/// How much more such a job takes on its loaded model, if that is loaded and if it was measured there: a job that did not run
/// to its end may have left half a model.
fn warm(
    request: &Request,
    (memory, growth): (DeviceMemory, Growth),
    free: ByteSize,
    entries: &[&Booked],
    policy: &Policy,
) -> Option<ByteSize> {
    let last = entries
        .iter()
        .filter(|booked| booked.entry.work.backend == request.backend)
        .min_by_key(|booked| booked.age)?;
    let State::Resident {
        free_then,
        grew: Some(grew),
        ..
    } = last.entry.state
    else {
        return None;
    };
    let still_there = free.plus(policy.warm_tolerance) >= free_then;
    let warm = last.entry.work.profile == request.profile && still_there;
    // Others who took memory while the job settled make its growth look small: it is never less than what is declared.
    let declared = memory.peak.less(memory.load);
    warm.then(|| growth.warm.unwrap_or_default().max(grew).max(declared))
}
