//! Words about a run that goes on. They keep its lease; a lost one does no harm, and none delays the work.

use std::future::pending;
use std::time::Duration;

use shared::protocol::{AttemptProgress, ToCoordinator};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::backend::Step;
use crate::runs::Run;
use crate::worker::Worker;

/// Shortest pause between two words about one run.
const GAP: Duration = Duration::from_millis(500);
/// However short a lease is, no run speaks more often than this to keep it.
const SHORTEST_BEAT: Duration = Duration::from_millis(50);

/// Tells of each change, and at least four times in a lease, until it is dropped.
pub(crate) async fn tell(
    worker: &Worker,
    run: Run,
    mut steps: watch::Receiver<Step>,
    lease: Duration,
) {
    let beat = (lease / 4).max(SHORTEST_BEAT);
    loop {
        tokio::select! {
            () = sleep(beat) => {}
            () = changed_after_a_gap(&mut steps) => {}
        }
        let step = steps.borrow_and_update().clone();
        say(worker, run, step).await;
    }
}

/// Says once how far a run is.
pub(crate) async fn say(worker: &Worker, run: Run, step: Step) {
    let progress = AttemptProgress {
        run: run.of,
        worker: worker.me.clone(),
        phase: step.phase,
        step: step.step,
        steps: step.steps,
        expected_ms: None,
    };
    worker
        .mention(
            run.store,
            run.part_of,
            ToCoordinator::AttemptProgress(progress),
        )
        .await;
}

async fn changed_after_a_gap(steps: &mut watch::Receiver<Step>) {
    sleep(GAP).await;
    if steps.changed().await.is_err() {
        // The backend has let go of its progress; only the beat is left.
        pending::<()>().await;
    }
}
