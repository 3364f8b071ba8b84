//! When the connection to the broker is lost.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::support::backend::scripted;
use super::support::{A_WHILE, Stage, attempt, is_of, jobs, story};
use shared::broker::PublishError;
use shared::failure::FailureKind;
use shared::protocol::DenyReason;
use worker_runtime::WorkerError;

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_and_is_reported_though_the_connection_was_lost() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    stage.nothing_for(A_WHILE).await;
    stage.broker.cut();
    stage.nothing_for(Duration::from_secs(10)).await;
    assert!(!call.context.cancelled.is_cancelled());
    call.finish(Ok(story()));
    assert_eq!(stage.succeeded().await.run, started.run);
    stage.dispatch(&attempt()).await;
    let next = stage.started().await;
    stage.grant(&next).await;
    script.call().await.finish(Ok(story()));
    assert_eq!(stage.succeeded().await.run, next.run);
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_delivery_was_lost_while_it_asked_runs_once() {
    let mut stage = Stage::new().await;
    stage.config.slots = 2;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    let attempt = attempt();
    stage.dispatch(&attempt).await;
    let first = stage.started().await;
    stage.broker.cut();
    // The message comes again and is asked for again, until both runs have their answers.
    let second = loop {
        let started = stage.started().await;
        assert!(is_of(started.run, &attempt));
        if started.run != first.run {
            break started;
        }
    };
    stage.grant(&second).await;
    stage.deny(&first, DenyReason::GrantedToAnother).await;
    script.call().await.finish(Ok(story()));
    assert_eq!(stage.succeeded().await.run, second.run);
    stage.nothing_for(Duration::from_secs(30)).await;
    worker.drained().await;
    assert!(stage.waiting(&jobs()).await.is_empty());
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn a_result_that_the_broker_refuses_for_now_stays_a_result() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    let forbidden = PublishError::Refused("ACCESS_REFUSED".to_owned());
    *stage.broker.answers.lock().unwrap() = [forbidden.clone(), forbidden].into();
    call.finish(Ok(story()));
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(stage.succeeded().await.run, started.run);
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_too_large_for_any_broker_is_a_failure_that_says_so() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    let too_large = PublishError::TooLarge("17 MiB".to_owned());
    *stage.broker.answers.lock().unwrap() = [too_large].into();
    call.finish(Ok(story()));
    let failed = stage.failed().await;
    assert_eq!(
        (failed.run, failed.failure.kind),
        (started.run, FailureKind::Permanent)
    );
    assert!(failed.failure.message.contains("17 MiB"));
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn an_inbox_that_is_refused_later_ends_no_run() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    stage.broker.inbox_refusals.store(3, Ordering::SeqCst);
    stage.broker.cut();
    stage.nothing_for(Duration::from_secs(30)).await;
    assert_eq!(stage.broker.inbox_refusals.load(Ordering::SeqCst), 0);
    call.finish(Ok(story()));
    assert_eq!(stage.succeeded().await.run, started.run);
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn an_inbox_that_is_refused_at_the_start_is_an_error() {
    let stage = Stage::new().await;
    stage.broker.inbox_refusals.store(1, Ordering::SeqCst);
    let (backend, _script) = scripted();
    let error = stage.start_quietly(backend).ended().await.unwrap_err();
    assert!(matches!(error, WorkerError::InboxRefused(_)), "{error:?}");
}
