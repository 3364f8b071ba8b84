//! Reading from a RabbitMQ queue.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use lapin::message::Delivery as AmqpDelivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
};
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, Channel, Consumer};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::acks::{Ack, Acks};
use super::connection::Session;
use super::declare::soft_error;
use super::mapping;
use crate::broker::{Delivery, Queue, ReadOptions, Settle, SubscribeError, Subscription};

/// Longest wait for a cancelled consumer to end. When it does not, everything goes back with the channel.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// Opens a queue for reading.
pub(super) async fn subscribe(
    session: &Arc<Session>,
    queue: &Queue,
    options: ReadOptions,
) -> Result<AmqpSubscription, SubscribeError> {
    let open = async || session.heard(try_subscribe(session, queue, options)).await;
    match open().await {
        // Someone deleted the queue since we declared it.
        Err(error) if soft_error(&error) == Some(AMQPSoftError::NOTFOUND) => {
            session.forget_everything().await;
            open().await
        }
        answer => answer,
    }
    .map_err(|error| classify(session, &error))
}

/// Makes a queue, unless this session knows that it is there.
pub(super) async fn make(session: &Session, queue: &Queue) -> Result<(), SubscribeError> {
    let made = session.heard(session.declare(Some(queue))).await;
    made.map_err(|error| classify(session, &error))
}

/// What an error means for a queue.
fn classify(session: &Session, error: &lapin::Error) -> SubscribeError {
    match soft_error(error) {
        Some(AMQPSoftError::NOTFOUND) => SubscribeError::NotThere(error.to_string()),
        Some(_) => SubscribeError::Refused(error.to_string()),
        None => {
            session.doubt();
            SubscribeError::Disconnected(error.to_string())
        }
    }
}

async fn try_subscribe(
    session: &Arc<Session>,
    queue: &Queue,
    options: ReadOptions,
) -> lapin::Result<AmqpSubscription> {
    session.declare(Some(queue)).await?;
    if *queue == Queue::Submissions {
        session.answers_arrive().await;
    }
    let careful_until = session
        .careful_until
        .filter(|until| *queue == Queue::Submissions && *until > Instant::now());
    // The others must not come back as often as the one that breaks the connection.
    let prefetch = match careful_until {
        Some(_) => 1,
        None => options.prefetch.max(1),
    };
    let channel = open_channel(session, prefetch).await?;
    let mut arguments = FieldTable::default();
    if options.priority != 0 {
        arguments.insert("x-priority".into(), AMQPValue::LongInt(options.priority));
    }
    let consumer = channel
        .basic_consume(
            queue.name().into(),
            "".into(),
            BasicConsumeOptions::default(),
            arguments,
        )
        .await?;
    Ok(AmqpSubscription {
        consumer,
        ends_at: careful_until,
        reader: Arc::new(Reader {
            session: Arc::downgrade(session),
            gone: session.gone.clone(),
            prefetch,
            channel: Mutex::new(Some(channel)),
            unsettled: AtomicUsize::new(0),
            acks: Mutex::default(),
            was_cancelled: AtomicBool::new(false),
        }),
    })
}

async fn open_channel(session: &Session, prefetch: u16) -> lapin::Result<Channel> {
    let channel = match session.idle_channel(prefetch) {
        Some((its, channel)) if its == prefetch => return Ok(channel),
        Some((_, channel)) => channel,
        None => session.consuming.create_channel().await?,
    };
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    Ok(channel)
}

/// A channel with one consumer on it. When the last one to know it is gone, the channel is kept for the next subscription
/// if nothing on it is unsettled; otherwise it is closed, and what is unsettled goes back.
#[derive(Debug)]
struct Reader {
    session: Weak<Session>,
    /// Fires with the end of the session. What begins while the connection is being lost may not be told of that by lapin.
    gone: CancellationToken,
    prefetch: u16,
    /// `None` once the subscription has been dropped: then nothing can be settled any more.
    channel: Mutex<Option<Channel>>,
    unsettled: AtomicUsize,
    acks: Mutex<Acks<Acker>>,
    was_cancelled: AtomicBool,
}

