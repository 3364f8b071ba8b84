//! What a worker writes into its log: what goes on is told once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::support::backend::scripted;
use super::support::log::Log;
use super::support::{Stage, attempt, story};

/// Long enough for dozens of tries.
const LONG: Duration = Duration::from_mins(10);

#[tokio::test(start_paused = true)]
async fn why_a_backend_is_not_ready_is_told_once_and_again_when_it_is_another_reason() {
    let log = Log::of_this_test();
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    script.lacks(Some("no server"));
    let worker = stage.start(backend).await;
    sleep(LONG).await;
    let of_it = || log.lines(&["not ready", "is ready"]);
    assert_eq!(of_it(), ["WARN no server"]);

    script.lacks(Some("no model"));
    sleep(LONG).await;
    script.lacks(None);
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    script.call().await.finish(Ok(story()));
    stage.succeeded().await;
    assert_eq!(of_it(), ["WARN no server", "WARN no model", "INFO "]);
    worker.drained().await;
}

#[tokio::test(start_paused = true)]
async fn that_the_inbox_is_refused_is_told_once() {
    let log = Log::of_this_test();
    let mut stage = Stage::new().await;
    let (backend, _script) = scripted();
    let worker = stage.start(backend).await;
    stage.broker.inbox_refusals.store(50, Ordering::SeqCst);
    stage.broker.cut();
    sleep(LONG).await;
    assert_eq!(stage.broker.inbox_refusals.load(Ordering::SeqCst), 0);
    let of_it = log.lines(&["refuses the worker's inbox"]);
    assert_eq!(of_it, ["ERROR forbidden by the test"]);
    worker.drained().await;
}
