//! What comes in over the broker becomes the engine's input.

pub(crate) mod queues;
pub(crate) mod reports;
pub(crate) mod submissions;

use std::time::Duration;

/// Deliveries that may be unsettled at a time. They are settled together, after one commit.
const PREFETCH: u16 = 256;

/// Pause before a queue that the broker refuses is tried again.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Pause before a queue is tried again over a connection that is not there.
const DISCONNECTED_PAUSE: Duration = Duration::from_millis(500);