impl Reader {
    fn channel(&self) -> Option<Channel> {
        self.channel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// lapin closes a channel when its last handle is dropped.
    fn take_channel(&self) -> Option<Channel> {
        self.channel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn is_open(&self) -> bool {
        self.channel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    fn acks(&self) -> MutexGuard<'_, Acks<Acker>> {
        self.acks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_over(self: &Arc<Self>, mut delivery: AmqpDelivery) -> Delivery {
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        self.acks().opened(delivery.delivery_tag);
        Delivery {
            message: mapping::message(&mut delivery),
            redelivered: delivery.redelivered,
            settle: Box::new(AmqpSettle {
                reader: Arc::clone(self),
                tag: delivery.delivery_tag,
                acker: delivery.acker,
            }),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.was_cancelled.load(Ordering::Relaxed)
            && self.unsettled.load(Ordering::Relaxed) == 0
            && let Some(channel) = self.take_channel()
            && let Some(session) = self.session.upgrade()
        {
            session.keep_channel(self.prefetch, channel);
        }
    }
}

/// An open queue of a RabbitMQ broker.
#[derive(Debug)]
pub(super) struct AmqpSubscription {
    consumer: Consumer,
    /// When it is to be opened anew, to be read faster.
    ends_at: Option<Instant>,
    reader: Arc<Reader>,
}

impl AmqpSubscription {
    fn hand_over(&self, item: Option<lapin::Result<AmqpDelivery>>) -> Option<Delivery> {
        match item? {
            Ok(delivery) => Some(self.reader.hand_over(delivery)),
            Err(error) => {
                debug!(%error, "a subscription was cut off");
                None
            }
        }
    }

    /// Stops the consumer and takes what it has, up to the end of its stream.
    async fn drain(&mut self, channel: &Channel) -> lapin::Result<Vec<Delivery>> {
        let tag = self.consumer.tag();
        channel
            .basic_cancel(tag, BasicCancelOptions::default())
            .await?;
        let mut rest = Vec::new();
        while let Some(delivery) = self.consumer.next().await {
            rest.push(self.reader.hand_over(delivery?));
        }
        Ok(rest)
    }
}

#[async_trait]
impl Subscription for AmqpSubscription {
    async fn next(&mut self) -> Option<Delivery> {
        let ends_at = self.ends_at;
        let is_over = async {
            match ends_at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        let item = tokio::select! {
            biased;
            item = self.consumer.next() => item,
            () = self.reader.gone.cancelled() => None,
            () = is_over => None,
        };
        self.hand_over(item)
    }

    fn ready(&mut self) -> Option<Delivery> {
        let item = self.consumer.next().now_or_never()?;
        self.hand_over(item)
    }

    async fn cancel(mut self: Box<Self>) -> Vec<Delivery> {
        let Some(channel) = self.reader.channel() else {
            return Vec::new();
        };
        match timeout(CANCEL_LIMIT, self.drain(&channel)).await {
            Ok(Ok(rest)) => {
                self.reader.was_cancelled.store(true, Ordering::Relaxed);
                rest
            }
            Ok(Err(error)) => {
                debug!(%error, "a subscription was cut off while it was cancelled");
                Vec::new()
            }
            Err(_) => {
                debug!("a subscription did not end in time; its channel is closed");
                Vec::new()
            }
        }
    }
}

impl Drop for AmqpSubscription {
    fn drop(&mut self) {
        if !self.reader.was_cancelled.load(Ordering::Relaxed) {
            drop(self.reader.take_channel());
        }
    }
}

/// Settles one delivery of a RabbitMQ broker.
#[derive(Debug)]
struct AmqpSettle {
    reader: Arc<Reader>,
    tag: u64,
    acker: Acker,
}

impl Reader {
    /// Tells lapin to settle so many deliveries, and says whether that was done.
    async fn settled(
        &self,
        count: usize,
        settle: impl Future<Output = lapin::Result<bool>>,
    ) -> bool {
        let answer = self.gone.run_until_cancelled(settle).await;
        let is_settled = matches!(answer, Some(Ok(true)));
        if is_settled {
            self.unsettled.fetch_sub(count, Ordering::Relaxed);
        }
        is_settled
    }
}

#[async_trait]
impl Settle for AmqpSettle {
    async fn ack(self: Box<Self>) -> bool {
        let Self { reader, tag, acker } = *self;
        if !reader.is_open() {
            return false;
        }
        reader.acks().done(tag, acker);
        // Whoever acks at the same time is done, too, once this goes on, and the first to go on sends all of it.
        yield_now().await;
        let acks = reader.acks().take();
        let mut are_settled = true;
        for Ack { by, count } in acks {
            let options = BasicAckOptions {
                multiple: count > 1,
            };
            are_settled &= reader.settled(count, by.ack(options)).await;
        }
        are_settled && reader.is_open()
    }

    async fn requeue(self: Box<Self>) -> bool {
        if !self.reader.is_open() {
            return false;
        }
        self.reader.acks().settled(self.tag);
        let options = BasicNackOptions {
            requeue: true,
            multiple: false,
        };
        self.reader.settled(1, self.acker.nack(options)).await
    }
}
