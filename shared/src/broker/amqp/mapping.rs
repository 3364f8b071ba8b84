//! Messages as AMQP properties, there and back.

use lapin::BasicProperties;
use lapin::message::Delivery as AmqpDelivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::broker::Message;

const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// What goes before the body. The message must have passed
/// [`check_limits`](crate::broker::topology::check_limits).
pub(super) fn properties(message: &Message) -> BasicProperties {
    let mode = if message.durable {
        PERSISTENT
    } else {
        TRANSIENT
    };
    let mut properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(mode);
    if !message.id.is_empty() {
        properties = properties.with_message_id(message.id.as_str().into());
    }
    if let Some(id) = &message.correlation_id {
        properties = properties.with_correlation_id(id.as_str().into());
    }
    if let Some(address) = &message.reply_to {
        properties = properties.with_reply_to(address.as_str().into());
    }
    if !message.headers.is_empty() {
        let mut headers = FieldTable::default();
        for (name, value) in &message.headers {
            headers.insert(
                name.as_str().into(),
                AMQPValue::LongString(value.as_str().into()),
            );
        }
        properties = properties.with_headers(headers);
    }
    properties
}

/// The message of a delivery. Headers that are not text are left out.
pub(super) fn message(delivery: &mut AmqpDelivery) -> Message {
    let properties = &delivery.properties;
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    let headers = properties
        .headers()
        .iter()
        .flat_map(|headers| headers.inner());
    Message {
        id: text(properties.message_id()).unwrap_or_default(),
        durable: *properties.delivery_mode() == Some(PERSISTENT),
        correlation_id: text(properties.correlation_id()),
        reply_to: text(properties.reply_to()),
        headers: headers
            .filter_map(|(name, value)| Some((name.to_string(), header_text(value)?)))
            .collect(),
        body: std::mem::take(&mut delivery.data).into(),
    }
}

fn header_text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}
