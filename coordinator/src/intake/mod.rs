//! What comes in over the broker becomes the engine's input.

pub(crate) mod reports;
pub(crate) mod submissions;

use std::time::Duration;

use shared::broker::{Broker, Delivery, Message, Queue};

/// Header with the reason why a message was parked.
pub(crate) const REASON: &str = "x-callsheet-reason";

/// Deliveries that may be unsettled at a time. They are settled together, after one commit.
const PREFETCH: u16 = 256;

/// Pause before a queue that the broker refuses is tried again.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Puts a message aside for a person, with the reason, and takes it off its queue; if it cannot be put aside, it stays.
async fn park(broker: &dyn Broker, queue: Queue, delivery: Delivery, reason: &str) {
    let shown: String = reason
        .chars()
        .filter(|c| !c.is_control())
        .take(500)
        .collect();
    tracing::warn!(queue = ?queue, reason = shown, "a message cannot be read: it is parked");
    let copy = Message {
        durable: true,
        reply_to: None,
        ..delivery.message.clone()
    }
    .with_header(REASON, shown);
    match broker.publish(&queue.into(), copy).await {
        Ok(()) => drop(delivery.ack().await),
        Err(error) => {
            tracing::error!(%error, "it could not be parked; it goes back");
            delivery.requeue().await;
        }
    }
}
