//! A broker that holds answers to submitters back, and tells in which order answers and acks of submissions go.

use std::sync::Arc;

use async_trait::async_trait;
use shared::broker::embedded::EmbeddedBroker;
use shared::broker::{
    Address, Broker, Delivery, Link, Message, PublishError, Queue, ReadOptions, Settle,
    SubscribeError, Subscription,
};
use tokio::sync::watch;

/// The embedded broker, with answers that wait.
#[derive(Debug)]
pub(crate) struct HeldBroker {
    inner: Arc<EmbeddedBroker>,
    /// Whether answers go out.
    pub(crate) answers: watch::Sender<bool>,
    pub(crate) log: Log,
}

/// What went out, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<watch::Sender<Vec<String>>>);

impl Log {
    fn note(&self, what: String) {
        self.0.send_modify(|log| log.push(what));
    }

    /// The first `count` entries, once they are there.
    pub(crate) async fn first(&self, count: usize) -> Vec<String> {
        let mut log = self.0.subscribe();
        log.wait_for(|log| log.len() >= count)
            .await
            .unwrap()
            .clone()
    }
}

impl HeldBroker {
    pub(crate) fn new(inner: Arc<EmbeddedBroker>) -> Self {
        Self {
            inner,
            answers: watch::Sender::new(false),
            log: Log::default(),
        }
    }
}

#[async_trait]
impl Broker for HeldBroker {
    async fn publish(&self, to: &Address, message: Message) -> Result<(), PublishError> {
        if !matches!(to, Address::Reply(_)) {
            return self.inner.publish(to, message).await;
        }
        self.answers.subscribe().wait_for(|go| *go).await.unwrap();
        let about = message.correlation_id.clone().unwrap_or_default();
        self.log.note(format!("answered {about}"));
        self.inner.publish(to, message).await
    }

    async fn make(&self, queue: &Queue) -> Result<(), SubscribeError> {
        self.inner.make(queue).await
    }

    async fn subscribe(
        &self,
        queue: &Queue,
        options: ReadOptions,
    ) -> Result<Box<dyn Subscription>, SubscribeError> {
        let inner = self.inner.subscribe(queue, options).await?;
        let log = self.log.clone();
        Ok(match queue {
            Queue::Submissions => Box::new(LoggedSubscription { inner, log }),
            _ => inner,
        })
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.inner.link()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[derive(Debug)]
struct LoggedSubscription {
    inner: Box<dyn Subscription>,
    log: Log,
}

impl LoggedSubscription {
    fn logged(&self, delivery: Delivery) -> Delivery {
        let settle = LoggedSettle {
            inner: delivery.settle,
            id: delivery.message.id.clone(),
            log: self.log.clone(),
        };
        Delivery {
            settle: Box::new(settle),
            ..delivery
        }
    }
}

#[async_trait]
impl Subscription for LoggedSubscription {
    async fn next(&mut self) -> Option<Delivery> {
        let delivery = self.inner.next().await?;
        Some(self.logged(delivery))
    }

    fn ready(&mut self) -> Option<Delivery> {
        let delivery = self.inner.ready()?;
        Some(self.logged(delivery))
    }

    async fn cancel(self: Box<Self>) -> Vec<Delivery> {
        self.inner.cancel().await
    }
}

#[derive(Debug)]
struct LoggedSettle {
    inner: Box<dyn Settle>,
    id: String,
    log: Log,
}

#[async_trait]
impl Settle for LoggedSettle {
    async fn ack(self: Box<Self>) -> bool {
        self.log.note(format!("acked {}", self.id));
        self.inner.ack().await
    }

    async fn requeue(self: Box<Self>) -> bool {
        self.inner.requeue().await
    }
}
