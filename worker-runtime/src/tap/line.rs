//! One line: a subscription of one queue that has at most one delivery in hand.

use std::sync::Arc;
use std::time::Duration;

use shared::broker::{Delivery, Queue, ReadOptions, SubscribeError, Subscription};
use shared::failure::chain;
use shared::fields;
use tokio::time::timeout;

use super::lines::{LineGuard, Phase};
use crate::ask::{Asked, ask};
use crate::attempt::Granted;
use crate::slots::Slot;
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

/// One line, before it is opened.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) worker: Arc<Worker>,
    /// The place of its offer.
    pub(super) place: usize,
    /// Whether no other queue waits for its turn.
    pub(super) only_queue: bool,
    pub(super) guard: LineGuard,
}

impl Line {
    /// Opens the line and takes deliveries until it is closed.
    pub(super) async fn serve(self) -> LineEnd {
        let profile = &self.worker.offers[self.place].profile;
        let queue = Queue::Jobs(profile.kind, profile.name.clone());
        let subscribed = self
            .worker
            .broker
            .subscribe(&queue, ReadOptions::default())
            .await;
        let mut subscription = match subscribed {
            Ok(subscription) => subscription,
            Err(error @ SubscribeError::Disconnected(_)) => {
                return LineEnd::Lost(error.to_string());
            }
            Err(error @ SubscribeError::Refused(_)) => return LineEnd::Stuck(error.to_string()),
        };
        loop {
            self.guard.set(Phase::Idle);
            let delivery = tokio::select! {
                biased;
                () = self.guard.close.cancelled() => return close(subscription, None).await,
                delivery = subscription.next() => delivery,
            };
            let Some(delivery) = delivery else {
                return LineEnd::Lost("the subscription has ended".to_owned());
            };
            // It may have come while the last slot was taken by another, or while the worker was told to stand still.
            let slot = self.worker.slots.try_take();
            let Some(slot) = slot.filter(|_| self.worker.admits(self.place)) else {
                return close(subscription, Some(delivery)).await;
            };
            self.guard.set(Phase::Holding);
            match ask(&self.worker, delivery).await {
                Ok(Asked::Nothing) => {}
                Ok(Asked::GoingAway(delivery)) => return close(subscription, Some(delivery)).await,
                Ok(Asked::Granted(granted, delivery)) => {
                    if !self.begin(granted, slot).await {
                        let late = subscription.cancel().await;
                        delivery.ack().await;
                        give_back(late).await;
                        return LineEnd::Closed;
                    }
                    delivery.ack().await;
                }
                Err(error) => {
                    close(subscription, None).await;
                    return LineEnd::Stuck(chain(&error));
                }
            }
        }
    }

    /// Begins a run. Says whether the line goes on: with the ack, which is up to the caller, the next delivery may come, and
    /// it must find a free slot.
    async fn begin(&self, granted: Box<Granted>, slot: Slot) -> bool {
        let is_last = self.worker.slots.free() == 0;
        let mut running = self.worker.begin(granted, slot);
        if !is_last {
            return true;
        }
        // One queue among several gives way after each attempt, so that all get their turn.
        if !self.only_queue {
            return false;
        }
        self.guard.set(Phase::Keeping);
        timeout(SHORT_RUN, &mut running).await.is_ok() && self.worker.admits(self.place)
    }
}

/// Takes no more, and gives back what is in hand and what came meanwhile.
async fn close(subscription: Box<dyn Subscription>, in_hand: Option<Delivery>) -> LineEnd {
    let late = subscription.cancel().await;
    give_back(in_hand.into_iter().chain(late)).await;
    LineEnd::Closed
}

async fn give_back(deliveries: impl IntoIterator<Item = Delivery>) {
    for delivery in deliveries {
        tracing::debug!(
            { fields::MESSAGE_ID } = delivery.message.id,
            "goes back: it cannot be taken now"
        );
        delivery.requeue().await;
    }
}
