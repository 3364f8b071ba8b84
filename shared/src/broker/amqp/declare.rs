//! Declares what [`topology`](crate::broker::topology) says, once per session.
//!
//! On channels of its own: a broker that refuses a declaration closes the channel.

use std::collections::HashSet;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind as AmqpExchangeKind};

use super::connection::Session;
use crate::broker::Queue;
use crate::broker::topology::{
    self, EXCHANGES, ExchangeKind, INBOX_EXPIRES, INBOX_MAX_LENGTH, Poison, QueueDeclaration,
    QueueKind,
};

impl Session {
    /// Makes the exchanges and that queue, unless this session knows that they are there.
    pub(super) async fn declare(&self, queue: Option<&Queue>) -> lapin::Result<()> {
        let mut declared = self.declared.lock().await;
        let is_known = match (&*declared, queue) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(queues), Some(queue)) => queues.contains(queue),
        };
        if is_known {
            return Ok(());
        }
        let channel = self.consuming.create_channel().await?;
        if declared.is_none() {
            declare_exchanges(&channel).await?;
        }
        let queues = declared.get_or_insert_with(HashSet::new);
        if let Some(queue) = queue {
            let declaration = topology::declaration(queue);
            if let Some(poison) = &declaration.poison {
                // First, so that nothing is put aside into nowhere.
                declare_queue(&channel, &topology::declaration(&poison.aside)).await?;
            }
            declare_queue(&channel, &declaration).await?;
            queues.insert(queue.clone());
        }
        Ok(())
    }

    /// Declares that queue, and the exchanges, again when they are needed next.
    pub(super) async fn forget(&self, queue: &Queue) {
        if let Some(queues) = &mut *self.declared.lock().await {
            queues.remove(queue);
        }
    }

    /// Declares everything again when it is needed next.
    pub(super) async fn forget_everything(&self) {
        *self.declared.lock().await = None;
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

pub(super) fn arguments(queue: &QueueDeclaration) -> FieldTable {
    let mut arguments = FieldTable::default();
    let mut add = |name: &str, value| {
        arguments.insert(name.into(), value);
    };
    match queue.kind {
        QueueKind::Quorum {
            single_active_consumer,
        } => {
            add("x-queue-type", AMQPValue::LongString("quorum".into()));
            if single_active_consumer {
                add("x-single-active-consumer", AMQPValue::Boolean(true));
            }
        }
        QueueKind::Inbox => {
            let expires_ms = i64::try_from(INBOX_EXPIRES.as_millis()).expect("minutes fit");
            // Named, because a virtual host may have another default.
            add("x-queue-type", AMQPValue::LongString("classic".into()));
            add("x-expires", AMQPValue::LongLongInt(expires_ms));
            add(
                "x-max-length",
                AMQPValue::LongLongInt(i64::from(INBOX_MAX_LENGTH)),
            );
        }
    }
    if let Some(Poison { limit, aside }) = &queue.poison {
        add("x-delivery-limit", AMQPValue::LongInt(i32::from(*limit)));
        add("x-dead-letter-exchange", AMQPValue::LongString("".into()));
        add(
            "x-dead-letter-routing-key",
            AMQPValue::LongString(aside.name().into()),
        );
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submissions_that_come_back_again_and_again_go_to_the_rejected_ones() {
        let declared = arguments(&topology::declaration(&Queue::Submissions));
        let said = |name: &str| declared.inner().get(name).cloned();
        let text = |text: &str| Some(AMQPValue::LongString(text.into()));
        assert_eq!(said("x-queue-type"), text("quorum"));
        assert_eq!(said("x-delivery-limit"), Some(AMQPValue::LongInt(10)));
        assert_eq!(said("x-dead-letter-exchange"), text(""));
        assert_eq!(
            said("x-dead-letter-routing-key"),
            text("callsheet.submissions.rejected")
        );
    }

    #[test]
    fn every_queue_names_its_type_because_a_broker_may_have_another_default() {
        let inbox = Queue::Inbox(crate::protocol::WorkerRef {
            worker: "w".parse().unwrap(),
            boot: crate::ids::BootId::from_u128(1),
        });
        for (queue, kind) in [
            (Queue::Reports, "quorum"),
            (Queue::Parked, "quorum"),
            (Queue::RejectedSubmissions, "quorum"),
            (inbox, "classic"),
        ] {
            let declared = arguments(&topology::declaration(&queue));
            assert_eq!(
                declared.inner().get("x-queue-type"),
                Some(&AMQPValue::LongString(kind.into())),
                "{queue:?}"
            );
        }
    }
}
