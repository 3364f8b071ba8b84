//! When queues are open.

use std::sync::atomic::Ordering;
use std::time::Duration;

use shared::failure::{Failure, FailureKind};
use shared::job::JobKind;
use shared::protocol::ToCoordinator;

use super::support::backend::{profile, scripted, scripted_for};
use super::support::{Stage, attempt, jobs, story};

#[tokio::test(start_paused = true)]
async fn a_worker_takes_no_more_than_it_has_slots_for_and_the_next_when_one_is_free() {
    let mut stage = Stage::new().await;
    stage.config.slots = 2;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    for _ in 0..3 {
        stage.dispatch(&attempt()).await;
    }
    let mut calls = Vec::new();
    for _ in 0..2 {
        let started = stage.started().await;
        stage.grant(&started).await;
        calls.push(script.call().await);
    }
    stage.nothing_for(Duration::from_secs(10)).await;
    assert_eq!(stage.waiting(&jobs()).await.len(), 1);
    calls.remove(0).finish(Ok(story()));
    stage.succeeded().await;
    let started = stage.started().await;
    stage.grant(&started).await;
    script.call().await.finish(Ok(story()));
    stage.succeeded().await;
    calls.remove(0).finish(Ok(story()));
    stage.succeeded().await;
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn all_slots_can_ask_at_the_same_time() {
    let mut stage = Stage::new().await;
    stage.config.slots = 20;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    for _ in 0..30 {
        stage.dispatch(&attempt()).await;
    }
    let mut asked = Vec::new();
    while asked.len() < 20 {
        let started = stage.started().await;
        if !asked.contains(&started) {
            asked.push(started);
        }
    }
    for started in &asked {
        stage.grant(started).await;
        script.call().await.finish(Ok(story()));
        let _ = stage.report().await;
    }
    worker.shutdown.cancel();
    worker.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn short_attempts_need_no_new_subscription_each() {
    for (slots, most) in [(1, 1), (20, 30)] {
        let mut stage = Stage::new().await;
        stage.config.slots = slots;
        let (backend, mut script) = scripted();
        let worker = stage.start(backend).await;
        for _ in 0..100 {
            stage.dispatch(&attempt()).await;
        }
        let mut successes = 0;
        while successes < 100 {
            match stage.report().await {
                ToCoordinator::AttemptStarted(started) => {
                    stage.grant(&started).await;
                    script.call().await.finish(Ok(story()));
                }
                ToCoordinator::AttemptSucceeded(_) => successes += 1,
                other => panic!("{other:?}"),
            }
        }
        let subscribed = stage.broker.subscribed.load(Ordering::SeqCst);
        assert!(subscribed <= most, "{subscribed} with {slots} slots");
        worker.drained().await;
        assert!(stage.waiting(&jobs()).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn several_queues_share_one_slot_and_take_turns() {
    let mut stage = Stage::new().await;
    let names = ["one", "two", "three"];
    let profiles = names.map(|name| profile(JobKind::Story, name));
    let (backend, mut script) = scripted_for(profiles.to_vec());
    let worker = stage.start(backend).await;
    for name in names {
        for _ in 0..3 {
            let mut attempt = attempt();
            attempt.profile = name.parse().unwrap();
            stage.dispatch(&attempt).await;
        }
    }
    let mut order = Vec::new();
    for _ in 0..9 {
        let started = stage.started().await;
        stage.grant(&started).await;
        let call = script.call().await;
        script.no_more_calls();
        order.push(call.attempt.profile.to_string());
        call.finish(Ok(story()));
        assert_eq!(stage.succeeded().await.run, started.run);
    }
    for turn in order.chunks(3) {
        let mut turn = turn.to_vec();
        turn.sort();
        assert_eq!(turn, ["one", "three", "two"], "{order:?}");
    }
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_worker_takes_nothing_but_finishes_what_runs() {
    let mut stage = Stage::new().await;
    stage.config.slots = 2;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    stage.pause(&started.worker, true).await;
    let state = stage.state(|state| state.paused).await;
    assert_eq!(state.running, [started.run]);
    stage.dispatch(&attempt()).await;
    stage.nothing_for(Duration::from_secs(30)).await;
    call.finish(Ok(story()));
    stage.succeeded().await;
    stage.nothing_for(Duration::from_secs(30)).await;
    stage.pause(&started.worker, false).await;
    let next = stage.started().await;
    stage.grant(&next).await;
    script.call().await.finish(Ok(story()));
    stage.succeeded().await;
    stage.state(|state| !state.paused).await;
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_not_ready_gets_no_work_and_its_reason_is_shown() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    script.lacks(Some("ffmpeg is not installed: apt install ffmpeg"));
    let worker = stage.start(backend).await;
    let state = stage
        .state(|state| {
            let reason =
                |waiting: &shared::protocol::Waiting| waiting.reason.contains("apt install");
            state.waiting.first().is_some_and(reason)
        })
        .await;
    assert!(!state.waiting[0].never);
    stage.dispatch(&attempt()).await;
    stage.nothing_for(Duration::from_secs(30)).await;
    script.lacks(None);
    let started = stage.started().await;
    stage.grant(&started).await;
    script.call().await.finish(Ok(story()));
    stage.succeeded().await;
    stage.state(|state| state.waiting.is_empty()).await;
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_backend_must_be_ready_before_more_is_taken() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    script.lacks(Some("the server is gone"));
    stage.dispatch(&attempt()).await;
    call.finish(Err(Failure::new(FailureKind::Transient, "refused")));
    stage.failed().await;
    stage.nothing_for(Duration::from_secs(30)).await;
    script.lacks(None);
    let started = stage.started().await;
    stage.grant(&started).await;
    script.call().await.finish(Ok(story()));
    stage.succeeded().await;
    worker.drained().await;
}
