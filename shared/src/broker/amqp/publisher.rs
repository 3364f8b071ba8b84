//! Publishes with confirms, many at a time, in the order in which they were asked for.
//!
//! One task owns the channel. lapin numbers a publish and queues its frames in two steps, so that two tasks which publish on
//! one channel at once could get each other's confirms.

use std::collections::HashMap;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, poll};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::{BasicProperties, Channel, Confirmation, ErrorKind};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::connection::{Closed, Session, Sessions, current};
use super::mapping;
use crate::broker::topology::Route;
use crate::broker::{Message, PublishError, Queue};

/// Publishes that may wait for their confirm at a time.
const MAX_IN_FLIGHT: usize = 256;

type Answer = Result<(), PublishError>;

/// Asks the publishing task.
#[derive(Debug)]
pub(super) struct Publisher {
    requests: mpsc::UnboundedSender<Request>,
}

impl Publisher {
    /// Starts the task; it ends when this is dropped.
    pub(super) fn start(sessions: Sessions) -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let task = Task {
            requests,
            sessions,
            channel: None,
            in_flight: FuturesUnordered::new(),
            returned: HashMap::new(),
        };
        tokio::spawn(task.run());
        Self { requests: sender }
    }

    /// Publishes, having made that queue if need be. Its place in the order is taken when it is polled first.
    pub(super) async fn publish(
        &self,
        route: &Route,
        makes: Option<&Queue>,
        message: Message,
    ) -> Answer {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            properties: mapping::properties(&message),
            route: route.clone(),
            makes: makes.cloned(),
            id: message.id,
            body: message.body,
            answer,
        };
        if self.requests.send(request).is_err() {
            return unknown(&Closed);
        }
        answered
            .await
            .unwrap_or_else(|_| unknown("the connection was lost before the answer came"))
    }
}

struct Request {
    route: Route,
    makes: Option<Queue>,
    id: String,
    body: Bytes,
    properties: BasicProperties,
    answer: oneshot::Sender<Answer>,
}

/// Tells returned messages apart: routing key and message id.
type Key = (String, String);

/// A publish that the broker, or lapin, has answered.
struct Answered {
    key: Key,
    outcome: lapin::Result<Confirmation>,
    answer: oneshot::Sender<Answer>,
}

type InFlight = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// The channel in use, and the session that it belongs to.
struct OpenChannel {
    channel: Channel,
    session: Arc<Session>,
}

struct Task {
    requests: mpsc::UnboundedReceiver<Request>,
    sessions: Sessions,
    channel: Option<OpenChannel>,
    in_flight: FuturesUnordered<InFlight>,
    /// Returned messages whose own confirm has not been seen yet.
    returned: HashMap<Key, usize>,
}

