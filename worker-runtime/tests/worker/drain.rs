//! When a worker is told to stop.

use std::time::Duration;

use shared::ids::RunId;
use shared::protocol::{ReleaseReason, ToCoordinator};

use super::support::backend::scripted;
use super::support::{Stage, attempt, jobs, story};

#[tokio::test(start_paused = true)]
async fn a_draining_worker_finishes_what_runs_and_takes_nothing_more() {
    let mut stage = Stage::new().await;
    stage.config.slots = 2;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    worker.shutdown.cancel();
    let state = stage.state(|state| state.draining).await;
    assert_eq!(state.running, [started.run]);
    stage.dispatch(&attempt()).await;
    stage.nothing_for(Duration::from_secs(10)).await;
    call.finish(Ok(story()));
    assert_eq!(stage.succeeded().await.run, started.run);
    worker.ended().await.unwrap();
    assert_eq!(stage.waiting(&jobs()).await.len(), 1);
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_than_the_drain_is_stopped_and_given_back() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    let scratch = call.scratch();
    let before = tokio::time::Instant::now();
    worker.shutdown.cancel();
    call.cancelled().await;
    let waited = before.elapsed();
    assert!(waited >= stage.config.drain_timeout, "{waited:?}");
    call.dropped().await;
    match stage.report().await {
        ToCoordinator::AttemptReleased(released) => assert_eq!(
            (released.run, released.reason),
            (started.run, ReleaseReason::Drain)
        ),
        other => panic!("{other:?}"),
    }
    worker.ended().await.unwrap();
    assert!(!scratch.exists());
}

#[tokio::test(start_paused = true)]
async fn what_has_not_begun_goes_back_to_its_queue_and_a_grant_on_its_way_is_given_back() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    worker.shutdown.cancel();
    match stage.report().await {
        ToCoordinator::AttemptReleased(released) => assert_eq!(
            (released.run, released.reason),
            (started.run, ReleaseReason::Drain)
        ),
        other => panic!("{other:?}"),
    }
    worker.ended().await.unwrap();
    let waiting = stage.waiting(&jobs()).await;
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].redelivered);
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_stops_at_once() {
    let mut stage = Stage::new().await;
    let (backend, _script) = scripted();
    let worker = stage.start(backend).await;
    let before = tokio::time::Instant::now();
    worker.drained().await;
    let took = before.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_result_that_comes_while_it_is_stopped_counts() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    worker.shutdown.cancel();
    call.cancelled().await;
    call.finish(Ok(story()));
    assert_eq!(stage.succeeded().await.run, started.run);
    worker.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_scratch_folder_loses_what_runs_left_and_nothing_else() {
    let mut stage = Stage::new().await;
    let scratch = stage.config.data_dir.join("scratch");
    let run = scratch.join(RunId::generate().to_string());
    let own = scratch.join("my pictures");
    for folder in [&run, &own] {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("a.png"), "x").unwrap();
    }
    let (backend, _script) = scripted();
    stage.start(backend).await.drained().await;
    assert!(!run.exists());
    assert!(own.join("a.png").exists());
}

#[tokio::test(start_paused = true)]
async fn a_data_folder_that_cannot_be_used_is_told_with_what_to_do() {
    for in_the_way in ["journal", "scratch"] {
        let stage = Stage::new().await;
        let data = &stage.config.data_dir;
        std::fs::create_dir_all(data).unwrap();
        std::fs::write(data.join(in_the_way), "a file").unwrap();
        let (backend, _script) = scripted();
        let error = stage.start_quietly(backend).ended().await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(in_the_way) && text.contains("worker.data_dir must be a folder"),
            "{text}"
        );
    }
}
