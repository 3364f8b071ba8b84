//! What every broker promises, as one suite for all of them.
//!
//! Each promise is a function; [`every_promise!`](crate::every_promise) lists them once. Tests that use a queue of which there
//! is only one take turns.
#![expect(missing_docs, reason = "the name of a promise says what it is")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties, Consumer};
use shared::broker::amqp::AmqpBroker;
use shared::broker::embedded::{EmbeddedBroker, ReplyAddress};
use shared::broker::topology::{INBOX_MAX_LENGTH, MAX_BODY_BYTES};
use shared::broker::{
    Address, Broker, Delivery, Link, Message, PublishError, Queue, ReadOptions, SubscribeError,
    Subscription,
};
use shared::ids::{BootId, MessageId, RunId};
use shared::job::JobKind;
use shared::protocol::WorkerRef;
use tokio::sync::Mutex;

use crate::wait::{SOON, soon, until};

/// Runs `$run! { $subject: promise promise .. }` with the name of every promise.
#[macro_export]
macro_rules! every_promise {
    ($run:ident, $subject:path) => {
        $run! { $subject:
            a_message_arrives_as_it_was_sent
            messages_arrive_in_the_order_in_which_their_publishes_were_started
            publishing_makes_a_queue_that_is_not_there
            a_reader_gets_no_more_than_its_prefetch
            settling_makes_room_for_the_next
            what_is_requeued_comes_again_and_says_so
            a_delivery_that_is_here_can_be_had_without_waiting
            a_dropped_subscription_gives_back_what_was_not_settled
            deliveries_stay_valid_when_their_subscription_is_cancelled
            what_is_dropped_unsettled_after_a_cancel_goes_back
            a_cancelled_subscription_gets_nothing_more
            a_cancel_that_races_a_publish_loses_nothing
            readers_of_equal_priority_take_turns
            the_higher_priority_is_served_while_it_has_room
            one_reader_at_a_time_reads_reports_and_the_next_takes_over
            a_message_to_an_inbox_that_is_not_there_is_unroutable_and_no_other_is
            a_message_to_everyone_reaches_every_inbox
            a_full_inbox_keeps_its_newest_messages
            an_answer_reaches_whoever_asked_and_nobody_else
            what_is_too_large_is_refused
            a_closed_broker_says_so
        }
    };
}

/// A broker under test.
#[derive(Debug)]
pub enum Subject {
    /// Within this process.
    Embedded(Arc<EmbeddedBroker>),
    /// RabbitMQ at that URL.
    Amqp(Arc<AmqpBroker>, String),
}

impl Subject {
    /// A fresh embedded broker.
    pub fn embedded() -> Self {
        Self::Embedded(Arc::new(EmbeddedBroker::new()))
    }

    /// A connection to that RabbitMQ server.
    pub async fn amqp(url: &str) -> Self {
        let broker = AmqpBroker::connect(url, "conformance").await;
        Self::Amqp(
            Arc::new(broker.expect("a server for tests lets us in")),
            url.to_owned(),
        )
    }

    fn broker(&self) -> &dyn Broker {
        match self {
            Self::Embedded(broker) => &**broker,
            Self::Amqp(broker, _) => &**broker,
        }
    }

    async fn publish(&self, queue: &Queue, message: Message) -> Result<(), PublishError> {
        self.broker().publish(&queue.clone().into(), message).await
    }

    /// Publishes messages with these numbers, in order.
    async fn publish_numbers(&self, queue: &Queue, numbers: std::ops::Range<u128>) {
        for answer in join_all(numbers.map(|n| self.publish(queue, numbered(n)))).await {
            answer.expect("published");
        }
    }

    async fn subscribe(&self, queue: &Queue, prefetch: u16) -> Box<dyn Subscription> {
        self.subscribe_with_priority(queue, prefetch, 0).await
    }

    async fn subscribe_with_priority(
        &self,
        queue: &Queue,
        prefetch: u16,
        priority: i32,
    ) -> Box<dyn Subscription> {
        let options = ReadOptions { prefetch, priority };
        self.broker()
            .subscribe(queue, options)
            .await
            .expect("subscribed")
    }

