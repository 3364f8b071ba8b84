//! Declares what [`topology`](crate::broker::topology) says, once per session.
//!
//! On channels of its own: a broker that refuses a declaration closes the channel.
//!
//! Whoever may make exchanges makes everything that it uses, so that on a broker of one's own nothing need be set up. Whoever
//! may not is a *guest*, as a worker should be: it makes nothing but its inbox, and looks whether the rest is there.

use std::collections::HashSet;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ErrorKind, ExchangeKind as AmqpExchangeKind};

use super::connection::Session;
use crate::broker::Queue;
use crate::broker::topology::{self, Argument, EXCHANGES, ExchangeKind, QueueDeclaration};

/// What a session knows to be there.
#[derive(Debug, Default)]
pub(super) struct Known {
    exchanges: bool,
    queues: HashSet<Queue>,
    /// This user may not make exchanges. Asked once per session, as a broker writes down what it refuses.
    is_guest: bool,
}

impl Session {
    /// Makes the exchanges and that queue, unless this session knows that they are there.
    pub(super) async fn declare(&self, queue: Option<&Queue>) -> lapin::Result<()> {
        let mut known = self.known.lock().await;
        if !known.exchanges && !known.is_guest {
            match declare_exchanges(&self.consuming.create_channel().await?).await {
                Err(error) if soft_error(&error) == Some(AMQPSoftError::ACCESSREFUSED) => {
                    tracing::debug!("this user makes no exchanges: it uses what is there");
                    known.is_guest = true;
                }
                answer => answer?,
            }
        }
        known.exchanges = true;
        let Some(queue) = queue.filter(|queue| !known.queues.contains(queue)) else {
            return Ok(());
        };
        let declaration = topology::declaration(queue);
        let channel = self.consuming.create_channel().await?;
        match queue {
            Queue::Inbox(_) => declare_queue(&channel, &declaration).await?,
            _ if known.is_guest => look_for_queue(&channel, &declaration).await?,
            _ => {
                if let Some(poison) = &declaration.poison {
                    // First, so that nothing is put aside into nowhere.
                    declare_queue(&channel, &topology::declaration(&poison.aside)).await?;
                }
                declare_queue(&channel, &declaration).await?;
            }
        }
        known.queues.insert(queue.clone());
        Ok(())
    }

    /// Declares that queue again when it is needed next.
    pub(super) async fn forget(&self, queue: &Queue) {
        self.known.lock().await.queues.remove(queue);
    }

    /// Declares everything again when it is needed next.
    pub(super) async fn forget_everything(&self) {
        let mut known = self.known.lock().await;
        known.exchanges = false;
        known.queues.clear();
    }
}

/// The error that closed a channel, if it was one.
pub(super) fn soft_error(error: &lapin::Error) -> Option<AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft.clone()),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

async fn declare_exchanges(channel: &Channel) -> lapin::Result<()> {
    for exchange in EXCHANGES {
        let kind = match exchange.kind {
            ExchangeKind::Direct => AmqpExchangeKind::Direct,
            ExchangeKind::Fanout => AmqpExchangeKind::Fanout,
        };
        let options = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        channel
            .exchange_declare(exchange.name.into(), kind, options, FieldTable::default())
            .await?;
    }
    Ok(())
}

async fn declare_queue(channel: &Channel, queue: &QueueDeclaration) -> lapin::Result<()> {
    let name = || queue.name.as_str().into();
    channel
        .queue_declare(name(), QueueDeclareOptions::durable(), arguments(queue))
        .await?;
    for exchange in &queue.bindings {
        let options = QueueBindOptions::default();
        channel
            .queue_bind(
                name(),
                (*exchange).into(),
                name(),
                options,
                FieldTable::default(),
            )
            .await?;
    }
    Ok(())
}

/// Fails if it is not there. Needs no right.
async fn look_for_queue(channel: &Channel, queue: &QueueDeclaration) -> lapin::Result<()> {
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::durable()
    };
    let name = queue.name.as_str().into();
    channel
        .queue_declare(name, options, FieldTable::default())
        .await
        .map(drop)
}

pub(super) fn arguments(queue: &QueueDeclaration) -> FieldTable {
    let mut arguments = FieldTable::default();
    for (name, value) in queue.arguments() {
        let value = match value {
            Argument::Text(text) => AMQPValue::LongString(text.into()),
            Argument::Number(number) => AMQPValue::LongLongInt(number),
            Argument::Flag(flag) => AMQPValue::Boolean(flag),
        };
        arguments.insert(name.into(), value);
    }
    arguments
}
