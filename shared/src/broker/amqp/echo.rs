//! Finds out when a broker begins to deliver answers.
//!
//! RabbitMQ 4 takes connections a moment before it counts itself among the running nodes, and an answer by direct reply-to goes
//! to running nodes only (`rabbit:do_run_postlaunch_phase` and `rabbit_channel:deliver_reply` of 4.0.5). What is answered in
//! that moment, which is long on a busy machine, is confirmed and then dropped without a word.

use std::time::Duration;

use futures::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::connection::Session;

/// The name that stands for whoever asks, until the broker fills in who that is.
const MYSELF: &str = "amq.rabbitmq.reply-to";
/// Longest wait for an answer to one's own question before it is asked again. On an idle broker it takes about a millisecond.
const PAUSE: Duration = Duration::from_millis(100);
/// How long answers are waited for. A broker that delivers none for so long is taken to be of a sort that never will.
const LIMIT: Duration = Duration::from_secs(5);

/// Why nothing can be said of answers.
#[derive(Debug, thiserror::Error)]
enum EchoError {
    #[error(transparent)]
    Amqp(#[from] lapin::Error),
    #[error("it does not say where answers go")]
    NoAddress,
    #[error("it has ended the consumer of answers")]
    Ended,
}

impl Session {
    /// Resolves when an answer would be delivered: found out once per session, by answering oneself.
    ///
    /// It resolves, too, when the connection is lost, and when the broker delivers no answers or lets us give none: films can be
    /// taken all the same.
    pub(super) async fn answers_arrive(&self) {
        let find_out = async || match timeout(LIMIT, echo(&self.publishing)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "whether this broker delivers answers is not known"),
            Err(_) => warn!(
                "the broker has delivered no answer for {} s: whoever submits over AMQP may not hear what becomes of it, and \
                 should send it again under the same message id",
                LIMIT.as_secs()
            ),
        };
        self.answers.get_or_init(find_out).await;
    }
}

/// Answers itself until an answer comes.
async fn echo(publishing: &Connection) -> Result<(), EchoError> {
    let channel = publishing.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let no_ack = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let mut answers = channel
        .basic_consume(MYSELF.into(), "".into(), no_ack, FieldTable::default())
        .await?;
    let address = own_address(&channel).await?;
    loop {
        publish(&channel, address.clone(), BasicProperties::default()).await?;
        match timeout(PAUSE, answers.next()).await {
            Ok(Some(answer)) => return Ok(answer.map(drop)?),
            Ok(None) => return Err(EchoError::Ended),
            Err(_) => debug!("the broker does not deliver answers yet"),
        }
    }
}

/// Where answers to this channel go. The broker fills that in on the way, also in what it cannot route and returns.
async fn own_address(channel: &Channel) -> Result<ShortString, EchoError> {
    // The default exchange knows queues by their name, and none is without.
    let nowhere = ShortString::default();
    let properties = BasicProperties::default().with_reply_to(MYSELF.into());
    let returned = publish(channel, nowhere, properties).await?.take_message();
    returned
        .and_then(|message| message.properties.reply_to().clone())
        .ok_or(EchoError::NoAddress)
}

/// Over the default exchange, as an answer. RabbitMQ 3.10 also returns what it has delivered.
async fn publish(
    channel: &Channel,
    routing_key: ShortString,
    properties: BasicProperties,
) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions {
        mandatory: true,
        immediate: false,
    };
    channel
        .basic_publish("".into(), routing_key, options, &[], properties)
        .await?
        .await
}
