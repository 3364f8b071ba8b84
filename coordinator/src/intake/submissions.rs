//! Films submitted over AMQP.

use std::sync::Arc;

use shared::api::SubmitAnswer;
use shared::broker::{Delivery, Queue, ReadOptions, SharedBroker, Subscription, park};
use shared::film::{FilmRequest, Mistake};
use shared::news::News;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{PREFETCH, wait_for};
use crate::effects;
use crate::engine::Input;

/// Longest `message_id`, in bytes: AMQP's own limit for short strings.
const ID_MAX: usize = 255;

/// Reads submissions until told to stop; not before it is sure that no other coordinator does. `is_open` says whether they
/// are read: from then on the broker takes them, while a queue that was only just declared may still turn one down.
pub(crate) async fn run(
    broker: SharedBroker,
    mut is_reader: watch::Receiver<bool>,
    is_open: Arc<watch::Sender<bool>>,
    engine: mpsc::Sender<Input>,
    stop: CancellationToken,
) {
    let mut told = News::default();
    let read = async {
        loop {
            if is_reader.wait_for(|is_reader| *is_reader).await.is_err() {
                return;
            }
            match broker
                .subscribe(
                    &Queue::Submissions,
                    ReadOptions {
                        prefetch: PREFETCH,
                        priority: 0,
                    },
                )
                .await
            {
                Ok(subscription) => {
                    told.over();
                    is_open.send_replace(true);
                    read(&broker, &engine, subscription).await;
                    is_open.send_replace(false);
                }
                Err(error) => wait_for(&Queue::Submissions, error, &mut told).await,
            }
        }
    };
    stop.run_until_cancelled(read).await;
}

async fn read(
    broker: &SharedBroker,
    engine: &mpsc::Sender<Input>,
    mut subscription: Box<dyn Subscription>,
) {
    while let Some(delivery) = subscription.next().await {
        match parse(&delivery) {
            Ok(request) => {
                let input = Input::Submission {
                    request: Box::new(request),
                    delivery,
                };
                if engine.send(input).await.is_err() {
                    return;
                }
            }
            Err(mistakes) => refuse(broker, delivery, mistakes).await,
        }
    }
}

fn parse(delivery: &Delivery) -> Result<FilmRequest, Vec<Mistake>> {
    let id = &delivery.message.id;
    let mut mistakes = Vec::new();
    if id.is_empty() || id.len() > ID_MAX {
        let problem = format!(
            "set the message's message_id to 1 to {ID_MAX} bytes: it makes a repeat harmless"
        );
        mistakes.push(Mistake::new("message_id", problem));
    }
    match FilmRequest::parse(&delivery.message.body) {
        Ok(request) if mistakes.is_empty() => Ok(request),
        Ok(_) => Err(mistakes),
        Err(others) => {
            mistakes.extend(others);
            Err(mistakes)
        }
    }
}

/// Answers with every mistake, and parks the submission with them.
async fn refuse(broker: &SharedBroker, delivery: Delivery, mistakes: Vec<Mistake>) {
    let reason = mistakes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    if let Some(to) = &delivery.message.reply_to {
        let correlation_id = delivery.message.correlation_id.clone();
        let answer = effects::reply(
            to.clone(),
            correlation_id,
            &SubmitAnswer::Mistaken { mistakes },
        );
        if let Err(error) = broker.publish(&answer.to, answer.message).await {
            tracing::debug!(%error, "a submitter was not there to be answered");
        }
    }
    park(broker, Queue::RejectedSubmissions, delivery, &reason).await;
}
