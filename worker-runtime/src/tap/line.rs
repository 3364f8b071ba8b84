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
    /// Its queue is not there: the coordinator makes it when it has heard what is offered here.
    Missing(String),
    /// Perhaps only a person can help: try again in a while.
    Stuck(String),
}

/// One line, before it is opened.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) worker: Arc<Worker>,
    /// The place of its offer.
    pub(super) place: usize,
    /// Its consumer priority.
    pub(super) priority: i32,
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
            .subscribe(
                &queue,
                ReadOptions {
                    priority: self.priority,
                    ..ReadOptions::default()
                },
            )
            .await;
        let mut subscription = match subscribed {
            Ok(subscription) => subscription,
            Err(error @ SubscribeError::Disconnected(_)) => {
                return LineEnd::Lost(error.to_string());
            }
            Err(error @ SubscribeError::NotThere(_)) => return LineEnd::Missing(error.to_string()),
            Err(error @ SubscribeError::Refused(_)) => return LineEnd::Stuck(error.to_string()),
        };
        let mut spent = None;
        loop {
            // In this order, so that nobody sees a free slot without the line that is about to offer it.
            self.guard.set(Phase::Idle);
            drop(spent.take());
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
                Ok(Asked::Nothing) => spent = Some(slot),
                Ok(Asked::GoingAway(delivery)) => return close(subscription, Some(delivery)).await,
                Ok(Asked::Granted(granted, delivery)) => {
                    match self.begin(granted, slot).await {
                        Next::Offer(slot) => spent = slot,
                        Next::Close => {
                            let late = subscription.cancel().await;
                            delivery.ack().await;
                            give_back(late).await;
                            return LineEnd::Closed;
                        }
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

    /// Begins a run, and says how the line goes on. With the ack, which is up to the caller, the next delivery may come, and
    /// must find a free slot; so the line of a short run waits for its end.
    async fn begin(&self, granted: Box<Granted>, slot: Slot) -> Next {
        let slots = &self.worker.slots;
        let is_last = slots.free() == 0;
        let mut running = self.worker.begin(granted, slot);
        // One queue among several gives way after each attempt, so that all get their turn.
        if is_last && !self.only_queue {
            return Next::Close;
        }
        let ended = timeout(SHORT_RUN, &mut running).await;
        if !self.worker.admits(self.place) {
            return Next::Close;
        }
        match ended {
            Ok(slot) => Next::Offer(slot.ok().flatten()),
            Err(_) if slots.free() > 0 => Next::Offer(None),
            Err(_) => Next::Close,
        }
    }
}

/// How a line goes on once its run has begun.
enum Next {
    /// It offers to take another delivery; the slot of its run, if that has ended, is free again.
    Offer(Option<Slot>),
    /// It closes.
    Close,
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
