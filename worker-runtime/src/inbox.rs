//! Answers and orders of the coordinator.

use std::sync::Arc;
use std::time::Duration;

use shared::broker::{Delivery, Queue, ReadOptions, SubscribeError, Subscription};
use shared::failure::chain;
use shared::fields;
use shared::log_news;
use shared::news::News;
use shared::protocol::{Envelope, ToWorker};
use tokio::time::sleep;

use crate::gpu::ledger::BootTime;
use crate::runs::Answer;
use crate::runtime::WorkerError;
use crate::tap::Hints;
use crate::worker::Worker;

/// Answers on their way to one worker at a time: enough for hundreds of short attempts a second.
const PREFETCH: u16 = 128;
/// Pause before the inbox is opened again.
const PAUSE: Duration = Duration::from_millis(500);
/// The same after the broker refused it.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Reads the inbox for as long as the worker lives, through lost connections. Queues of jobs are open only while it is.
///
/// # Errors
/// If the broker refuses it at the start. Later a run may be under way that is worth more than an answer.
pub(crate) async fn serve(worker: Arc<Worker>) -> Result<(), WorkerError> {
    let queue = Queue::Inbox(worker.me.clone());
    let options = ReadOptions {
        prefetch: PREFETCH,
        priority: 0,
    };
    let mut was_open = false;
    let mut told = News::default();
    loop {
        let mut pause = PAUSE;
        match worker.broker.subscribe(&queue, options).await {
            Ok(mut inbox) => {
                was_open = true;
                told.over();
                worker.set(|conditions| conditions.inbox_open = true);
                read(&worker, inbox.as_mut()).await;
                worker.set(|conditions| conditions.inbox_open = false);
                tracing::info!("the inbox has ended; it is opened again");
            }
            Err(SubscribeError::Refused(why)) if !was_open => {
                return Err(WorkerError::InboxRefused(why));
            }
            Err(SubscribeError::Refused(why)) => {
                log_news!(
                    told.is_news(&why),
                    error,
                    { fields::REASON } = why,
                    "the broker refuses the worker's inbox; check the permissions of its user: nothing is taken until then"
                );
                pause = REFUSED_PAUSE;
            }
            // Without rights of its own it can be there before the coordinator has made the exchanges.
            Err(error @ (SubscribeError::Disconnected(_) | SubscribeError::NotThere(_))) => {
                let error = error.to_string();
                log_news!(
                    told.is_news(&error),
                    warn,
                    { fields::ERROR } = error,
                    "the inbox cannot be opened yet; trying again"
                );
            }
        }
        sleep(pause).await;
    }
}

async fn read(worker: &Worker, inbox: &mut dyn Subscription) {
    while let Some(delivery) = inbox.next().await {
        obey(worker, delivery).await;
    }
}

async fn obey(worker: &Worker, delivery: Delivery) {
    let envelope = match Envelope::<ToWorker>::from_json(&delivery.message.body) {
        Ok(envelope) => envelope,
        Err(error) => return worker.park(delivery, &chain(&error)).await,
    };
    worker.heard_of(envelope.store);
    match envelope.message {
        ToWorker::AttemptGranted(granted) => {
            // Nobody waits for it if it was asked for twice.
            worker
                .runs
                .answer(granted.run.run, Answer::Granted(granted.lease));
        }
        ToWorker::AttemptDenied(denied) => {
            worker
                .runs
                .answer(denied.run.run, Answer::Denied(denied.reason));
        }
        ToWorker::CancelAttempt(cancel) => {
            worker.runs.cancel(cancel.run.run, cancel.reason);
        }
        ToWorker::PauseWorker(pause) => {
            worker.set(|conditions| conditions.paused = pause.paused);
        }
        ToWorker::BacklogHints(hints) => {
            let heard = Hints::new(hints.backlogs, BootTime::now());
            worker.hints.send_replace(Some(heard));
        }
        ToWorker::RunAttempt(_) => {
            let reason = "an attempt belongs in the queue of its profile, not in a worker's inbox";
            return worker.park(delivery, reason).await;
        }
    }
    delivery.ack().await;
}
