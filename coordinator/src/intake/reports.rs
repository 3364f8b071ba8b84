//! Reports of workers.

use std::time::Duration;

use shared::artifact::Artifact;
use shared::artifacts::{ArtifactError, ArtifactStore};
use shared::broker::{Delivery, Queue, ReadOptions, SharedBroker, Subscription, park};
use shared::failure::{Failure, FailureKind};
use shared::ids::StoreId;
use shared::log_news;
use shared::news::News;
use shared::profile::Profile;
use shared::protocol::{AttemptProgress, Envelope, ToCoordinator};
use shared::trace::{self, Arrival};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{PREFETCH, wait_for};
use crate::engine::Input;

/// Pause before a product is looked for again in a store that failed.
const CHECK_PAUSE: Duration = Duration::from_secs(2);

/// Reads the reports until told to stop. What workers offer goes to `offers` besides.
pub(crate) async fn run(
    broker: SharedBroker,
    artifacts: ArtifactStore,
    engine: mpsc::Sender<Input>,
    offers: mpsc::Sender<Vec<Profile>>,
    stop: CancellationToken,
) {
    let checks = TaskTracker::new();
    let mut told = News::default();
    let read = async {
        loop {
            match broker
                .subscribe(
                    &Queue::Reports,
                    ReadOptions {
                        prefetch: PREFETCH,
                        priority: 0,
                    },
                )
                .await
            {
                Ok(subscription) => {
                    told.over();
                    let reading = read(
                        &broker,
                        &artifacts,
                        &engine,
                        &offers,
                        &checks,
                        &stop,
                        subscription,
                    );
                    reading.await;
                }
                Err(error) => wait_for(&Queue::Reports, error, &mut told).await,
            }
        }
    };
    stop.run_until_cancelled(read).await;
    checks.close();
    checks.wait().await;
}

async fn read(
    broker: &SharedBroker,
    artifacts: &ArtifactStore,
    engine: &mpsc::Sender<Input>,
    offers: &mpsc::Sender<Vec<Profile>>,
    checks: &TaskTracker,
    stop: &CancellationToken,
    mut subscription: Box<dyn Subscription>,
) {
    while let Some(delivery) = subscription.next().await {
        let envelope = match Envelope::<ToCoordinator>::from_json(&delivery.message.body) {
            Ok(envelope) => envelope,
            Err(error) => {
                park(
                    broker,
                    Queue::Parked,
                    delivery,
                    &shared::failure::chain(&error),
                )
                .await;
                continue;
            }
        };
        if let ToCoordinator::WorkerState(state) = &envelope.message {
            // Lost if there are too many: a worker says it again every few seconds.
            let _ = offers.try_send(state.profiles.clone());
        }
        let file = product_of(&envelope.message).cloned();
        let report = Report {
            arrival: Arrival::now(delivery.message.header(trace::HEADER)),
            store: envelope.store,
            message: envelope.message,
            delivery,
        };
        let taken = match file {
            None => report.pass_on(engine, Ok(())).await,
            // The check reads the whole file; meanwhile the run counts as alive, and other reports are read.
            Some(file) => {
                let alive = report.sign_of_life();
                let passed = engine.send(alive).await.is_ok();
                let check = report.check(file, artifacts.clone(), engine.clone());
                // A store that fails must not hold up the end: the report, dropped unsettled, comes back.
                checks.spawn(stop.clone().run_until_cancelled_owned(check));
                passed
            }
        };
        if !taken {
            return;
        }
    }
}

struct Report {
    arrival: Arrival,
    store: Option<StoreId>,
    message: ToCoordinator,
    delivery: Delivery,
}

impl Report {
    async fn pass_on(self, engine: &mpsc::Sender<Input>, verdict: Result<(), Failure>) -> bool {
        let Self {
            arrival,
            store,
            message,
            delivery,
        } = self;
        engine
            .send(Input::Report {
                store,
                message,
                arrival: Box::new(arrival),
                verdict,
                delivery: Some(delivery),
            })
            .await
            .is_ok()
    }

    /// Passes it on once it is known whether its file is there. A store that fails is asked again, as the file may be fine;
    /// each time the run counts as alive, however long that goes on.
    async fn check(self, file: Artifact, artifacts: ArtifactStore, engine: mpsc::Sender<Input>) {
        let mut told = News::default();
        let verdict = loop {
            match artifacts.verify(&file).await {
                Ok(()) => break Ok(()),
                Err(error @ (ArtifactError::Missing(_) | ArtifactError::Damaged(_))) => {
                    break Err(Failure::from_error(FailureKind::Transient, &error));
                }
                Err(error) => {
                    let error = shared::failure::chain(&error);
                    log_news!(
                        told.is_news(&error),
                        error,
                        error,
                        "a product cannot be checked; trying again"
                    );
                    tokio::time::sleep(CHECK_PAUSE).await;
                    if engine.send(self.sign_of_life()).await.is_err() {
                        return;
                    }
                }
            }
        };
        self.pass_on(&engine, verdict).await;
    }

    /// That the run is alive, without a word of how far it is: until its product is checked, it is no nearer its end than
    /// another run of the job.
    fn sign_of_life(&self) -> Input {
        let message = match &self.message {
            ToCoordinator::AttemptSucceeded(said) => {
                ToCoordinator::AttemptProgress(AttemptProgress {
                    run: said.run,
                    worker: said.worker.clone(),
                    phase: "checking".to_owned(),
                    step: 0,
                    steps: 0,
                    expected_ms: None,
                    preview: None,
                })
            }
            other => other.clone(),
        };
        Input::Report {
            store: self.store,
            message,
            arrival: Box::new(self.arrival),
            verdict: Ok(()),
            delivery: None,
        }
    }
}

fn product_of(message: &ToCoordinator) -> Option<&Artifact> {
    match message {
        ToCoordinator::AttemptSucceeded(said) => said.outcome.product.artifact(),
        ToCoordinator::AttemptStarted(_)
        | ToCoordinator::AttemptProgress(_)
        | ToCoordinator::AttemptFailed(_)
        | ToCoordinator::AttemptReleased(_)
        | ToCoordinator::WorkerState(_)
        | ToCoordinator::Probe(_) => None,
    }
}

#[cfg(test)]
mod tests;
