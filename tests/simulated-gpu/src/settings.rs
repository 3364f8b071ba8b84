//! How one backend behaves.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;

use crate::card::Card;

/// How one backend behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The card that it works on.
    pub card: Card,
    /// How long it takes to load a model: that long, its memory grows.
    pub ramp: Duration,
    /// How long after the end of a job, or after an unload, memory is given back.
    pub lag: Duration,
    /// What the process holds from the start, and with nothing loaded: real ones hold some hundred MiB. With none, it is not
    /// listed on the card before it has loaded something.
    pub context: ByteSize,
    /// Whether it keeps several models beside each other; otherwise it drops the old one for the new one.
    pub stacks: bool,
}

impl Settings {
    /// A backend on that card that loads in 60 ms, gives back within 30 ms, has no context and one model at a time.
    pub fn on(card: &Card) -> Self {
        Self {
            card: card.clone(),
            ramp: Duration::from_millis(60),
            lag: Duration::from_millis(30),
            context: ByteSize::ZERO,
            stacks: false,
        }
    }
}
