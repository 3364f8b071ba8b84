//! Whether a reading can be believed, and what it leaves to decide with.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use shared::byte_size::ByteSize;

use super::amount::Amount;
use super::policy::Policy;
use super::verdict::{Impossible, Waits};
use crate::gpu::reading::{DeviceReading, Health};

/// What CUDA cannot address, at least.
const UNADDRESSABLE: ByteSize = ByteSize::mib(256);

/// A reading that does not contradict itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    reading: &'a DeviceReading,
    /// Free memory.
    pub(super) free: ByteSize,
    /// What jobs can have at most when nobody else is there.
    pub(super) usable: ByteSize,
    /// What is kept free in any case.
    pub(super) floor: ByteSize,
    /// What is kept free at admission: for what we do not see, and for what others may take meanwhile.
    pub(super) margin: ByteSize,
}

impl<'a> Ground<'a> {
    /// What that reading leaves to decide with.
    pub(super) fn of(reading: Option<&'a DeviceReading>, policy: &Policy) -> Result<Self, Waits> {
        let reading = reading.ok_or(Waits::NoReading)?;
        let DeviceReading {
            total,
            reserved,
            free,
            ..
        } = *reading;
        // Of a card that cannot be read there are no figures.
        if let (Health::Down(why), ByteSize::ZERO) = (&reading.health, total) {
            return Err(Waits::Down(why.clone()));
        }
        let impossible = if total == ByteSize::ZERO {
            Some(Impossible::NoMemory)
        } else if free > total {
            Some(Impossible::FreeAboveTotal { free, total })
        } else if reserved >= total {
            Some(Impossible::ReservedAboveTotal { reserved, total })
        } else {
            None
        };
        if let Some(what) = impossible {
            return Err(Waits::ImpossibleReading(what));
        }
        let usable = total
            .less(reserved)
            .less(total.percent(1).max(UNADDRESSABLE));
        let floor = policy
            .margin_floor
            .max(usable.percent(policy.margin_percent));
        Ok(Self {
            reading,
            free,
            usable,
            floor,
            margin: floor.plus(policy.drift),
        })
    }

    /// Whether it is good enough to admit something now. `lowered` tells how long ago a promise became smaller.
    pub(super) fn is_fit(&self, lowered: Option<Duration>, policy: &Policy) -> Result<(), Waits> {
        match &self.reading.health {
            Health::Well => {}
            Health::Unsettled(why) => return Err(Waits::Unsettled(why.clone())),
            Health::Down(why) => return Err(Waits::Down(why.clone())),
        }
        let age = self.reading.age;
        if age > policy.reading_limit {
            let limit = policy.reading_limit;
            return Err(Waits::StaleReading { age, limit });
        }
        match lowered {
            Some(released) if age > released => Err(Waits::OlderThanRelease { age, released }),
            Some(_) | None => Ok(()),
        }
    }
}
