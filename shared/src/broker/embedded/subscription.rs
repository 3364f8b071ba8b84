//! Reading from the embedded broker.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::hub::Hub;
use super::queue::{Place, ReaderId};
use crate::broker::{Delivery, Queue, Settle, Subscription};

/// An open queue of the embedded broker.
#[derive(Debug)]
pub(super) struct EmbeddedSubscription {
    /// `None` once cancelled: then the deliveries alone keep the reader.
    reader: Option<Arc<ReaderHandle>>,
}

/// A reader at the hub. What it holds goes back when the last one to know it is gone.
#[derive(Debug)]
struct ReaderHandle {
    hub: Arc<Hub>,
    queue: Queue,
    id: ReaderId,
    wake: Arc<Notify>,
}

impl ReaderHandle {
    fn take(self: &Arc<Self>) -> Option<Delivery> {
        let hand_over = self.hub.with(&self.queue, |queue| queue.take(self.id))??;
        Some(Delivery {
            message: hand_over.message,
            redelivered: hand_over.redelivered,
            settle: Box::new(EmbeddedSettle {
                reader: Arc::clone(self),
                place: hand_over.place,
            }),
        })
    }

    fn has_ended(&self) -> bool {
        self.hub
            .with(&self.queue, |queue| queue.has_reader(self.id))
            != Some(true)
    }
}

impl Drop for ReaderHandle {
    fn drop(&mut self) {
        self.hub.remove_reader(&self.queue, self.id);
    }
}

impl EmbeddedSubscription {
    pub(super) fn new(hub: Arc<Hub>, queue: Queue, id: ReaderId, wake: Arc<Notify>) -> Self {
        let reader = ReaderHandle {
            hub,
            queue,
            id,
            wake,
        };
        Self {
            reader: Some(Arc::new(reader)),
        }
    }
}

#[async_trait]
impl Subscription for EmbeddedSubscription {
    async fn next(&mut self) -> Option<Delivery> {
        let reader = self.reader.as_ref()?;
        loop {
            if let Some(delivery) = reader.take() {
                return Some(delivery);
            }
            if reader.has_ended() {
                return None;
            }
            reader.wake.notified().await;
        }
    }

    fn ready(&mut self) -> Option<Delivery> {
        self.reader.as_ref()?.take()
    }

    async fn cancel(mut self: Box<Self>) -> Vec<Delivery> {
        let Some(reader) = self.reader.take() else {
            return Vec::new();
        };
        reader
            .hub
            .with(&reader.queue, |queue| queue.close_reader(reader.id));
        std::iter::from_fn(|| reader.take()).collect()
    }
}

impl Drop for EmbeddedSubscription {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.hub.remove_reader(&reader.queue, reader.id);
        }
    }
}

/// Settles one delivery of the embedded broker.
#[derive(Debug)]
struct EmbeddedSettle {
    reader: Arc<ReaderHandle>,
    place: Place,
}

#[async_trait]
impl Settle for EmbeddedSettle {
    async fn ack(self: Box<Self>) -> bool {
        let Self { reader, place } = *self;
        reader
            .hub
            .with(&reader.queue, |queue| queue.ack(reader.id, place))
            == Some(true)
    }

    async fn requeue(self: Box<Self>) -> bool {
        let Self { reader, place } = *self;
        reader
            .hub
            .with(&reader.queue, |queue| queue.requeue(reader.id, place))
            == Some(true)
    }
}
