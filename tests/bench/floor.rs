//! The floor: a raw lapin publisher and consumer on one quorum queue, 1 KiB a message, confirms pipelined, nothing else.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};

const QUEUE: &str = "floor";
const BODY: usize = 1_024;
/// Publishes under way at once, as in the product.
pub(crate) const UNDER_WAY: usize = 256;

/// A publisher and a consumer, each with a connection of its own.
pub(crate) struct Floor {
    publisher: Channel,
    consumer: Consumer,
    _connections: [Connection; 2],
}

impl Floor {
    pub(crate) async fn set(url: &str) -> Result<Self> {
        let connect = || Connection::connect(url, ConnectionProperties::default());
        let connections = [connect().await?, connect().await?];
        let publisher = connections[0].create_channel().await?;
        publisher
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let reader = connections[1].create_channel().await?;
        let mut arguments = FieldTable::default();
        arguments.insert(
            "x-queue-type".into(),
            AMQPValue::LongString("quorum".into()),
        );
        reader
            .queue_delete(QUEUE.into(), QueueDeleteOptions::default())
            .await?;
        reader
            .queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), arguments)
            .await?;
        reader.basic_qos(256, BasicQosOptions::default()).await?;
        let consumer = reader
            .basic_consume(
                QUEUE.into(),
                "".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok(Self {
            publisher,
            consumer,
            _connections: connections,
        })
    }

    /// Messages a second from the first publish to the last ack, publisher and consumer at once.
    pub(crate) async fn throughput(&mut self, messages: u32) -> Result<f64> {
        let begun = Instant::now();
        let publish = async {
            let mut under_way = FuturesUnordered::new();
            for _ in 0..messages {
                if under_way.len() == UNDER_WAY {
                    confirmed(under_way.next().await)?;
                }
                under_way.push(publish(&self.publisher, "", QUEUE, &[b'x'; BODY], "").await?);
            }
            while let Some(result) = under_way.next().await {
                confirmed(Some(result))?;
            }
            Ok::<_, anyhow::Error>(())
        };
        let consume = async {
            for _ in 0..messages {
                let delivery = self.consumer.next().await.context("the consumer ended")??;
                delivery.ack(BasicAckOptions::default()).await?;
            }
            Ok::<_, anyhow::Error>(())
        };
        futures::future::try_join(publish, consume).await?;
        Ok(f64::from(messages) / begun.elapsed().as_secs_f64())
    }

    /// From publish to delivery in milliseconds, one message at a time, `pause` apart.
    pub(crate) async fn latencies(&mut self, messages: u32, pause: Duration) -> Result<Vec<f64>> {
        let mut samples = Vec::new();
        for _ in 0..messages {
            let begun = Instant::now();
            let sent = publish(&self.publisher, "", QUEUE, &[b'x'; BODY], "").await?;
            let delivery = self.consumer.next().await.context("the consumer ended")??;
            samples.push(begun.elapsed().as_secs_f64() * 1e3);
            delivery.ack(BasicAckOptions::default()).await?;
            confirmed(Some(sent.await))?;
            tokio::time::sleep(pause).await;
        }
        Ok(samples)
    }
}

/// Publishes durably and mandatorily.
pub(crate) async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    message_id: &str,
) -> Result<lapin::PublisherConfirm> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let mut properties = BasicProperties::default().with_delivery_mode(2);
    if !message_id.is_empty() {
        properties = properties.with_message_id(message_id.into());
    }
    Ok(channel
        .basic_publish(exchange.into(), key.into(), options, body, properties)
        .await?)
}

/// Fails unless the broker has taken the message.
pub(crate) fn confirmed(result: Option<lapin::Result<Confirmation>>) -> Result<()> {
    let confirmation = result.context("nothing is under way")??;
    ensure!(
        matches!(confirmation, Confirmation::Ack(None)),
        "not taken: {confirmation:?}"
    );
    Ok(())
}