    /// Puts a question into a queue, as a program does that knows nothing of this port, and waits for answers.
    async fn ask(&self, queue: &Queue, question: Message) -> Answers {
        match self {
            Self::Embedded(broker) => {
                let address = broker.reply_address();
                let question = Message {
                    reply_to: Some(address.name().to_owned()),
                    ..question
                };
                self.publish(queue, question).await.expect("asked");
                Answers::Embedded(address)
            }
            Self::Amqp(_, url) => ask_over_amqp(url, queue, question).await.expect("asked"),
        }
    }
}

/// Where answers arrive.
enum Answers {
    Embedded(ReplyAddress),
    Amqp(Box<(Connection, Consumer)>),
}

impl Answers {
    /// Body and correlation id of the next answer.
    async fn next(&mut self) -> (Vec<u8>, Option<String>) {
        match self {
            Self::Embedded(address) => {
                let answer = soon("an answer", address.next()).await.expect("answered");
                (answer.body.to_vec(), answer.correlation_id)
            }
            Self::Amqp(client) => {
                let answer = soon("an answer", client.1.next())
                    .await
                    .expect("answered")
                    .expect("answered");
                let id = answer.properties.correlation_id().as_ref();
                (answer.data.clone(), id.map(ToString::to_string))
            }
        }
    }

    async fn go_away(self) {
        match self {
            Self::Embedded(address) => drop(address),
            Self::Amqp(client) => client.0.close(200, "".into()).await.expect("closed"),
        }
    }
}

async fn ask_over_amqp(url: &str, queue: &Queue, question: Message) -> lapin::Result<Answers> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let reply_to = "amq.rabbitmq.reply-to";
    let without_ack = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let consumer = channel
        .basic_consume(
            reply_to.into(),
            "".into(),
            without_ack,
            FieldTable::default(),
        )
        .await?;
    let properties = BasicProperties::default()
        .with_reply_to(reply_to.into())
        .with_correlation_id(question.correlation_id.unwrap_or_default().into());
    let options = BasicPublishOptions::default();
    let name = queue.name().into();
    channel
        .basic_publish("".into(), name, options, &question.body, properties)
        .await?;
    Ok(Answers::Amqp(Box::new((connection, consumer))))
}

/// Held by a test that uses the queue of reports or speaks to everyone.
static ONE_OF_A_KIND: Mutex<()> = Mutex::const_new(());

fn own_queue() -> Queue {
    let profile = RunId::generate()
        .to_string()
        .parse()
        .expect("a UUID is a profile name");
    Queue::Jobs(JobKind::Scene, profile)
}

fn own_inbox() -> Queue {
    Queue::Inbox(WorkerRef {
        worker: "conformance".parse().expect("a worker's name"),
        boot: BootId::generate(),
    })
}

fn numbered(n: u128) -> Message {
    Message::durable(MessageId::from_u128(n), n.to_string())
}

fn number(delivery: &Delivery) -> u128 {
    let id: MessageId = delivery.message.id.parse().expect("our own message");
    id.as_u128()
}

async fn next(subscription: &mut Box<dyn Subscription>) -> Delivery {
    soon("a delivery", subscription.next())
        .await
        .expect("the subscription is open")
}

/// The numbers of the next deliveries, which are acked.
async fn take(subscription: &mut Box<dyn Subscription>, count: usize) -> Vec<u128> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let delivery = next(subscription).await;
        numbers.push(number(&delivery));
        assert!(delivery.ack().await);
    }
    numbers
}

/// Checks that nothing is left for the only reader of a queue: what is published now is what it gets next.
async fn assert_empty(subject: &Subject, queue: &Queue, reader: &mut Box<dyn Subscription>) {
    subject.publish_numbers(queue, 9_999..10_000).await;
    let last = next(reader).await;
    assert_eq!((number(&last), last.redelivered), (9_999, false));
    assert!(last.ack().await);
}

