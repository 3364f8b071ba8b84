//! The broker port: what the rest of the program knows of message queues.
//!
//! Two implementations, [`embedded`] and [`amqp`], pass one conformance suite
//! (`tests/support/broker_conformance.rs`). Nothing above this module may depend on which one is below.
//!
//! What every implementation promises:
//! * a publish that returns `Ok` is stored (or, for a transient message, was handed to a queue); `Err(Unroutable)` means that
//!   nobody has it; `Err(Unknown)` means that it may or may not be stored: publish again, receivers drop repeats;
//! * a delivery belongs to one subscription until it is settled; unsettled deliveries come back when the subscription ends;
//! * messages of one publisher in one queue are delivered in order, except those that come back;
//! * at most one subscription at a time reads a queue with a single active consumer.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::ids::{MessageId, ProfileName};
use crate::job::JobKind;
use crate::protocol::WorkerRef;

pub mod amqp;
pub mod embedded;
mod park;
pub mod rights;
pub mod topology;

pub use self::park::park;

/// A queue of Callsheet. [`topology`] says how each is declared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Attempts of one kind and profile, for whichever worker takes them.
    Jobs(JobKind, ProfileName),
    /// Reports of all workers, for the coordinator.
    Reports,
    /// Answers and orders for one life of one worker. Goes away when it has had no reader for some time; keeps its newest
    /// messages when it is full.
    Inbox(WorkerRef),
    /// Film submissions, for the coordinator.
    Submissions,
    /// Submissions that could not be parsed, for a person.
    RejectedSubmissions,
    /// Messages that could not be read, for a person.
    Parked,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// Into that queue.
    Queue(Queue),
    /// Into the inboxes of all workers, however few there are.
    Everyone,
    /// To whoever asked, over the broker's direct reply-to address in the question. Any other name is refused, so that
    /// nobody can have us write into a queue.
    Reply(String),
}

impl From<Queue> for Address {
    fn from(queue: Queue) -> Self {
        Self::Queue(queue)
    }
}

/// A message as the broker carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Identity, as text: submitters choose their own. Empty if there is none.
    pub id: String,
    /// The body.
    pub body: Bytes,
    /// Whether it must survive a restart of the broker.
    pub durable: bool,
    /// Ties an answer to its question.
    pub correlation_id: Option<String>,
    /// Where the answer goes.
    pub reply_to: Option<String>,
    /// Headers that are text: trace context, reasons.
    pub headers: Vec<(String, String)>,
}

impl Message {
    /// A message that must survive a restart of the broker.
    pub fn durable(id: MessageId, body: impl Into<Bytes>) -> Self {
        Self {
            id: id.to_string(),
            body: body.into(),
            durable: true,
            correlation_id: None,
            reply_to: None,
            headers: Vec::new(),
        }
    }

    /// A message that may be lost with the broker.
    pub fn transient(id: MessageId, body: impl Into<Bytes>) -> Self {
        Self {
            durable: false,
            ..Self::durable(id, body)
        }
    }

    /// The same with one header more.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Why a publish did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No queue is there to take it.
    #[error("nobody is there to take it")]
    Unroutable,
    /// The queue is full.
    #[error("the queue is full")]
    Full,
    /// No broker takes a message of that size.
    #[error("it is too large: {0}")]
    TooLarge(String),
    /// The broker will not take it before a person has changed something: forbidden, an address that is none.
    #[error("the broker refused it: {0}")]
    Refused(String),
    /// The connection broke or the answer did not come in time: it may be stored or not.
    #[error("no answer from the broker: {0}")]
    Unknown(String),
}

/// Why a subscription cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// No connection at present; the next try may succeed.
    #[error("no connection to the broker: {0}")]
    Disconnected(String),
    /// There is no such queue, and this user may not make it: the coordinator does, once it has heard of it.
    #[error("the queue is not there yet: {0}")]
    NotThere(String),
    /// The broker refuses; only a person can help.
    #[error("the broker refused: {0}")]
    Refused(String),
}

/// How a subscription reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOptions {
    /// Most deliveries that may be unsettled at a time; at least 1.
    pub prefetch: u16,
    /// Higher ones are served first while they have room.
    pub priority: i32,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            prefetch: 1,
            priority: 0,
        }
    }
}

/// Whether the broker can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Connected for the `n`-th time, from 1.
    Up(u64),
    /// Not connected, and why.
    Down(String),
}

/// A message broker.
#[async_trait]
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// Publishes one message and waits until the broker has it. Many may be under way at once; messages whose calls were
    /// *started* one after the other from one task arrive in that order. Waits for the connection, up to a time limit.
    ///
    /// Publishing to a queue makes it if it is not there, except for an inbox: one that is not there makes the message
    /// unroutable. An answer to somebody who has gone is lost without an error.
    async fn publish(&self, to: &Address, message: Message) -> Result<(), PublishError>;

    /// Makes a queue if it is not there, for others to read. Waits for the connection, up to a time limit.
    async fn make(&self, queue: &Queue) -> Result<(), SubscribeError>;

    /// Opens a queue for reading, making it if it is not there. Waits for the connection, up to a time limit.
    async fn subscribe(
        &self,
        queue: &Queue,
        options: ReadOptions,
    ) -> Result<Box<dyn Subscription>, SubscribeError>;

    /// Whether the broker can be reached, and when that changes.
    fn link(&self) -> watch::Receiver<Link>;

    /// Closes all connections in order. What is unsettled goes back.
    async fn close(&self);
}

/// Shared by everything that talks to the broker.
pub type SharedBroker = Arc<dyn Broker>;

/// An open queue. Dropping it ends it: what is unsettled goes back.
#[async_trait]
pub trait Subscription: fmt::Debug + Send {
    /// The next delivery; `None` when the subscription has ended (connection lost, queue gone): subscribe again.
    /// Cancel-safe: a delivery is not lost if the future is dropped.
    async fn next(&mut self) -> Option<Delivery>;

    /// A delivery that is here already.
    fn ready(&mut self) -> Option<Delivery>;

    /// Asks for no more, and returns what had come meanwhile: settle each. Deliveries taken from it before stay valid;
    /// what is dropped unsettled goes back when the last of them is gone.
    async fn cancel(self: Box<Self>) -> Vec<Delivery>;
}

/// One hand-over of a message.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// Whether it was handed over before.
    pub redelivered: bool,
    /// How it is settled.
    pub settle: Box<dyn Settle>,
}

impl Delivery {
    /// Takes the message off the queue. `false`: the delivery is no longer ours; the message is, or will be, somebody else's.
    pub async fn ack(self) -> bool {
        self.settle.ack().await
    }

    /// Gives the message back to the queue.
    pub async fn requeue(self) -> bool {
        self.settle.requeue().await
    }
}

/// Settles one delivery. Dropped unsettled, the message stays with its subscription until that ends.
#[async_trait]
pub trait Settle: fmt::Debug + Send + Sync {
    /// Takes the message off the queue; `false` if the delivery is no longer ours.
    async fn ack(self: Box<Self>) -> bool;

    /// Gives the message back; `false` if the delivery is no longer ours.
    async fn requeue(self: Box<Self>) -> bool;
}
