//! How a run ended: written down first, then published until the broker has it, however long that takes.

use std::time::Duration;

use shared::broker::{Message, PublishError, Queue, SharedBroker};
use shared::failure::{Failure, FailureKind, chain};
use shared::fields;
use shared::ids::{RunId, StoreId};
use shared::log_news;
use shared::news::News;
use shared::protocol::{AttemptFailed, Envelope, ToCoordinator};
use shared::trace::{self, Kind, Span, TraceContext};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::journal::Journal;

/// First pause after a report could not be published; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Pause after the broker refused a report: a person has to act first.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// Sends reports. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    broker: SharedBroker,
    journal: Journal,
    pending: TaskTracker,
    ended: CancellationToken,
}

impl Reporter {
    /// A reporter that tries until `ended` fires.
    pub(crate) fn new(broker: SharedBroker, journal: Journal, ended: CancellationToken) -> Self {
        Self {
            broker,
            journal,
            pending: TaskTracker::new(),
            ended,
        }
    }

    /// Writes down how a run ended and sees to it that the coordinator hears of it. Returns as soon as it is written down.
    pub(crate) async fn report(
        &self,
        run: RunId,
        store: Option<StoreId>,
        part_of: Option<TraceContext>,
        message: ToCoordinator,
    ) {
        let report = Envelope::new(store, message);
        if let Err(error) = self
            .journal
            .ended(run, report.sent_at, report.clone())
            .await
        {
            tracing::error!(
                { fields::ERROR } = chain(&error),
                "the report of a run could not be written down; it is published all the same"
            );
        }
        self.publish(run, part_of, report);
    }

    /// Sees to it that the coordinator hears of a report that is written down already.
    pub(crate) fn publish(
        &self,
        run: RunId,
        part_of: Option<TraceContext>,
        report: Envelope<ToCoordinator>,
    ) {
        let this = self.clone();
        let ended = self.ended.clone();
        let publish = async move {
            let written_at = report.sent_at;
            if this.publish_until_confirmed(part_of, report).await {
                if let Some(part_of) = part_of.filter(|_| trace::is_on()) {
                    let span = Span::of(part_of, "report").kind(Kind::Producer);
                    span.since_timestamp(written_at).end();
                }
                this.journal.confirmed(run).await;
            }
        };
        self.pending
            .spawn(async move { ended.run_until_cancelled(publish).await });
    }

    /// How many reports the broker does not have yet.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Waits until nothing is left to publish.
    pub(crate) async fn all_published(&self) {
        self.pending.close();
        self.pending.wait().await;
    }

    /// Publishes until the broker has it. `false` if it never will, whatever a person does.
    async fn publish_until_confirmed(
        &self,
        part_of: Option<TraceContext>,
        mut report: Envelope<ToCoordinator>,
    ) -> bool {
        let mut pause = FIRST_PAUSE;
        let mut told = News::default();
        loop {
            let message = Message::durable(report.message_id, report.to_json());
            let message = trace::mark(message, part_of);
            match self.broker.publish(&Queue::Reports.into(), message).await {
                Ok(()) => return true,
                Err(PublishError::TooLarge(why)) => match too_large(&report, &why) {
                    Some(failed) => report = failed,
                    None => {
                        tracing::error!(
                            { fields::REASON } = why,
                            "a report is too large for any broker; the lease of the run will expire"
                        );
                        return false;
                    }
                },
                Err(PublishError::Refused(why)) => {
                    log_news!(
                        told.is_news(&why),
                        error,
                        { fields::REASON } = why,
                        "the broker refuses a report; check the permissions of the worker's user and the queue's settings: \
                         it is published again"
                    );
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
                Err(
                    error @ (PublishError::Unknown(_)
                    | PublishError::Unroutable
                    | PublishError::Full),
                ) => {
                    tracing::debug!({ fields::ERROR } = %error, "a report is published again");
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// A success that no broker takes, for its size, is a failure: to publish it for ever would help nobody.
fn too_large(report: &Envelope<ToCoordinator>, why: &str) -> Option<Envelope<ToCoordinator>> {
    let ToCoordinator::AttemptSucceeded(success) = &report.message else {
        return None;
    };
    tracing::error!(
        { fields::REASON } = why,
        "the report of a success is too large for any broker"
    );
    let failure = Failure::new(
        FailureKind::Permanent,
        format!("the result cannot be reported: {why}"),
    );
    let failed = AttemptFailed {
        run: success.run,
        worker: success.worker.clone(),
        failure,
    };
    Some(Envelope::new(
        report.store,
        ToCoordinator::AttemptFailed(failed),
    ))
}
