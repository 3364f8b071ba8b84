//! Puts aside what nobody can use, where a person finds it.
//!
//! A message that cannot be put aside must not go back to its queue: it would come again at once, without end. It is held
//! instead, and put aside when that is possible; it goes back by itself with the connection.

use std::time::Duration;

use tokio::time::sleep;

use super::topology::REASON_HEADER;
use super::{Address, Delivery, Link, Message, PublishError, Queue, SharedBroker};
use crate::artifact::Sha256;
use crate::fields;

/// Longest reason, in characters.
const REASON_MAX: usize = 1000;
/// What is kept of a body that cannot be put aside whole, in bytes.
const BODY_KEPT: usize = 64 * 1024;
/// First pause before it is tried again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Puts a message aside with the reason, and then takes it off its queue. What no broker takes whole is put aside without its
/// other headers and with a part of its body. When neither can be done now, this returns all the same: the delivery is
/// held, and takes part of its reader's prefetch, until it can be done or the connection is lost.
pub async fn park(broker: &SharedBroker, aside: Queue, delivery: Delivery, reason: &str) {
    let reason: String = reason
        .chars()
        .filter(|c| !c.is_control())
        .take(REASON_MAX)
        .collect();
    tracing::warn!(
        { fields::MESSAGE_ID } = delivery.message.id,
        { fields::REASON } = reason,
        { fields::DESTINATION } = aside.name(),
        "nobody can use a message: it is put aside"
    );
    let mut link = broker.link();
    let taken_over = link.borrow_and_update().clone();
    let held = Held {
        broker: SharedBroker::clone(broker),
        aside: aside.into(),
        delivery,
        reason,
    };
    match held.put_aside().await {
        Ok(()) => held.done().await,
        Err(error) => {
            held.say(&error);
            tokio::spawn(async move {
                let another = |now: &Link| *now != taken_over || matches!(now, Link::Down(_));
                // In a block of its own, which lets go of the link at once.
                let lost = async { drop(link.wait_for(another).await) };
                tokio::select! {
                    () = lost => {}
                    held = held.put_aside_some_time() => held.done().await,
                }
            });
        }
    }
}

/// A delivery that is to be put aside.
struct Held {
    broker: SharedBroker,
    aside: Address,
    delivery: Delivery,
    reason: String,
}

