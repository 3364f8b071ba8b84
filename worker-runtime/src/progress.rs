//! Words about a run that goes on. They keep its lease; a lost one does no harm, and none delays the work.

use std::future::pending;
use std::time::Duration;

use shared::protocol::{AttemptProgress, ToCoordinator};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::backend::Step;
use crate::pictures::Pictures;
use crate::runs::Run;
use crate::worker::Worker;

/// Shortest pause between two words about one run.
const GAP: Duration = Duration::from_millis(500);
/// However short a lease is, no run speaks more often than this to keep it.
const SHORTEST_BEAT: Duration = Duration::from_millis(50);

/// Tells of each change, and at least four times in a lease, until it is dropped. `expected`: how long the run takes in all, where
/// that is known. So long, at least, it is not given to others when it falls silent.
pub(crate) async fn tell(
    worker: &Worker,
    run: Run,
    mut steps: watch::Receiver<Step>,
    lease: Duration,
    expected: Option<Duration>,
) {
    let began = Instant::now();
    let beat = (lease / 4).max(SHORTEST_BEAT);
    let mut pictures = Pictures::default();
    loop {
        let held_until = pictures.due(steps.borrow().preview.as_ref());
        tokio::select! {
            () = sleep(beat) => {}
            () = changed_after_a_gap(&mut steps) => {}
            () = until_a_picture_is_due(held_until) => {}
        }
        let mut step = steps.borrow_and_update().clone();
        let preview = pictures.next(step.preview.as_ref(), Instant::now());
        // Words without it may pile up in the queue of a coordinator that is away for a night; pictures may not.
        step.preview = preview.filter(|_| worker.hears_the_coordinator());
        let still = expected.and_then(|all| all.checked_sub(began.elapsed()));
        say(worker, run, step, still).await;
    }
}

/// Says once how far a run is, how it looks, and how long it is expected to take still.
pub(crate) async fn say(worker: &Worker, run: Run, step: Step, still: Option<Duration>) {
    let progress = AttemptProgress {
        run: run.of,
        worker: worker.me.clone(),
        phase: step.phase,
        step: step.step,
        steps: step.steps,
        expected_ms: still.and_then(|still| u64::try_from(still.as_millis()).ok()),
        preview: step.preview.map(Box::new),
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

/// Waits until a picture that came too soon may be told; for ever if there is none.
async fn until_a_picture_is_due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.max(Instant::now() + GAP)).await,
        None => pending().await,
    }
}
