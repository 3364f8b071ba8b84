//! The broker port within one process.
//!
//! Nothing is kept on disk, and nothing needs to be: the coordinator's store is the truth, and it publishes again at
//! start what is queued. Readers are woken, nobody polls, so that an idle broker costs nothing.

mod hub;
mod queue;
mod subscription;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, watch};

use self::hub::{Closed, Hub};
use self::subscription::EmbeddedSubscription;
use super::topology::{check_limits, route};
use super::{
    Address, Broker, Link, Message, PublishError, Queue, ReadOptions, SubscribeError, Subscription,
};

/// A broker within this process.
#[derive(Debug)]
pub struct EmbeddedBroker {
    hub: Arc<Hub>,
    link: watch::Sender<Link>,
}

impl EmbeddedBroker {
    /// A broker with no messages in it.
    pub fn new() -> Self {
        Self {
            hub: Arc::default(),
            link: watch::Sender::new(Link::Up(1)),
        }
    }

    /// An address for [`Message::reply_to`], as a broker gives to a client that asks for direct reply-to.
    pub fn reply_address(&self) -> ReplyAddress {
        let (sender, answers) = mpsc::unbounded_channel();
        ReplyAddress {
            name: self.hub.add_reply_address(sender),
            hub: Arc::clone(&self.hub),
            answers,
        }
    }
}

impl Default for EmbeddedBroker {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    async fn publish(&self, to: &Address, message: Message) -> Result<(), PublishError> {
        route(to)?;
        check_limits(&message)?;
        match to {
            Address::Queue(queue) => self.hub.publish(queue, message),
            Address::Everyone => self.hub.publish_to_everyone(&message),
            Address::Reply(name) => self.hub.publish_reply(name, message),
        }
    }

    async fn make(&self, _: &Queue) -> Result<(), SubscribeError> {
        // Here a queue is there as soon as something is put into it or somebody reads it, and nobody is forbidden to.
        Ok(())
    }

    async fn subscribe(
        &self,
        queue: &Queue,
        options: ReadOptions,
    ) -> Result<Box<dyn Subscription>, SubscribeError> {
        let wake = Arc::new(Notify::new());
        let id = self
            .hub
            .add_reader(queue, options, Arc::clone(&wake))
            .map_err(|Closed| {
                SubscribeError::Disconnected("the broker has been closed".to_owned())
            })?;
        let hub = Arc::clone(&self.hub);
        Ok(Box::new(EmbeddedSubscription::new(
            hub,
            queue.clone(),
            id,
            wake,
        )))
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    async fn close(&self) {
        self.hub.close();
        self.link
            .send_replace(Link::Down("the broker has been closed".to_owned()));
    }
}

/// Where the answers to one asker within this process arrive. Goes away when it is dropped.
#[derive(Debug)]
pub struct ReplyAddress {
    name: String,
    hub: Arc<Hub>,
    answers: mpsc::UnboundedReceiver<Message>,
}

impl ReplyAddress {
    /// What to put into [`Message::reply_to`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next answer; `None` never comes while this lives.
    pub async fn next(&mut self) -> Option<Message> {
        self.answers.recv().await
    }
}

impl Drop for ReplyAddress {
    fn drop(&mut self) {
        self.hub.remove_reply_address(&self.name);
    }
}
