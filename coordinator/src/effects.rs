//! Carries out one effect: the only `match` over [`Effect`].

use shared::broker::{Address, Message, Queue};
use shared::ids::{MessageId, StoreId};
use shared::protocol::{
    AttemptDenied, AttemptGranted, CancelAttempt, Envelope, ToWorker, WorkerRef,
};

use crate::core::decide::Effect;
use crate::outbox::{Outgoing, Purpose};

/// What goes out for an effect; nothing for a dispatch, which is made from the store.
pub(crate) fn outgoing(
    effect: Effect,
    store: StoreId,
    lease: std::time::Duration,
) -> Option<Outgoing> {
    let (to, message) = match effect {
        Effect::Dispatch => return None,
        Effect::Grant { to, run } => (to, ToWorker::AttemptGranted(AttemptGranted { run, lease })),
        Effect::Deny { to, run, reason } => {
            (to, ToWorker::AttemptDenied(AttemptDenied { run, reason }))
        }
        Effect::Cancel { to, run, reason } => {
            (to, ToWorker::CancelAttempt(CancelAttempt { run, reason }))
        }
    };
    Some(to_worker(to, store, message))
}

/// A word to one worker, which may be lost.
pub(crate) fn to_worker(to: WorkerRef, store: StoreId, message: ToWorker) -> Outgoing {
    Outgoing {
        to: Queue::Inbox(to).into(),
        message: transient(store, message),
        purpose: Purpose::Answer,
        dispatched: None,
    }
}

/// A word to all workers, which may be lost.
pub(crate) fn to_everyone(store: StoreId, message: ToWorker) -> Outgoing {
    Outgoing {
        to: Address::Everyone,
        message: transient(store, message),
        purpose: Purpose::Answer,
        dispatched: None,
    }
}

/// An attempt, for whichever worker takes it.
pub(crate) fn durable(store: StoreId, message: ToWorker) -> Message {
    let envelope = Envelope::new(Some(store), message);
    Message::durable(envelope.message_id, envelope.to_json())
}

/// A message that may be lost with the broker.
pub(crate) fn transient<M: serde::Serialize>(store: StoreId, message: M) -> Message {
    let envelope = Envelope::new(Some(store), message);
    Message::transient(envelope.message_id, envelope.to_json())
}

/// An answer to a submitter.
pub(crate) fn reply(
    to: String,
    correlation_id: Option<String>,
    answer: &shared::api::SubmitAnswer,
) -> Outgoing {
    let body =
        serde_json::to_vec(answer).expect("an answer consists of strings, which JSON can hold");
    let message = Message {
        correlation_id,
        ..Message::transient(MessageId::generate(), body)
    };
    Outgoing {
        to: Address::Reply(to),
        message,
        purpose: Purpose::Answer,
        dispatched: None,
    }
}
