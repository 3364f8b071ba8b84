//! Publishes what the engine has decided, many at once, after it is stored.
//!
//! Attempts come from the store: a job whose `dispatch_due` is set is published until the broker has confirmed it, so that a
//! crash between storing and publishing loses nothing. Answers to workers and to submitters are said once: whoever misses
//! one asks again.

use std::time::SystemTime;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use shared::broker::{Address, Message, PublishError, SharedBroker};
use shared::time::Timestamp;
use shared::trace::{self, Kind, Span, TraceContext};
use tokio::sync::mpsc;

use crate::engine::{Input, Settling};
use crate::store::Dispatch;

/// Most publishes under way at once.
const UNDER_WAY: usize = 256;

/// Something to publish.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: Address,
    pub(crate) message: Message,
    pub(crate) purpose: Purpose,
    /// How it is traced, if it is an attempt of a film that is.
    pub(crate) dispatched: Option<Dispatched>,
}

/// An attempt's way out, as a span that ends when it is handed to the broker.
#[derive(Debug)]
pub(crate) struct Dispatched {
    pub(crate) span: Span,
    /// The film's place in its trace, which is passed on where nothing is exported.
    pub(crate) parent: TraceContext,
}

impl Dispatched {
    /// It goes out now: what the message carries.
    fn go(self) -> TraceContext {
        match trace::is_on() {
            true => self.span.end(),
            false => self.parent,
        }
    }
}

/// What to do when it is out, or is not.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A job's attempt: tell the engine either way.
    Dispatch(Dispatch),
    /// A probe: tell the engine if it is lost.
    Probe(u64),
    /// An answer: if it is lost, it is asked for again.
    Answer,
    /// An answer to a submission over the broker, which is settled so when the answer is out or nobody is there to hear it.
    AnswerTo(Settling),
}

/// Publishes until the channel closes and everything is out or given up.
pub(crate) async fn run(
    broker: SharedBroker,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    engine: mpsc::WeakSender<Input>,
    settling: mpsc::UnboundedSender<Settling>,
) {
    let mut under_way = FuturesUnordered::new();
    let mut is_open = true;
    while is_open || !under_way.is_empty() {
        tokio::select! {
            next = outgoing.recv(), if is_open && under_way.len() < UNDER_WAY => match next {
                Some(Outgoing { to, message, purpose, dispatched }) => {
                    let broker = broker.clone();
                    let published = publish(broker, to, message, dispatched);
                    under_way.push(async move {
                        let (result, to) = published.await;
                        (result, to, purpose)
                    });
                }
                None => is_open = false,
            },
            Some((result, to, purpose)) = under_way.next() => {
                report(&engine, &settling, result, &to, purpose).await;
            }
        }
    }
}

async fn publish(
    broker: SharedBroker,
    to: Address,
    message: Message,
    dispatched: Option<Dispatched>,
) -> (Result<(), PublishError>, Address) {
    let Some(context) = dispatched.map(Dispatched::go) else {
        return (broker.publish(&to, message).await, to);
    };
    let message = trace::mark(message, Some(context));
    let began = SystemTime::now();
    let result = broker.publish(&to, message).await;
    if trace::is_on() {
        let mut span = Span::of(context, "publish")
            .kind(Kind::Producer)
            .since(began);
        if let Err(error) = &result {
            span.fail(error.to_string());
        }
        span.end();
    }
    (result, to)
}

async fn report(
    engine: &mpsc::WeakSender<Input>,
    settling: &mpsc::UnboundedSender<Settling>,
    result: Result<(), PublishError>,
    to: &Address,
    purpose: Purpose,
) {
    let input = match purpose {
        Purpose::Dispatch(dispatch) => {
            match &result {
                Ok(()) => {}
                // That the broker is away is told where it is connected to, and not once more for each job that waits for it.
                Err(error @ PublishError::Unknown(_)) => {
                    tracing::debug!(job.id = %dispatch.job, %error, "an attempt may not have been published yet");
                }
                Err(error) => {
                    tracing::warn!(job.id = %dispatch.job, %error, "an attempt could not be published yet");
                }
            }
            let out = result.map(|()| Timestamp::now());
            Input::Dispatched { dispatch, out }
        }
        Purpose::Probe(number) => match result {
            Ok(()) => return,
            Err(_) => Input::ProbeLost(number),
        },
        Purpose::Answer => return answered(to, result),
        Purpose::AnswerTo(submission) => {
            answered(to, result);
            // Whoever settles ends after us.
            let _ = settling.send(submission);
            return;
        }
    };
    // When the coordinator shuts down, the engine ends first: the store knows what is still due.
    if let Some(engine) = engine.upgrade() {
        let _ = engine.send(input).await;
    }
}

fn answered(to: &Address, result: Result<(), PublishError>) {
    if let Err(error) = result {
        tracing::debug!(?to, %error, "an answer did not reach its reader");
    }
}
