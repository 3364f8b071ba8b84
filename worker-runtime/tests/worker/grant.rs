//! From the delivery to the grant.

use std::time::Duration;

use shared::broker::Queue;
use shared::byte_size::ByteSize;
use shared::failure::FailureKind;
use shared::job::JobKind;
use shared::profile::DeviceMemory;
use shared::protocol::{DenyReason, ToCoordinator, ToWorker};

use super::support::backend::{PROFILE, profile, scripted, scripted_for};
use super::support::{A_WHILE, Stage, attempt, is_of, jobs, next_attempt, story};

#[tokio::test(start_paused = true)]
async fn an_attempt_is_asked_for_then_run_then_reported() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    let attempt = attempt();
    stage.dispatch(&attempt).await;
    let started = stage.started().await;
    assert!(is_of(started.run, &attempt));
    script.no_more_calls();
    stage.grant(&started).await;
    let call = script.call().await;
    assert_eq!(call.attempt, attempt);
    call.finish(Ok(story()));
    let success = stage.succeeded().await;
    assert_eq!((success.run, &success.outcome), (started.run, &story()));
    assert_eq!(success.worker, started.worker);
    stage.nothing_for(Duration::from_secs(30)).await;
    worker.drained().await;
    assert!(stage.waiting(&jobs()).await.is_empty());
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn a_denied_attempt_is_taken_off_the_queue_and_never_run() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.deny(&started, DenyReason::Done).await;
    let next = attempt();
    stage.dispatch(&next).await;
    let started = stage.started().await;
    assert!(is_of(started.run, &next));
    stage.deny(&started, DenyReason::Stale).await;
    stage.nothing_for(Duration::from_secs(30)).await;
    worker.drained().await;
    assert!(stage.waiting(&jobs()).await.is_empty());
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_question_is_asked_again_at_growing_intervals() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let first = stage.started().await;
    let mut asked_at = tokio::time::Instant::now();
    for seconds in [1, 2, 4, 5, 5] {
        let again = stage.started().await;
        assert_eq!(again, first);
        let now = tokio::time::Instant::now();
        let waited = (now - asked_at).as_secs_f64();
        assert!((waited - f64::from(seconds)).abs() < 0.1, "{waited}");
        asked_at = now;
    }
    script.no_more_calls();
    stage.grant(&first).await;
    stage.grant(&first).await;
    script.call().await.finish(Ok(story()));
    stage.succeeded().await;
    stage.nothing_for(Duration::from_secs(30)).await;
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn a_message_published_twice_is_asked_for_twice_under_two_runs() {
    let mut stage = Stage::new().await;
    stage.config.slots = 2;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    let attempt = attempt();
    stage.dispatch(&attempt).await;
    stage.dispatch(&attempt).await;
    let first = stage.started().await;
    let second = stage.started().await;
    assert!(is_of(first.run, &attempt) && is_of(second.run, &attempt));
    assert_ne!(first.run.run, second.run.run);
    stage.grant(&first).await;
    stage.deny(&second, DenyReason::GrantedToAnother).await;
    script.call().await.finish(Ok(story()));
    assert_eq!(stage.succeeded().await.run, first.run);
    stage.nothing_for(Duration::from_secs(30)).await;
    worker.drained().await;
    assert!(stage.waiting(&jobs()).await.is_empty());
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_given_up_for_its_silence_speaks_before_the_next_one_asks() {
    let mut stage = Stage::new().await;
    stage.config.slots = 2;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    let attempt = attempt();
    stage.dispatch(&attempt).await;
    let first = stage.started().await;
    stage.grant(&first).await;
    let call = script.call().await;
    stage.dispatch(&next_attempt(&attempt)).await;
    let second = stage.started().await;
    let said: Vec<_> = stage.progress.iter().map(|said| said.run).collect();
    assert_eq!(said, [first.run]);
    stage.deny(&second, DenyReason::GrantedToAnother).await;
    call.finish(Ok(story()));
    assert_eq!(stage.succeeded().await.run, first.run);
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_parked_with_the_reason() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    let me = stage.state(|_| true).await.worker;
    for bytes in [
        b"\xff not json".as_slice(),
        br#"{"version": 9, "something": "new"}"#,
        br#"{"version": 1, "type": "run_attempt"}"#,
    ] {
        stage.publish_bytes(jobs(), bytes).await;
    }
    stage
        .publish_bytes(Queue::Inbox(me.clone()), b"nonsense")
        .await;
    stage
        .say(&me, ToWorker::RunAttempt(Box::new(attempt())))
        .await;
    let last = attempt();
    stage.dispatch(&last).await;
    let started = stage.started().await;
    assert!(is_of(started.run, &last));
    stage.deny(&started, DenyReason::Stale).await;
    stage.nothing_for(A_WHILE).await;
    worker.drained().await;
    assert!(stage.waiting(&jobs()).await.is_empty());
    let parked = stage.waiting(&Queue::Parked).await;
    let reasons: Vec<_> = parked
        .iter()
        .map(|delivery| delivery.message.header("x-callsheet-reason").unwrap())
        .collect();
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("version 9")));
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("not in a worker's inbox"))
    );
    script.no_more_calls();
}