pub async fn a_message_arrives_as_it_was_sent(subject: &Subject) {
    let queue = own_queue();
    let full = Message {
        correlation_id: Some("question 7".to_owned()),
        reply_to: Some("somewhere".to_owned()),
        ..Message::durable(MessageId::generate(), "{\"premise\":\"a storm — étrange\"}")
    }
    .with_header("traceparent", "00-4bf9-00f0-01")
    .with_header("why", "ünreadable");
    let bare = Message {
        id: String::new(),
        ..Message::transient(MessageId::generate(), vec![0, 255, 7])
    };
    let mut reader = subject.subscribe(&queue, 2).await;
    for sent in [full, bare] {
        subject
            .publish(&queue, sent.clone())
            .await
            .expect("published");
        let delivery = next(&mut reader).await;
        assert_eq!((&delivery.message, delivery.redelivered), (&sent, false));
        assert!(delivery.ack().await);
    }
}

pub async fn messages_arrive_in_the_order_in_which_their_publishes_were_started(subject: &Subject) {
    let queue = own_queue();
    let mut reader = subject.subscribe(&queue, 50).await;
    let (numbers, ()) = tokio::join!(
        take(&mut reader, 1_000),
        subject.publish_numbers(&queue, 0..1_000)
    );
    assert!(numbers.into_iter().eq(0..1_000));
}

pub async fn publishing_makes_a_queue_that_is_not_there(subject: &Subject) {
    for queue in [own_queue(), Queue::Parked] {
        subject.publish_numbers(&queue, 1..3).await;
        let mut reader = subject.subscribe(&queue, 1).await;
        assert_eq!(take(&mut reader, 2).await, [1, 2]);
    }
}

pub async fn a_reader_gets_no_more_than_its_prefetch(subject: &Subject) {
    let queue = own_queue();
    let mut first = subject.subscribe(&queue, 2).await;
    subject.publish_numbers(&queue, 0..5).await;
    let held = [next(&mut first).await, next(&mut first).await];
    let mut second = subject.subscribe(&queue, 10).await;
    assert_eq!(take(&mut second, 3).await, [2, 3, 4]);
    assert!(first.ready().is_none());
    assert_eq!(held.each_ref().map(number), [0, 1]);
}

pub async fn settling_makes_room_for_the_next(subject: &Subject) {
    let queue = own_queue();
    let mut reader = subject.subscribe(&queue, 1).await;
    subject.publish_numbers(&queue, 0..3).await;
    let first = next(&mut reader).await;
    assert!(reader.ready().is_none());
    assert!(first.ack().await);
    assert_eq!(take(&mut reader, 2).await, [1, 2]);
    assert_empty(subject, &queue, &mut reader).await;
}

pub async fn what_is_requeued_comes_again_and_says_so(subject: &Subject) {
    let queue = own_queue();
    let mut reader = subject.subscribe(&queue, 1).await;
    subject.publish_numbers(&queue, 0..1).await;
    let first = next(&mut reader).await;
    assert!(!first.redelivered);
    assert!(first.requeue().await);
    let again = next(&mut reader).await;
    assert_eq!((number(&again), again.redelivered), (0, true));
    assert!(again.ack().await);
    assert_empty(subject, &queue, &mut reader).await;
}

pub async fn a_delivery_that_is_here_can_be_had_without_waiting(subject: &Subject) {
    let queue = own_queue();
    let mut reader = subject.subscribe(&queue, 3).await;
    assert!(reader.ready().is_none());
    subject.publish_numbers(&queue, 0..3).await;
    for n in 0..2 {
        let ready = until("a delivery to be ready", SOON, async || {
            reader.ready().ok_or("none")
        })
        .await;
        assert_eq!(number(&ready), n);
        assert!(ready.ack().await);
    }
    assert_eq!(take(&mut reader, 1).await, [2]);
    assert!(reader.ready().is_none());
}

