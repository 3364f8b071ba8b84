//! While a run goes on.

use std::time::Duration;

use shared::failure::{Failure, FailureKind};
use shared::preview::Preview;
use shared::protocol::{AttemptStarted, BacklogHints, ToWorker};

use super::support::backend::{Call, Script, scripted};
use super::support::{LEASE, Running, Stage, attempt, story};

/// A worker with one run that has begun.
async fn with_a_run() -> (Stage, Running, Script, AttemptStarted, Call) {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    (stage, worker, script, started, call)
}

/// Runs one attempt more, which shows that the slot is free again.
async fn runs_another(stage: &mut Stage, script: &mut Script) {
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    script.call().await.finish(Ok(story()));
    assert_eq!(stage.succeeded().await.run, started.run);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_is_told_to_stop_and_reported_as_cancelled() {
    let (mut stage, worker, mut script, started, call) = with_a_run().await;
    stage.cancel(&started).await;
    call.cancelled().await;
    // What a backend answers after that is thrown away.
    call.finish(Ok(story()));
    let failed = stage.failed().await;
    assert_eq!(
        (failed.run, failed.failure.kind),
        (started.run, FailureKind::Cancelled)
    );
    runs_another(&mut stage, &mut script).await;
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_stop_within_its_time_is_dropped() {
    let (mut stage, worker, mut script, started, call) = with_a_run().await;
    let before = tokio::time::Instant::now();
    stage.cancel(&started).await;
    call.dropped().await;
    assert_eq!(stage.failed().await.failure.kind, FailureKind::Cancelled);
    let took = before.elapsed();
    assert!(took <= Duration::from_secs(2), "{took:?}");
    runs_another(&mut stage, &mut script).await;
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_past_its_limit_is_stopped_and_has_timed_out() {
    let (mut stage, worker, mut script, started, call) = with_a_run().await;
    let limit = call.attempt.time_limit;
    let before = tokio::time::Instant::now();
    tokio::time::timeout(2 * limit, call.context.cancelled.cancelled())
        .await
        .unwrap();
    let took = before.elapsed();
    assert!(
        took <= limit && took + Duration::from_secs(1) >= limit,
        "{took:?}"
    );
    call.finish(Err(Failure::new(FailureKind::Cancelled, "as you wish")));
    let failed = stage.failed().await;
    assert_eq!(
        (failed.run, failed.failure.kind),
        (started.run, FailureKind::TimedOut)
    );
    assert!(
        failed.failure.message.contains("600 s"),
        "{}",
        failed.failure
    );
    runs_another(&mut stage, &mut script).await;
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_the_run_and_not_the_worker() {
    let (mut stage, worker, mut script, _, call) = with_a_run().await;
    call.panic("a bug in the backend");
    let failed = stage.failed().await;
    assert_eq!(failed.failure.kind, FailureKind::Transient);
    assert!(
        failed.failure.message.contains("a bug in the backend"),
        "{}",
        failed.failure
    );
    runs_another(&mut stage, &mut script).await;
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_reported_as_the_backend_classified_it() {
    let (mut stage, worker, mut script, started, call) = with_a_run().await;
    let failure = Failure::new(FailureKind::RejectedContent, "the clip is blank");
    call.finish(Err(failure.clone()));
    let failed = stage.failed().await;
    assert_eq!((failed.run, failed.failure), (started.run, failure));
    runs_another(&mut stage, &mut script).await;
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_has_an_empty_folder_that_is_gone_afterwards() {
    let (mut stage, worker, _script, _, call) = with_a_run().await;
    let scratch = call.scratch();
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
    std::fs::write(scratch.join("frame.png"), "x").unwrap();
    call.finish(Ok(story()));
    stage.succeeded().await;
    assert!(!scratch.exists());
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_at_most_twice_a_second() {
    let (mut stage, worker, _script, started, call) = with_a_run().await;
    for step in 1..=100 {
        call.context.progress.tell("rendering", step, 100);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    call.finish(Ok(story()));
    stage.succeeded().await;
    let told = &stage.progress;
    assert!((3..=6).contains(&told.len()), "{}", told.len());
    let steps: Vec<_> = told.iter().map(|said| said.step).collect();
    assert!(steps.is_sorted(), "{steps:?}");
    assert!(
        told.iter()
            .all(|said| said.run == started.run && said.phase == "rendering" && said.steps == 100)
    );
    worker.drained().await;
}

fn picture(number: u8) -> Preview {
    Preview::new(vec![0xff, 0xd8, 0xff, number].into()).unwrap()
}

/// The numbers of the pictures that were told.
fn pictures(stage: &Stage) -> Vec<u8> {
    let shown = stage
        .progress
        .iter()
        .filter_map(|said| said.preview.as_ref());
    shown.map(|picture| picture.bytes()[3]).collect()
}

#[tokio::test(start_paused = true)]
async fn the_newest_picture_is_told_every_two_seconds_and_the_last_one_in_the_end() {
    let (mut stage, worker, _script, started, call) = with_a_run().await;
    let backlogs = Vec::new();
    let hints = ToWorker::BacklogHints(BacklogHints { backlogs });
    stage.say(&started.worker, hints).await;
    for number in 1..=100 {
        call.context.progress.show(picture(number));
        call.context.progress.tell("sampler", number.into(), 100);
        tokio::time::sleep(Duration::from_millis(105)).await;
    }
    // Nothing comes any more that could take one along.
    tokio::time::sleep(Duration::from_secs(3)).await;
    call.finish(Ok(story()));
    stage.succeeded().await;
    let told = pictures(&stage);
    assert!((6..=7).contains(&told.len()), "{told:?}");
    assert!(told.is_sorted_by(|one, next| one < next), "{told:?}");
    assert_eq!(told.last(), Some(&100));
    assert!(stage.progress.len() > 2 * told.len(), "words go on");
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn no_picture_is_told_while_the_coordinator_is_not_heard() {
    let (mut stage, worker, _script, started, call) = with_a_run().await;
    for number in 1..=20 {
        call.context.progress.show(picture(number));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // Until the last one has been due.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let backlogs = Vec::new();
    let hints = ToWorker::BacklogHints(BacklogHints { backlogs });
    stage.say(&started.worker, hints).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    call.context.progress.show(picture(21));
    tokio::time::sleep(Duration::from_secs(3)).await;
    call.finish(Ok(story()));
    stage.succeeded().await;
    assert_eq!(pictures(&stage), [21]);
    assert!(stage.progress.len() > 10);
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_without_progress_speaks_four_times_in_a_lease() {
    let (mut stage, worker, _script, started, call) = with_a_run().await;
    let began = tokio::time::Instant::now();
    for _ in 0..4 {
        assert_eq!(stage.next_progress().await.run, started.run);
    }
    let took = began.elapsed();
    assert!(took <= LEASE + Duration::from_secs(1), "{took:?}");
    call.finish(Ok(story()));
    stage.succeeded().await;
    worker.drained().await;
}
