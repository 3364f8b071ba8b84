//! Everything about a device at one moment, as far as there is such a thing.
//!
//! The lists of processes are read before *and* after the memory, and of each process the lower figure counts. With the
//! lists only after it, a process that grows in between is credited with memory that the free figure has not lost yet; with
//! the lists only before it, one that shrinks is credited with what it has given back.

use std::time::Instant;

use nvml_wrapper::Device;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::error::NvmlError;
use shared::byte_size::ByteSize;

use super::figures::memory;
use super::lists;
use crate::gpu::probe::Memory;
use crate::gpu::probe::trust::{Figures, lower};

/// How often a device is read that does not hold still.
const ROUNDS: u32 = 3;
/// What is in use may change by so much while we read.
const DRIFT: ByteSize = ByteSize::mib(256);

/// What was seen.
#[derive(Debug)]
pub(super) struct Survey {
    /// Model.
    pub(super) name: String,
    /// Its memory.
    pub(super) memory: Memory,
    /// When its memory was asked for.
    pub(super) at: Instant,
    /// What each process held at least, or why it cannot be told.
    pub(super) figures: Result<Figures, String>,
    /// Why the figures do not fit each other.
    pub(super) unsettled: Option<String>,
    /// Why its clocks are held down.
    pub(super) strained: Option<&'static str>,
}

/// Reads a device; without its processes if they are not to be believed anyway, for that reason.
pub(super) fn survey(device: &Device<'_>, distrust: Option<&str>) -> Result<Survey, NvmlError> {
    let name = device.name()?;
    let strained = strained(device);
    let survey = |round: Round| Survey {
        name,
        strained,
        memory: round.memory,
        at: round.at,
        figures: round.figures,
        unsettled: round.unsettled,
    };
    if let Some(why) = distrust {
        let at = Instant::now();
        return Ok(survey(Round {
            memory: memory(device)?,
            at,
            figures: Err(why.to_owned()),
            unsettled: None,
        }));
    }
    let mut last = round(device)?;
    for _ in 1..ROUNDS {
        if last.unsettled.is_none() {
            break;
        }
        last = round(device)?;
    }
    Ok(survey(last))
}

struct Round {
    memory: Memory,
    at: Instant,
    figures: Result<Figures, String>,
    unsettled: Option<String>,
}

fn round(device: &Device<'_>) -> Result<Round, NvmlError> {
    let first = memory(device)?;
    let before = list(device)?;
    let at = Instant::now();
    let now = memory(device)?;
    let after = list(device)?;
    let last = memory(device)?;

    let used = [first.used, now.used, last.used].map(ByteSize::as_bytes);
    let drift = used.iter().max().unwrap_or(&0) - used.iter().min().unwrap_or(&0);
    let moved = (drift > DRIFT.as_bytes()).then(|| {
        format!(
            "its memory is moving: use changed by {} while it was read",
            ByteSize::bytes(drift)
        )
    });
    let (figures, grew) = match (before, after) {
        (List::Told(before), List::Told(after)) => (Ok(lower(&before, &after)), false),
        (List::Denied(why), _) | (_, List::Denied(why)) => (Err(why), false),
        (List::Grew, _) | (_, List::Grew) => (Err(GREW.to_owned()), true),
    };
    Ok(Round {
        memory: now,
        at,
        figures,
        unsettled: moved.or_else(|| grew.then(|| GREW.to_owned())),
    })
}

const GREW: &str = "processes keep starting on it while it is read";

/// How the question who is on a device goes.
enum List {
    Told(Figures),
    /// More started than there was room for.
    Grew,
    /// The driver does not tell.
    Denied(String),
}

/// Fails only if the device does.
fn list(device: &Device<'_>) -> Result<List, NvmlError> {
    match lists::figures(device) {
        Ok(figures) => Ok(List::Told(figures)),
        Err(NvmlError::InsufficientSize(_)) => Ok(List::Grew),
        Err(
            error @ (NvmlError::GpuLost
            | NvmlError::IrqIssue
            | NvmlError::ResetRequired
            | NvmlError::LibRmVersionMismatch
            | NvmlError::DriverNotLoaded
            | NvmlError::Uninitialized),
        ) => Err(error),
        Err(error) => Ok(List::Denied(format!(
            "the driver does not list its processes: {error}"
        ))),
    }
}

/// Heat and want of power; what a power limit does to the clocks is normal.
fn strained(device: &Device<'_>) -> Option<&'static str> {
    // Not every device tells; that is no reason against it.
    let reasons = device.current_throttle_reasons().ok()?;
    let heat = ThrottleReasons::SW_THERMAL_SLOWDOWN | ThrottleReasons::HW_THERMAL_SLOWDOWN;
    if reasons.intersects(heat) {
        Some("it is too hot, and its clocks are held down")
    } else if reasons.contains(ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN) {
        Some("its power supply brakes it")
    } else {
        None
    }
}