pub async fn a_dropped_subscription_gives_back_what_was_not_settled(subject: &Subject) {
    let queue = own_queue();
    let mut first = subject.subscribe(&queue, 3).await;
    subject.publish_numbers(&queue, 0..3).await;
    let (acked, held) = (next(&mut first).await, next(&mut first).await);
    assert!(acked.ack().await);
    drop(first);
    assert!(
        !held.ack().await,
        "a delivery of a dropped subscription is nobody's"
    );
    let mut second = subject.subscribe(&queue, 3).await;
    for _ in 0..2 {
        let delivery = next(&mut second).await;
        assert!(delivery.redelivered && (1..3).contains(&number(&delivery)));
        assert!(delivery.ack().await);
    }
    assert_empty(subject, &queue, &mut second).await;
}

pub async fn deliveries_stay_valid_when_their_subscription_is_cancelled(subject: &Subject) {
    let queue = own_queue();
    let mut reader = subject.subscribe(&queue, 3).await;
    subject.publish_numbers(&queue, 0..3).await;
    let mut deliveries = vec![next(&mut reader).await];
    let rest = soon("the rest", reader.cancel()).await;
    let late = 3 - 1 - rest.len();
    deliveries.extend(rest);
    for (n, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(number(&delivery), n as u128);
        assert!(delivery.ack().await);
    }
    // A message may come so late that the cancel is first; it stays in the queue.
    let mut reader = subject.subscribe(&queue, 1).await;
    assert_eq!(take(&mut reader, late).await.len(), late);
    assert_empty(subject, &queue, &mut reader).await;
}

pub async fn what_is_dropped_unsettled_after_a_cancel_goes_back(subject: &Subject) {
    let queue = own_queue();
    let mut reader = subject.subscribe(&queue, 2).await;
    subject.publish_numbers(&queue, 0..2).await;
    let (first, second) = (next(&mut reader).await, next(&mut reader).await);
    assert!(soon("the rest", reader.cancel()).await.is_empty());
    drop(first);
    assert!(second.ack().await);
    let mut reader = subject.subscribe(&queue, 1).await;
    let again = next(&mut reader).await;
    assert_eq!((number(&again), again.redelivered), (0, true));
    assert!(again.ack().await);
}

pub async fn a_cancelled_subscription_gets_nothing_more(subject: &Subject) {
    let queue = own_queue();
    // Often, because a subscription may use again what an earlier one has left.
    for _ in 0..20 {
        let cancelled = subject.subscribe(&queue, 1).await;
        assert!(soon("the rest", cancelled.cancel()).await.is_empty());
        let mut reader = subject.subscribe(&queue, 1).await;
        assert_empty(subject, &queue, &mut reader).await;
        assert!(soon("the rest", reader.cancel()).await.is_empty());
    }
}

pub async fn a_cancel_that_races_a_publish_loses_nothing(subject: &Subject) {
    const ROUNDS: u128 = 200;
    let queue = own_queue();
    let mut seen = BTreeSet::new();
    let mut settle = async |delivery: Delivery| {
        seen.insert(number(&delivery));
        assert!(delivery.ack().await);
    };
    for round in 0..ROUNDS {
        let reader = subject.subscribe(&queue, 1).await;
        let publish = subject.publish_numbers(&queue, round..round + 1);
        let (rest, ()) = tokio::join!(soon("the rest", reader.cancel()), publish);
        for delivery in rest {
            settle(delivery).await;
        }
    }
    subject.publish_numbers(&queue, ROUNDS..ROUNDS + 1).await;
    let mut reader = subject.subscribe(&queue, 1).await;
    loop {
        let delivery = next(&mut reader).await;
        let is_last = number(&delivery) == ROUNDS;
        settle(delivery).await;
        if is_last {
            break;
        }
    }
    assert!(seen.into_iter().eq(0..=ROUNDS));
}

pub async fn readers_of_equal_priority_take_turns(subject: &Subject) {
    let queue = own_queue();
    let mut readers = [
        subject.subscribe(&queue, 1).await,
        subject.subscribe(&queue, 1).await,
    ];
    subject.publish_numbers(&queue, 0..2).await;
    let [first, second] = &mut readers;
    let held = [next(first).await, next(second).await];
    assert_eq!(
        BTreeSet::from(held.each_ref().map(number)),
        BTreeSet::from([0, 1])
    );
}

