//! What survives a worker that is killed.

use std::time::Duration;

use shared::ids::Take;
use shared::protocol::{ReleaseReason, RunAttempt, ToCoordinator};
use worker_runtime::{JournalError, WorkerError};

use super::support::backend::{Script, scripted};
use super::support::{A_WHILE, Stage, attempt, image, next_attempt, story};

/// Runs that attempt to its success.
async fn run(stage: &mut Stage, script: &mut Script, attempt: &RunAttempt) {
    stage.dispatch(attempt).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    script
        .call()
        .await
        .finish(Ok(image(&stage.artifacts).await));
    stage.succeeded().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_a_kill_cut_short_is_given_back_after_the_restart() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    stage.nothing_for(A_WHILE).await;
    call.dropped_by(stage.kill(worker)).await;
    let (backend, mut script) = scripted();
    let worker = stage.start_quietly(backend);
    match stage.report().await {
        ToCoordinator::AttemptReleased(released) => {
            assert_eq!(
                (released.run, released.reason),
                (started.run, ReleaseReason::Restarted)
            );
            assert_ne!(released.worker.boot, started.worker.boot);
        }
        other => panic!("{other:?}"),
    }
    stage.nothing_for(Duration::from_secs(30)).await;
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn a_report_that_was_never_confirmed_is_published_again_as_the_same_message() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    stage.broker.leave_unconfirmed(u64::MAX);
    script.call().await.finish(Ok(story()));
    let first = stage.envelope().await;
    let again = stage.envelope().await;
    assert_eq!(first, again);
    stage.kill(worker).await;
    stage.broker.leave_unconfirmed(0);
    let (backend, mut script) = scripted();
    let worker = stage.start_quietly(backend);
    let mut last = stage.envelope().await;
    // What the first life published just before its end may come before.
    while let Ok(next) = tokio::time::timeout(Duration::from_secs(30), stage.envelope()).await {
        assert_eq!(last, first);
        last = next;
    }
    assert_eq!(last, first);
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn a_finished_result_is_adopted_when_the_same_job_and_take_comes_again() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    let attempt = attempt();
    run(&mut stage, &mut script, &attempt).await;
    for _ in 0..2 {
        let again = next_attempt(&attempt);
        stage.dispatch(&again).await;
        let started = stage.started().await;
        stage.grant(&started).await;
        let success = stage.succeeded().await;
        assert_eq!(success.run, started.run);
        assert_eq!(success.outcome, image(&stage.artifacts).await);
    }
    script.no_more_calls();
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_result_is_adopted_after_a_restart_too() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    let attempt = attempt();
    run(&mut stage, &mut script, &attempt).await;
    stage.kill(worker).await;
    let (backend, mut script) = scripted();
    let worker = stage.start_quietly(backend);
    // A report of the last minute is said again: a confirm does not prove that the coordinator has it.
    stage.succeeded().await;
    stage.dispatch(&next_attempt(&attempt)).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    assert_eq!(stage.succeeded().await.run, started.run);
    script.no_more_calls();
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn another_take_and_a_result_whose_file_is_gone_are_made_anew() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    let attempt = attempt();
    run(&mut stage, &mut script, &attempt).await;
    let other_take = RunAttempt {
        take: Take::new(2),
        ..next_attempt(&attempt)
    };
    run(&mut stage, &mut script, &other_take).await;
    std::fs::remove_dir_all(stage.data_dir("artifacts")).unwrap();
    std::fs::create_dir_all(stage.data_dir("artifacts")).unwrap();
    run(&mut stage, &mut script, &next_attempt(&attempt)).await;
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_note_is_there_for_the_next_run_of_the_same_job_and_take_after_a_kill() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    let attempt = attempt();
    stage.dispatch(&attempt).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    assert_eq!(call.context.notebook.earlier(), None);
    call.context.notebook.write("prompt 17").await.unwrap();
    call.context.notebook.write("prompt 18").await.unwrap();
    stage.nothing_for(A_WHILE).await;
    call.dropped_by(stage.kill(worker)).await;
    let (backend, mut script) = scripted();
    let worker = stage.start_quietly(backend);
    assert!(matches!(
        stage.report().await,
        ToCoordinator::AttemptReleased(_)
    ));
    stage.dispatch(&next_attempt(&attempt)).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    assert_eq!(call.context.notebook.earlier(), Some("prompt 18"));
    call.finish(Ok(story()));
    stage.succeeded().await;
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn two_workers_cannot_use_one_folder() {
    let mut stage = Stage::new().await;
    let (backend, _script) = scripted();
    let worker = stage.start(backend).await;
    let (backend, _script) = scripted();
    let error = stage.start_quietly(backend).ended().await.unwrap_err();
    assert!(matches!(
        &error,
        WorkerError::Journal(JournalError::Open { .. })
    ));
    let said = shared::failure::chain(&error);
    assert!(said.contains("data_dir of its own"), "{said}");
    worker.drained().await;
    let (backend, _script) = scripted();
    let worker = stage.start(backend).await;
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn unusable_settings_are_all_named() {
    let mut stage = Stage::new().await;
    stage.config.slots = 0;
    stage.config.ask_interval = Duration::ZERO;
    let (backend, _script) = scripted();
    let error = stage.start_quietly(backend).ended().await.unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("slots") && said.contains("ask_interval_ms"),
        "{said}"
    );
}