impl Task {
    async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                Some(first) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    self.settle(first).await;
                }
                request = self.requests.recv(), if self.in_flight.len() < MAX_IN_FLIGHT => match request {
                    Some(request) => self.start_publish(request).await,
                    None => return,
                },
                // Their confirms will never come.
                () = is_gone(self.channel.as_ref()) => self.abandon_in_flight(),
            }
        }
    }

    async fn start_publish(&mut self, mut request: Request) {
        let known = self.sessions.borrow().clone();
        let session = match known {
            Some(session) => session,
            None => {
                self.abandon_in_flight();
                tokio::select! {
                    session = current(&mut self.sessions) => match session {
                        Ok(session) => session,
                        Err(closed) => return reply(request.answer, unknown(&closed)),
                    },
                    () = request.answer.closed() => return,
                }
            }
        };
        if request.answer.is_closed() {
            return;
        }
        let prepared = session.heard(self.prepare(&session, request.makes.as_ref()));
        match prepared.await {
            Ok(channel) => self.publish(channel, request).await,
            Err(error) => {
                session.doubt();
                reply(request.answer, classify(&error, true));
            }
        }
    }

    /// The channel to publish on, with everything declared.
    async fn prepare(
        &mut self,
        session: &Arc<Session>,
        makes: Option<&Queue>,
    ) -> lapin::Result<Channel> {
        if let Some(open) = &self.channel
            && !Arc::ptr_eq(&open.session, session)
        {
            self.abandon_in_flight();
        }
        session.declare(makes).await?;
        if let Some(open) = &self.channel
            && open.channel.status().connected()
        {
            return Ok(open.channel.clone());
        }
        let channel = session.publishing.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        self.returned.clear();
        self.channel = Some(OpenChannel {
            channel: channel.clone(),
            session: Arc::clone(session),
        });
        Ok(channel)
    }

    async fn publish(&mut self, channel: Channel, request: Request) {
        let Request {
            route,
            id,
            body,
            properties,
            answer,
            ..
        } = request;
        let mut publish: InFlight = Box::pin(async move {
            let options = BasicPublishOptions {
                mandatory: route.mandatory,
                immediate: false,
            };
            let exchange = route.exchange.into();
            let key = route.routing_key.as_str().into();
            let sent = channel
                .basic_publish(exchange, key, options, &body, properties)
                .await;
            let outcome = match sent {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            Answered {
                key: (route.routing_key, id),
                outcome,
                answer,
            }
        });
        // lapin takes the frames when it is polled first: doing that here keeps the order.
        match poll!(&mut publish) {
            std::task::Poll::Ready(answered) => self.settle(answered).await,
            std::task::Poll::Pending => self.in_flight.push(publish),
        }
    }

    /// Answers everyone whose confirm is here.
    ///
    /// One frame of the broker may confirm many publishes. lapin then hands the messages that were returned before to *any*
    /// of these confirms, so a confirm says little before all that came with it have been seen.
    async fn settle(&mut self, first: Answered) {
        let mut round = vec![first];
        self.collect_answered(&mut round);
        if let Some(open) = &self.channel {
            // lapin resolves all confirms of one frame under a lock which this takes, too: afterwards they are all here.
            let _ = open.channel.wait_for_confirms().now_or_never();
        }
        self.collect_answered(&mut round);

        for answered in &mut round {
            if let Ok(Confirmation::Ack(returned) | Confirmation::Nack(returned)) =
                &mut answered.outcome
                && let Some(returned) = returned.take()
            {
                let id = returned
                    .properties
                    .message_id()
                    .as_ref()
                    .map(ToString::to_string);
                let key = (returned.routing_key.to_string(), id.unwrap_or_default());
                *self.returned.entry(key).or_default() += 1;
            }
        }
        let was_alone = round.len() == 1 && self.in_flight.is_empty();
        if let Some(error) = round
            .iter()
            .find_map(|answered| answered.outcome.as_ref().err())
        {
            warn!(%error, publishes = round.len(), "publishes were cut off without an answer");
            if let Some(open) = self.channel.take() {
                open.session.forget_everything().await;
                open.session.doubt();
            }
        }
        for Answered {
            key,
            outcome,
            answer,
        } in round
        {
            let verdict = match outcome {
                _ if self.take_returned(&key) => Err(PublishError::Unroutable),
                Ok(Confirmation::Ack(_) | Confirmation::NotRequested) => Ok(()),
                Ok(Confirmation::Nack(_)) => Err(PublishError::Full),
                Err(error) => classify(&error, was_alone),
            };
            reply(answer, verdict);
        }
    }

    fn collect_answered(&mut self, round: &mut Vec<Answered>) {
        while let Some(Some(answered)) = self.in_flight.next().now_or_never() {
            round.push(answered);
        }
    }

    fn take_returned(&mut self, key: &Key) -> bool {
        let Some(count) = self.returned.get_mut(key) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.returned.remove(key);
        }
        true
    }

    /// Gives up on what was sent over a connection that is gone: dropped, they answer that nothing is known.
    fn abandon_in_flight(&mut self) {
        self.channel = None;
        self.in_flight.clear();
    }
}

/// Waits for the end of the session that the channel belongs to.
async fn is_gone(open: Option<&OpenChannel>) {
    match open {
        Some(open) => open.session.gone.cancelled().await,
        None => pending().await,
    }
}

fn reply(to: oneshot::Sender<Answer>, answer: Answer) {
    // Whoever asked may have stopped waiting.
    let _ = to.send(answer);
}

fn unknown(reason: &(impl ToString + ?Sized)) -> Answer {
    Err(PublishError::Unknown(reason.to_string()))
}

/// What an error means for a publish. `is_to_blame`: no other publish can have caused it.
fn classify(error: &lapin::Error, is_to_blame: bool) -> Answer {
    let is_final = matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(
        error.kind(),
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED)
    ));
    match is_final && is_to_blame {
        true => Err(PublishError::Refused(error.to_string())),
        false => unknown(error),
    }
}