// The driver is asked on a thread of its own, for which a paused clock does not wait.
#[tokio::test]
async fn a_profile_that_needs_gpu_memory_is_refused_with_the_reason_and_its_queue_never_opened() {
    let mut stage = Stage::new().await;
    let mut needy = profile(JobKind::Scene, "wan2.2-ti2v-5b");
    needy.needs.device = Some(DeviceMemory {
        load: ByteSize::gib(8),
        peak: ByteSize::gib(11),
        spike: ByteSize::gib(12),
    });
    let (backend, mut script) = scripted_for(vec![needy.clone(), profile(JobKind::Story, PROFILE)]);
    let worker = stage.start(backend).await;
    let state = stage
        .state(|state| state.waiting.len() == 1 && state.waiting[0].never)
        .await;
    tokio::time::pause();
    assert_eq!(state.waiting[0].profile, needy.name);
    assert!(
        state.waiting[0].reason.contains("GPU memory"),
        "{}",
        state.waiting[0].reason
    );
    assert_eq!(state.profiles.len(), 2);
    let queue = Queue::Jobs(JobKind::Scene, needy.name);
    stage.publish_bytes(queue.clone(), b"whatever").await;
    stage.nothing_for(Duration::from_secs(30)).await;
    worker.drained().await;
    assert_eq!(stage.waiting(&queue).await.len(), 1);
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_in_the_wrong_queue_fails_for_good() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    let mut stray = attempt();
    stray.profile = "elsewhere".parse().unwrap();
    let envelope =
        shared::protocol::Envelope::new(None, ToWorker::RunAttempt(Box::new(stray.clone())));
    let bytes: &'static [u8] = envelope.to_json().leak();
    stage.publish_bytes(jobs(), bytes).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let failed = stage.failed().await;
    assert_eq!(failed.failure.kind, FailureKind::Permanent);
    assert!(
        failed.failure.message.contains("elsewhere"),
        "{}",
        failed.failure
    );
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_while_it_asks_never_begins() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let started = stage.started().await;
    stage.cancel(&started).await;
    let failed = stage.failed().await;
    assert_eq!(
        (failed.run, failed.failure.kind),
        (started.run, FailureKind::Cancelled)
    );
    stage.grant(&started).await;
    stage.nothing_for(Duration::from_secs(30)).await;
    worker.drained().await;
    assert!(stage.waiting(&jobs()).await.is_empty());
    script.no_more_calls();
}

#[tokio::test(start_paused = true)]
async fn reports_name_the_store_that_dispatched_the_attempt() {
    let mut stage = Stage::new().await;
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    stage.dispatch(&attempt()).await;
    let asked = stage.envelope().await;
    let ToCoordinator::AttemptStarted(started) = &asked.message else {
        panic!("a question for a grant was expected: {asked:?}");
    };
    stage.grant(started).await;
    script.call().await.finish(Ok(story()));
    let reported = stage.envelope().await;
    assert!(asked.store.is_some());
    assert_eq!(reported.store, asked.store);
    worker.drained().await;
}
