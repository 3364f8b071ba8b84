//! Settles deliveries once it is known what becomes of them. Beside the engine: a connection that stalls must not hold up the
//! one writer.

use std::time::Duration;

use futures::future::join_all;
use shared::broker::{Delivery, Queue, SharedBroker, park};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// How long acks wait. A quorum queue writes an ack to its log like a message, and flushes it: at once, it would go before the very
/// attempt or answer that followed from the delivery. What a stop cuts off meanwhile comes again, and changes nothing.
const ACK_LATER: Duration = Duration::from_millis(3);

/// What becomes of deliveries.
#[derive(Debug)]
pub(crate) enum Settling {
    /// What they said is on disk.
    Ack(Vec<Delivery>),
    /// They must come again.
    Requeue(Vec<Delivery>),
    /// Nobody can use it: a person finds it in that queue, with the reason.
    Park(Queue, Delivery, String),
}

impl Settling {
    const fn is_ack(&self) -> bool {
        matches!(self, Self::Ack(_))
    }
}

/// Most that is settled together.
const AT_ONCE: usize = 256;

/// Settles until engine and outbox have ended and everything that was handed over is done.
pub(crate) async fn run(broker: SharedBroker, mut handed_over: mpsc::UnboundedReceiver<Settling>) {
    let mut settlings = Vec::new();
    while handed_over.recv_many(&mut settlings, AT_ONCE).await > 0 {
        if settlings.iter().any(Settling::is_ack) {
            sleep(ACK_LATER).await;
            // What came meanwhile goes with them.
            while let Ok(more) = handed_over.try_recv() {
                settlings.push(more);
            }
        }
        let (acks, others): (Vec<_>, Vec<_>) = settlings.drain(..).partition(Settling::is_ack);
        join_all(acks.into_iter().map(|settling| settle(&broker, settling))).await;
        for settling in others {
            settle(&broker, settling).await;
        }
    }
}

async fn settle(broker: &SharedBroker, settling: Settling) {
    match settling {
        Settling::Ack(deliveries) => {
            join_all(deliveries.into_iter().map(Delivery::ack)).await;
        }
        Settling::Requeue(deliveries) => {
            join_all(deliveries.into_iter().map(Delivery::requeue)).await;
        }
        Settling::Park(aside, delivery, reason) => park(broker, aside, delivery, &reason).await,
    }
}
