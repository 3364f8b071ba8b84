//! The broker port over AMQP 0-9-1, for RabbitMQ 3.10 and later.
//!
//! What lapin recovers by itself is not enough (channels closed by the broker, lost deliveries, giving up), so its recovery
//! is off: `connection` drops both connections when either is lost and builds everything again.

mod acks;
mod connection;
mod declare;
mod echo;
pub mod inspect;
mod mapping;
mod needs;
mod publisher;
mod subscription;
mod target;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::connection::{Session, Sessions, Supervisor};
use self::publisher::Publisher;
pub use self::target::ConnectError;
use self::target::Target;
use super::topology::{check_limits, route};
use super::{
    Address, Broker, Link, Message, PublishError, Queue, ReadOptions, SubscribeError, Subscription,
};

/// Longest wait for a connection or for the answer to a publish.
const PUBLISH_LIMIT: Duration = Duration::from_secs(15);
/// Longest wait for a connection and for an open queue.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(10);

/// A RabbitMQ broker.
pub struct AmqpBroker {
    sessions: Sessions,
    link: watch::Receiver<Link>,
    publisher: Publisher,
    /// Of its own, because a broker may forbid the default exchange and then closes the channel that tried.
    replier: Publisher,
    supervisor: Mutex<Option<JoinHandle<()>>>,
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
}

impl AmqpBroker {
    /// Connects to the broker at `url`, as `amqp://user:password@host:5672/vhost`. `connection_name` is what the broker
    /// shows for these connections.
    ///
    /// A broker that cannot be reached is no error: the connection is made as soon as it can be, and [`Broker::link`] says
    /// how it stands.
    ///
    /// # Errors
    /// If the address cannot be read or the broker refuses it: only a person can help then.
    pub async fn connect(url: &str, connection_name: &str) -> Result<Self, ConnectError> {
        let target = Target::parse(url)?;
        let stop = CancellationToken::new();
        let (supervisor, sessions, link) =
            Supervisor::start(target, connection_name, stop.clone()).await?;
        Ok(Self {
            publisher: Publisher::start(sessions.clone()),
            replier: Publisher::start(sessions.clone()),
            sessions,
            link,
            supervisor: Mutex::new(Some(supervisor)),
            _stop_when_dropped: stop.clone().drop_guard(),
            stop,
        })
    }

    /// Why an answer may be missing after that time.
    fn why_no_answer(&self, limit: Duration) -> String {
        match &*self.link.borrow() {
            Link::Up(_) => format!("nothing heard for {} s", limit.as_secs()),
            Link::Down(reason) => format!("not connected: {reason}"),
        }
    }

    /// The current session; waits for one.
    async fn session(&self) -> Result<Arc<Session>, SubscribeError> {
        connection::current(&mut self.sessions.clone())
            .await
            .map_err(|closed| SubscribeError::Disconnected(closed.to_string()))
    }

    /// What comes of that, if it comes in time.
    async fn in_time<T>(
        &self,
        act: impl Future<Output = Result<T, SubscribeError>>,
    ) -> Result<T, SubscribeError> {
        let answer = timeout(SUBSCRIBE_LIMIT, act).await;
        answer.unwrap_or_else(|_| {
            let why = self.why_no_answer(SUBSCRIBE_LIMIT);
            Err(SubscribeError::Disconnected(why))
        })
    }

    /// The queue that a publish to that address makes if it is not there.
    fn makes(to: &Address) -> Option<&Queue> {
        match to {
            Address::Queue(Queue::Inbox(_)) | Address::Everyone | Address::Reply(_) => None,
            Address::Queue(queue) => Some(queue),
        }
    }
}

impl fmt::Debug for AmqpBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpBroker")
            .field("link", &*self.link.borrow())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    async fn publish(&self, to: &Address, message: Message) -> Result<(), PublishError> {
        let route = route(to)?;
        check_limits(&message)?;
        let publisher = match to {
            Address::Reply(_) => &self.replier,
            Address::Queue(_) | Address::Everyone => &self.publisher,
        };
        let makes = Self::makes(to);
        let publish_once =
            async |message| match timeout(PUBLISH_LIMIT, publisher.publish(&route, makes, message))
                .await
            {
                Ok(answer) => answer,
                Err(_) => Err(PublishError::Unknown(self.why_no_answer(PUBLISH_LIMIT))),
            };
        let Some(queue) = makes else {
            return publish_once(message).await;
        };
        match publish_once(message.clone()).await {
            Err(PublishError::Unroutable) => {
                // Someone deleted the queue since we declared it.
                let session = self.sessions.borrow().clone();
                if let Some(session) = session {
                    session.forget(queue).await;
                }
                publish_once(message).await
            }
            answer => answer,
        }
    }

    async fn make(&self, queue: &Queue) -> Result<(), SubscribeError> {
        let make = async { subscription::make(&*self.session().await?, queue).await };
        self.in_time(make).await
    }

    async fn subscribe(
        &self,
        queue: &Queue,
        options: ReadOptions,
    ) -> Result<Box<dyn Subscription>, SubscribeError> {
        let open = async {
            let session = self.session().await?;
            subscription::subscribe(&session, queue, options).await
        };
        Ok(Box::new(self.in_time(open).await?))
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    async fn close(&self) {
        self.stop.cancel();
        if let Some(supervisor) = self.supervisor.lock().await.take() {
            // It ends by itself; that it panicked would have been said already.
            let _ = supervisor.await;
        }
    }
}
