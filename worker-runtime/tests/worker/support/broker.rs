//! A broker whose connection the test can cut.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use shared::broker::embedded::EmbeddedBroker;
use shared::broker::{
    Address, Broker, Delivery, Link, Message, PublishError, Queue, ReadOptions, SubscribeError,
    Subscription,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::READ;

/// The embedded broker behind a connection that can be cut.
#[derive(Debug)]
pub(crate) struct CuttableBroker {
    pub(crate) inner: Arc<EmbeddedBroker>,
    /// Number of cuts; subscriptions end with the first one that they see.
    cuts: watch::Sender<u64>,
    /// So many publishes still arrive, but nobody learns of it.
    unconfirmed: AtomicU64,
    /// Subscriptions of queues of attempts that were opened.
    pub(crate) subscribed: AtomicU64,
    /// The consumer priority of the latest of them.
    pub(crate) priority: watch::Sender<Option<i32>>,
    /// What the next durable publishes are answered with, first to last.
    pub(crate) answers: Mutex<VecDeque<PublishError>>,
    /// So many times the inbox is refused.
    pub(crate) inbox_refusals: AtomicU64,
}

impl CuttableBroker {
    pub(crate) fn new(inner: Arc<EmbeddedBroker>) -> Self {
        Self {
            inner,
            cuts: watch::Sender::new(0),
            unconfirmed: AtomicU64::new(0),
            subscribed: AtomicU64::new(0),
            priority: watch::Sender::new(None),
            answers: Mutex::default(),
            inbox_refusals: AtomicU64::new(0),
        }
    }

    /// Ends every subscription of the worker; what it held comes back.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Lets that many publishes arrive unconfirmed.
    pub(crate) fn leave_unconfirmed(&self, count: u64) {
        self.unconfirmed.store(count, Ordering::SeqCst);
    }

    /// A subscription of the test's own, that is never cut.
    pub(crate) async fn read_quietly(&self, queue: &Queue) -> Box<dyn Subscription> {
        self.inner.subscribe(queue, READ).await.unwrap()
    }
}

fn fewer(left: u64) -> Option<u64> {
    left.checked_sub(1)
}

#[async_trait]
impl Broker for CuttableBroker {
    async fn publish(&self, to: &Address, message: Message) -> Result<(), PublishError> {
        let is_durable = message.durable;
        if is_durable && let Some(error) = self.answers.lock().unwrap().pop_front() {
            return Err(error);
        }
        self.inner.publish(to, message).await?;
        match is_durable
            && self
                .unconfirmed
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
                .is_ok()
        {
            true => Err(PublishError::Unknown("cut by the test".to_owned())),
            false => Ok(()),
        }
    }

    async fn make(&self, queue: &Queue) -> Result<(), SubscribeError> {
        self.inner.make(queue).await
    }

    async fn subscribe(
        &self,
        queue: &Queue,
        options: ReadOptions,
    ) -> Result<Box<dyn Subscription>, SubscribeError> {
        if matches!(queue, Queue::Jobs(..)) {
            self.subscribed.fetch_add(1, Ordering::SeqCst);
            self.priority.send_replace(Some(options.priority));
        }
        let refused = || {
            let refusals = &self.inbox_refusals;
            refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
        };
        if matches!(queue, Queue::Inbox(_)) && refused().is_ok() {
            return Err(SubscribeError::Refused("forbidden by the test".to_owned()));
        }
        let mut cuts = self.cuts.subscribe();
        cuts.mark_unchanged();
        let inner = self.inner.subscribe(queue, options).await?;
        let (sender, deliveries) = mpsc::unbounded_channel();
        let (cancel, cancelled) = oneshot::channel();
        tokio::spawn(carry(inner, sender, cuts, cancelled));
        Ok(Box::new(CuttableSubscription { deliveries, cancel }))
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.inner.link()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// Carries deliveries until the connection is cut or the subscription cancelled.
async fn carry(
    mut inner: Box<dyn Subscription>,
    deliveries: mpsc::UnboundedSender<Delivery>,
    mut cuts: watch::Receiver<u64>,
    cancelled: oneshot::Receiver<oneshot::Sender<Vec<Delivery>>>,
) {
    let mut cancelled = pin!(cancelled);
    loop {
        tokio::select! {
            biased;
            _ = cuts.changed() => return,
            reply = &mut cancelled => {
                if let Ok(reply) = reply {
                    let _ = reply.send(inner.cancel().await);
                }
                return;
            }
            delivery = inner.next() => match delivery {
                Some(delivery) => { let _ = deliveries.send(delivery); }
                None => return,
            },
        }
    }
}

#[derive(Debug)]
struct CuttableSubscription {
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    cancel: oneshot::Sender<oneshot::Sender<Vec<Delivery>>>,
}

#[async_trait]
impl Subscription for CuttableSubscription {
    async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }

    fn ready(&mut self) -> Option<Delivery> {
        self.deliveries.try_recv().ok()
    }

    async fn cancel(self: Box<Self>) -> Vec<Delivery> {
        let Self {
            mut deliveries,
            cancel,
        } = *self;
        let (reply, late) = oneshot::channel();
        let late = match cancel.send(reply) {
            Ok(()) => late.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let unread = std::iter::from_fn(|| deliveries.try_recv().ok());
        unread.chain(late).collect()
    }
}
