//! One line: a subscription of one queue that has at most one delivery in hand.

use std::sync::Arc;
use std::time::Duration;

use shared::broker::{Delivery, Queue, ReadOptions, SubscribeError, Subscription};
use shared::failure::chain;
use tokio::time::timeout;

use super::lines::{LineGuard, Phase};
use crate::ask::{Asked, ask};
use crate::worker::Worker;

/// A run that is shorter keeps its line: a subscription is not made anew for every short attempt.
const SHORT_RUN: Duration = Duration::from_millis(100);

/// Why a line is no more.
#[derive(Debug)]
pub(super) enum LineEnd {
    /// It was not wanted any more.
    Closed,
    /// Its subscription has ended or could not be had: try again soon.
    Lost(String),
    /// Perhaps only a person can help: try again in a while.
    Stuck(String),
}

/// Opens a line and takes deliveries until it is closed.
pub(super) async fn serve(
    worker: Arc<Worker>,
    queue: Queue,
    only_queue: bool,
    guard: LineGuard,
) -> LineEnd {
    let subscribed = worker
        .broker
        .subscribe(&queue, ReadOptions::default())
        .await;
    let mut subscription = match subscribed {
        Ok(subscription) => subscription,
        Err(error @ SubscribeError::Disconnected(_)) => return LineEnd::Lost(error.to_string()),
        Err(error @ SubscribeError::Refused(_)) => return LineEnd::Stuck(error.to_string()),
    };
    loop {
        guard.set(Phase::Idle);
        let delivery = tokio::select! {
            biased;
            () = guard.close.cancelled() => return close(subscription).await,
            delivery = subscription.next() => delivery,
        };
        let Some(delivery) = delivery else {
            return LineEnd::Lost("the subscription has ended".to_owned());
        };
        let Some(slot) = worker.slots.try_take() else {
            // It came while the last slot was taken by another.
            delivery.requeue().await;
            return close(subscription).await;
        };
        guard.set(Phase::Holding);
        let (granted, delivery) = match ask(&worker, delivery).await {
            Ok(Asked::Granted(granted, delivery)) => (granted, delivery),
            Ok(Asked::Nothing) => continue,
            Err(error) => {
                close(subscription).await;
                return LineEnd::Stuck(chain(&error));
            }
        };
        // With the ack the next delivery may come. It must find a free slot, or the line must be closed before.
        if worker.slots.free() > 0 {
            delivery.ack().await;
            worker.begin(granted, slot);
            continue;
        }
        let mut running = worker.begin(granted, slot);
        // One queue among several gives way after each attempt, so that all get their turn.
        if only_queue && timeout(SHORT_RUN, &mut running).await.is_ok() {
            delivery.ack().await;
            continue;
        }
        let late = subscription.cancel().await;
        delivery.ack().await;
        give_back(late).await;
        return LineEnd::Closed;
    }
}

async fn close(subscription: Box<dyn Subscription>) -> LineEnd {
    give_back(subscription.cancel().await).await;
    LineEnd::Closed
}

async fn give_back(deliveries: Vec<Delivery>) {
    for delivery in deliveries {
        tracing::debug!(message.id = %delivery.message.id, "goes back: no slot is free for it");
        delivery.requeue().await;
    }
}