impl Held {
    async fn put_aside_some_time(self) -> Self {
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause).await;
            match self.put_aside().await {
                Ok(()) => return self,
                Err(error) => self.say(&error),
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    async fn put_aside(&self) -> Result<(), PublishError> {
        let whole = Message {
            durable: true,
            correlation_id: None,
            reply_to: None,
            ..self.delivery.message.clone()
        };
        let whole = whole.with_header(REASON_HEADER, self.reason.as_str());
        match self.broker.publish(&self.aside, whole).await {
            Err(PublishError::TooLarge(why) | PublishError::Refused(why)) => {
                self.broker.publish(&self.aside, self.part(&why)).await
            }
            answer => answer,
        }
    }

    /// What can be put aside of a message that cannot be put aside.
    fn part(&self, why: &str) -> Message {
        let Message { id, body, .. } = &self.delivery.message;
        let why: String = why.chars().take(REASON_MAX).collect();
        let reason = format!(
            "{} (a part of it: {why}; the body had {} bytes with the SHA-256 {})",
            self.reason,
            body.len(),
            Sha256::of(body)
        );
        Message {
            id: id.clone(),
            body: body.slice(..body.len().min(BODY_KEPT)),
            durable: true,
            correlation_id: None,
            reply_to: None,
            headers: vec![(REASON_HEADER.to_owned(), reason)],
        }
    }

    fn say(&self, error: &PublishError) {
        tracing::error!(
            { fields::ERROR } = %error,
            { fields::MESSAGE_ID } = self.delivery.message.id,
            "a message cannot be put aside; it is held and tried again"
        );
    }

    async fn done(self) {
        if !self.delivery.ack().await {
            tracing::debug!("a message that was put aside comes again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::broker::embedded::EmbeddedBroker;
    use crate::broker::topology::MAX_BODY_BYTES;
    use crate::broker::{Broker, ReadOptions, Settle, SubscribeError, Subscription};
    use crate::ids::MessageId;

    /// Tells how it was settled; its end without a word tells that it was dropped.
    #[derive(Debug)]
    struct Recorder(mpsc::UnboundedSender<&'static str>);

    #[async_trait]
    impl Settle for Recorder {
        async fn ack(self: Box<Self>) -> bool {
            self.0.send("ack").is_ok()
        }

        async fn requeue(self: Box<Self>) -> bool {
            self.0.send("requeue").is_ok()
        }
    }

    fn delivery(message: Message) -> (Delivery, mpsc::UnboundedReceiver<&'static str>) {
        let (sender, settled) = mpsc::unbounded_channel();
        let delivery = Delivery {
            message,
            redelivered: false,
            settle: Box::new(Recorder(sender)),
        };
        (delivery, settled)
    }

    /// Gives these errors first, and then always the last of them or, if there is none left to give, none.
    #[derive(Debug)]
    struct Unwilling {
        errors: Mutex<Vec<PublishError>>,
        for_ever: bool,
        tries: watch::Sender<u32>,
        link: watch::Sender<Link>,
    }

    impl Unwilling {
        fn new(errors: &[PublishError], for_ever: bool) -> Arc<Self> {
            Arc::new(Self {
                errors: Mutex::new(errors.to_vec()),
                for_ever,
                tries: watch::Sender::new(0),
                link: watch::Sender::new(Link::Up(1)),
            })
        }
    }

    #[async_trait]
    impl Broker for Unwilling {
        async fn publish(&self, _: &Address, _: Message) -> Result<(), PublishError> {
            self.tries.send_modify(|tries| *tries += 1);
            let mut errors = self.errors.lock().unwrap();
            match (errors.first().cloned(), self.for_ever) {
                (Some(error), true) => Err(error),
                (Some(_), false) => Err(errors.remove(0)),
                (None, _) => Ok(()),
            }
        }

        async fn make(&self, _: &Queue) -> Result<(), SubscribeError> {
            Ok(())
        }

        async fn subscribe(
            &self,
            _: &Queue,
            _: ReadOptions,
        ) -> Result<Box<dyn Subscription>, SubscribeError> {
            Err(SubscribeError::Refused("nothing to read".to_owned()))
        }

        fn link(&self) -> watch::Receiver<Link> {
            self.link.subscribe()
        }

        async fn close(&self) {}
    }

    fn small() -> Message {
        Message::durable(MessageId::from_u128(1), "?")
    }

    #[tokio::test]
    async fn what_is_too_large_to_be_put_aside_is_put_aside_in_part() {
        let broker: SharedBroker = Arc::new(EmbeddedBroker::new());
        let large_headers = small().with_header("note", "x".repeat(20_000));
        let large_body = Message {
            body: vec![b'x'; MAX_BODY_BYTES + 1].into(),
            ..small()
        };
        for message in [large_headers, large_body] {
            let (delivery, mut settled) = delivery(message.clone());
            park(&broker, Queue::Parked, delivery, "not\njson").await;
            assert_eq!(settled.recv().await, Some("ack"));
            let mut reader = broker
                .subscribe(&Queue::Parked, ReadOptions::default())
                .await
                .unwrap();
            let parked = reader.next().await.unwrap();
            assert_eq!(parked.message.id, message.id);
            assert!(message.body.starts_with(&parked.message.body));
            assert!((1..=BODY_KEPT).contains(&parked.message.body.len()));
            let reason = parked.message.header(REASON_HEADER).unwrap();
            let length = format!("{} bytes", message.body.len());
            let hash = Sha256::of(&message.body).to_string();
            for said in ["notjson", &length, &hash] {
                assert!(reason.contains(said), "{said}: {reason}");
            }
            assert!(parked.ack().await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_there_is_no_room_a_message_is_held_and_tried_again_with_pauses() {
        let no_room = PublishError::Full;
        let broken = PublishError::Unknown("cut".to_owned());
        let unwilling = Unwilling::new(&[no_room.clone(), broken, no_room], false);
        let broker: SharedBroker = unwilling.clone();
        let (delivery, mut settled) = delivery(small());
        let before = tokio::time::Instant::now();
        park(&broker, Queue::Parked, delivery, "no json").await;
        assert_eq!(
            before.elapsed(),
            Duration::ZERO,
            "its reader is not held up"
        );
        assert_eq!(settled.recv().await, Some("ack"));
        assert_eq!(before.elapsed(), 7 * FIRST_PAUSE);
        assert_eq!(*unwilling.tries.borrow(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_even_in_part_is_never_tried_hot_and_given_up_with_the_connection() {
        let forbidden = PublishError::Refused("forbidden".to_owned());
        let unwilling = Unwilling::new(&[forbidden], true);
        let broker: SharedBroker = unwilling.clone();
        let (delivery, mut settled) = delivery(small());
        park(&broker, Queue::Parked, delivery, "no json").await;
        let hour = tokio::time::timeout(Duration::from_hours(1), settled.recv()).await;
        assert!(hour.is_err(), "{hour:?}");
        let tries = *unwilling.tries.borrow();
        assert!((100..200).contains(&tries), "{tries}");

        unwilling.link.send_replace(Link::Down("lost".to_owned()));
        assert_eq!(settled.recv().await, None, "dropped, and not settled");
        assert_eq!(*unwilling.tries.borrow(), tries);
    }
}