pub async fn the_higher_priority_is_served_while_it_has_room(subject: &Subject) {
    let queue = own_queue();
    let mut low = subject.subscribe_with_priority(&queue, 5, 0).await;
    let mut high = subject.subscribe_with_priority(&queue, 2, 10).await;
    subject.publish_numbers(&queue, 0..3).await;
    let held = [next(&mut high).await, next(&mut high).await];
    assert_eq!(held.each_ref().map(number), [0, 1]);
    assert_eq!(take(&mut low, 1).await, [2]);
    for delivery in held {
        assert!(delivery.ack().await);
    }
    // An ack says that it was sent. Until it has arrived, the other one is served.
    let mut n = 3;
    loop {
        subject.publish_numbers(&queue, n..n + 1).await;
        let (is_high, delivery) = tokio::select! {
            delivery = next(&mut high) => (true, delivery),
            delivery = next(&mut low) => (false, delivery),
        };
        assert_eq!(number(&delivery), n);
        assert!(delivery.ack().await);
        n += 1;
        assert!(n < 100, "the higher priority is never served");
        if is_high {
            break;
        }
    }
    subject.publish_numbers(&queue, n..n + 1).await;
    assert_eq!(take(&mut high, 1).await, [n]);
}

pub async fn one_reader_at_a_time_reads_reports_and_the_next_takes_over(subject: &Subject) {
    let _alone = ONE_OF_A_KIND.lock().await;
    let mut first = subject.subscribe(&Queue::Reports, 1).await;
    let mut second = subject.subscribe(&Queue::Reports, 10).await;
    subject.publish_numbers(&Queue::Reports, 0..3).await;
    let held = next(&mut first).await;
    assert_eq!(number(&held), 0);
    assert!(held.ack().await);
    assert_eq!(number(&next(&mut first).await), 1);
    assert!(
        second.ready().is_none(),
        "the first reader is full, and still the second must wait"
    );
    drop(first);
    let mut rest = take(&mut second, 2).await;
    rest.sort_unstable();
    assert_eq!(rest, [1, 2]);
}

pub async fn a_message_to_an_inbox_that_is_not_there_is_unroutable_and_no_other_is(
    subject: &Subject,
) {
    let _alone = ONE_OF_A_KIND.lock().await;
    let (there, not_there) = (own_inbox(), own_inbox());
    let mut reader = subject.subscribe(&there, 500).await;
    // Every third goes nowhere. All are under way at once, so that their answers come mixed.
    let goes_nowhere = |n: u128| n % 3 == 1;
    let answers = join_all((0..300).map(|n| {
        let queue = if goes_nowhere(n) { &not_there } else { &there };
        subject.publish(queue, numbered(n))
    }));
    for (n, answer) in (0..300).zip(answers.await) {
        let expected = if goes_nowhere(n) {
            Err(PublishError::Unroutable)
        } else {
            Ok(())
        };
        assert_eq!(answer, expected, "message {n}");
    }
    let arrived = take(&mut reader, 200).await;
    assert!(
        arrived
            .into_iter()
            .eq((0..300).filter(|n| !goes_nowhere(*n)))
    );
}

pub async fn a_message_to_everyone_reaches_every_inbox(subject: &Subject) {
    let _alone = ONE_OF_A_KIND.lock().await;
    let tell = async |n| {
        subject
            .broker()
            .publish(&Address::Everyone, numbered(n))
            .await
    };
    tell(0).await.expect("that nobody listens is no error");
    let mut inboxes = Vec::new();
    for _ in 0..3 {
        inboxes.push(subject.subscribe(&own_inbox(), 2).await);
    }
    for n in 1..4 {
        tell(n).await.expect("published");
    }
    for inbox in &mut inboxes {
        assert_eq!(take(inbox, 3).await, [1, 2, 3]);
    }
}

