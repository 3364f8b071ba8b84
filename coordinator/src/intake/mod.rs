//! What comes in over the broker becomes the engine's input.

pub(crate) mod queues;
pub(crate) mod reports;
pub(crate) mod submissions;

use std::time::Duration;

use shared::broker::{Queue, SubscribeError};
use shared::fields;
use shared::log_news;
use shared::news::News;
use tokio::time::sleep;

/// Deliveries that may be unsettled at a time. They are settled together, after one commit.
const PREFETCH: u16 = 256;

/// Pause before a queue that the broker refuses is tried again.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Pause before a queue is tried again over a connection that is not there.
const DISCONNECTED_PAUSE: Duration = Duration::from_millis(500);

/// Says once why a queue cannot be read, and waits until it is worth another try.
async fn wait_for(queue: &Queue, error: SubscribeError, told: &mut News) {
    match error {
        // Told where it is connected to.
        SubscribeError::Disconnected(_) => sleep(DISCONNECTED_PAUSE).await,
        SubscribeError::Refused(reason) | SubscribeError::NotThere(reason) => {
            let queue = queue.name();
            log_news!(
                told.is_news(&reason),
                error,
                { fields::DESTINATION } = queue,
                reason,
                "a queue cannot be read"
            );
            sleep(REFUSED_PAUSE).await;
        }
    }
}