pub async fn a_full_inbox_keeps_its_newest_messages(subject: &Subject) {
    let _alone = ONE_OF_A_KIND.lock().await;
    let room = u128::from(INBOX_MAX_LENGTH);
    let inbox = own_inbox();
    let mut reader = subject.subscribe(&inbox, 1).await;
    subject.publish_numbers(&inbox, 0..1).await;
    let held = next(&mut reader).await;
    subject.publish_numbers(&inbox, 1..room + 11).await;
    assert!(held.ack().await);
    let newest = take(&mut reader, usize::from(INBOX_MAX_LENGTH)).await;
    assert!(newest.into_iter().eq(11..room + 11));
}

pub async fn an_answer_reaches_whoever_asked_and_nobody_else(subject: &Subject) {
    let queue = own_queue();
    let mut reader = subject.subscribe(&queue, 1).await;
    let question = Message {
        correlation_id: Some("film 7".to_owned()),
        ..numbered(1)
    };
    let mut answers = subject.ask(&queue, question).await;
    let delivery = next(&mut reader).await;
    let reply_to = delivery.message.reply_to.clone().expect("an address");
    let to = Address::Reply(reply_to);
    let answer = Message {
        correlation_id: delivery.message.correlation_id.clone(),
        ..Message::transient(MessageId::generate(), "accepted")
    };
    assert!(delivery.ack().await);
    subject
        .broker()
        .publish(&to, answer.clone())
        .await
        .expect("answered");
    assert_eq!(
        answers.next().await,
        (b"accepted".to_vec(), Some("film 7".to_owned()))
    );

    answers.go_away().await;
    let lost = subject.broker().publish(&to, answer.clone()).await;
    lost.expect("that the asker has gone is no error");

    for name in [
        queue.name(),
        "amq.rabbitmq.reply-to".to_owned(),
        String::new(),
    ] {
        let refused = subject
            .broker()
            .publish(&Address::Reply(name), answer.clone())
            .await;
        assert!(
            matches!(refused, Err(PublishError::Refused(_))),
            "{refused:?}"
        );
    }
    assert_empty(subject, &queue, &mut reader).await;
}

pub async fn what_is_too_large_is_refused(subject: &Subject) {
    let queue = own_queue();
    let sized = |bytes| Message::durable(MessageId::generate(), vec![b'x'; bytes]);
    let refused = subject.publish(&queue, sized(MAX_BODY_BYTES + 1)).await;
    assert!(
        matches!(refused, Err(PublishError::TooLarge(_))),
        "{refused:?}"
    );
    let long_id = Message {
        id: "x".repeat(256),
        ..numbered(0)
    };
    let refused = subject.publish(&queue, long_id).await;
    assert!(
        matches!(refused, Err(PublishError::TooLarge(_))),
        "{refused:?}"
    );
    // Many frames, and headers as long as they may be.
    let large = sized(2_000_000).with_header("reason", "x".repeat(15_000));
    subject
        .publish(&queue, large.clone())
        .await
        .expect("published");
    let mut reader = subject.subscribe(&queue, 1).await;
    let delivery = next(&mut reader).await;
    assert!(delivery.message == large);
    assert!(delivery.ack().await);
}

pub async fn a_closed_broker_says_so(subject: &Subject) {
    let queue = own_queue();
    let mut reader = subject.subscribe(&queue, 1).await;
    subject.publish_numbers(&queue, 0..1).await;
    let held = next(&mut reader).await;
    assert!(matches!(*subject.broker().link().borrow(), Link::Up(1)));
    soon("the broker to close", subject.broker().close()).await;
    assert!(matches!(*subject.broker().link().borrow(), Link::Down(_)));
    assert!(soon("the end", reader.next()).await.is_none());
    assert!(!held.ack().await);
    let answer =
        tokio::time::timeout(Duration::from_secs(5), subject.publish(&queue, numbered(1))).await;
    assert!(
        matches!(answer, Ok(Err(PublishError::Unknown(_)))),
        "{answer:?}"
    );
    let answer = subject
        .broker()
        .subscribe(&queue, ReadOptions::default())
        .await;
    assert!(matches!(answer, Err(SubscribeError::Disconnected(_))));
}
