//! Films through store, engine and broker, with workers in the test's hand.

#[path = "films/one_card.rs"]
mod one_card;
mod support;

use std::sync::Arc;
use std::time::Duration;

use coordinator::coordinator::{AskError, SubmissionKey};
use shared::api::{FilmStatus, Happening, SubmitAnswer};
use shared::artifact::{Artifact, MediaType, Sha256};
use shared::broker::{Broker, Message, Queue, ReadOptions};
use shared::byte_size::ByteSize;
use shared::failure::{Failure, FailureKind};
use shared::film::{FilmRequest, Until};
use shared::ids::{Attempt, JobId, MessageId, RunId, Take};
use shared::job::{JobKind, JobStatus, Product};
use shared::protocol::{
    AttemptFailed, AttemptProgress, AttemptReleased, AttemptStarted, DenyReason, ReleaseReason,
    RunRef, ToCoordinator, ToWorker, WorkerState,
};
use support::held::HeldBroker;
use support::{Studio, Taken, Worker, request, until, within};

fn status_is(wanted: JobStatus) -> impl Fn(&Happening) -> bool {
    move |what| matches!(what, Happening::JobChanged { job } if job.status == wanted)
}

fn progress(worker: &Worker, taken: &Taken, step: u32) -> ToCoordinator {
    ToCoordinator::AttemptProgress(AttemptProgress {
        run: taken.run,
        worker: worker.me.clone(),
        phase: "drawing".to_owned(),
        step,
        steps: 10,
        expected_ms: None,
        preview: None,
    })
}

#[tokio::test]
async fn a_film_goes_from_story_to_assembly() {
    let studio = Studio::new();
    let running = studio.start().await;
    let mut worker = studio.worker("w").await;
    let film = running
        .coordinator
        .submit(request(3), None)
        .await
        .unwrap()
        .film;
    worker.work(JobKind::Story).await;
    for _ in 0..3 {
        worker.work(JobKind::Keyframe).await;
    }
    for _ in 0..3 {
        worker.work(JobKind::Scene).await;
    }
    worker.work(JobKind::Assembly).await;
    let seen = until(&running, film, |what| {
        matches!(what, Happening::FilmCompleted)
    })
    .await;
    assert_eq!(
        seen.iter()
            .filter(|event| matches!(event.what, Happening::StoryWritten { .. }))
            .count(),
        1
    );

    let view = running.coordinator.film(film).await.unwrap();
    assert_eq!(
        (view.summary.status, view.summary.jobs_completed),
        (FilmStatus::Completed, 8)
    );
    assert_eq!(view.summary.title.as_deref(), Some("Storm"));
    assert!(
        view.scenes
            .iter()
            .all(|scene| scene.keyframe.is_some() && scene.clip.is_some())
    );
    let manifest = running.coordinator.manifest(film).await.unwrap();
    assert_eq!((manifest.scenes.len(), manifest.seed), (3, 7));
    assert_eq!(
        running.coordinator.films(None, 10).await.unwrap().films,
        [view.summary]
    );
    running.shutdown().await;
}

#[tokio::test]
async fn a_restart_at_any_point_carries_on() {
    let studio = Studio::new();
    let mut running = studio.start().await;
    let film = running
        .coordinator
        .submit(request(3), None)
        .await
        .unwrap()
        .film;
    let kinds = [
        &[JobKind::Story][..],
        &[JobKind::Keyframe; 3],
        &[JobKind::Scene; 3],
        &[JobKind::Assembly],
    ]
    .concat();
    for kind in kinds {
        running.shutdown().await;
        running = studio.start().await;
        let mut worker = studio.worker("w").await;
        // Repeats of attempts that were done before are denied.
        loop {
            let taken = worker.take(kind).await;
            let answer = worker.ask(&taken).await;
            if matches!(answer, ToWorker::AttemptGranted(_)) {
                running.shutdown().await;
                running = studio.start().await;
                worker.succeed(&taken).await;
                taken.delivery.ack().await;
                break;
            }
            assert!(matches!(answer, ToWorker::AttemptDenied(_)), "{answer:?}");
            taken.delivery.ack().await;
        }
        let done = |what: &Happening| matches!(what, Happening::JobChanged { job } if job.kind == kind && job.status == JobStatus::Completed);
        until(&running, film, done).await;
    }
    until(&running, film, |what| {
        matches!(what, Happening::FilmCompleted)
    })
    .await;
    running.shutdown().await;
}

#[tokio::test]
async fn a_second_run_of_an_attempt_is_denied_and_the_first_may_ask_again() {
    let studio = Studio::new();
    let running = studio.start().await;
    let (mut first, mut second) = (studio.worker("a").await, studio.worker("b").await);
    running.coordinator.submit(request(3), None).await.unwrap();
    let taken = first.begin(JobKind::Story).await;
    assert!(
        matches!(first.ask(&taken).await, ToWorker::AttemptGranted(granted) if granted.run == taken.run)
    );
    let run = RunRef {
        run: RunId::generate(),
        ..taken.run
    };
    let again = AttemptStarted {
        run,
        worker: second.me.clone(),
    };
    second
        .say(taken.store, ToCoordinator::AttemptStarted(again))
        .await;
    let answer = second.hear().await;
    assert!(
        matches!(&answer, ToWorker::AttemptDenied(denied) if denied.reason == DenyReason::GrantedToAnother && denied.run == run),
        "{answer:?}"
    );
    running.shutdown().await;
}

#[tokio::test]
async fn a_failed_attempt_is_tried_again_with_a_new_take_and_the_film_fails_when_tries_are_spent() {
    let studio = Studio::new();
    let running = studio.start().await;
    let mut worker = studio.worker("w").await;
    let film = running
        .coordinator
        .submit(request(3), None)
        .await
        .unwrap()
        .film;
    for attempt in 1..=3 {
        let taken = worker.begin(JobKind::Story).await;
        assert_eq!(
            (taken.attempt.attempt, taken.attempt.take),
            (Attempt::new(attempt), Take::new(attempt))
        );
        assert_eq!(taken.attempt.earlier.len(), attempt as usize - 1);
        let failure = Failure::new(FailureKind::Transient, "the server went away");
        let failed = AttemptFailed {
            run: taken.run,
            worker: worker.me.clone(),
            failure,
        };
        worker
            .say(taken.store, ToCoordinator::AttemptFailed(failed))
            .await;
        taken.delivery.ack().await;
    }
    let seen = until(&running, film, |what| {
        matches!(what, Happening::FilmFailed { .. })
    })
    .await;
    let Some(Happening::FilmFailed { reasons }) = seen.last().map(|event| &event.what) else {
        panic!()
    };
    assert_eq!(
        reasons,
        &["story failed after 3 attempts: transient: the server went away"]
    );

    running.coordinator.retry_film(film).await.unwrap();
    let taken = worker.begin(JobKind::Story).await;
    assert_eq!(taken.attempt.attempt, Attempt::new(4));
    worker.succeed(&taken).await;
    until(&running, film, |what| {
        matches!(what, Happening::StoryWritten { .. })
    })
    .await;
    running.shutdown().await;
}

#[tokio::test]
async fn a_released_attempt_comes_back_without_counting() {
    let studio = Studio::new();
    let running = studio.start().await;
    let mut worker = studio.worker("w").await;
    running.coordinator.submit(request(3), None).await.unwrap();
    let taken = worker.begin(JobKind::Story).await;
    taken.delivery.ack().await;
    let released = AttemptReleased {
        run: taken.run,
        worker: worker.me.clone(),
        reason: ReleaseReason::Drain,
    };
    worker
        .say(taken.store, ToCoordinator::AttemptReleased(released))
        .await;
    let again = worker.begin(JobKind::Story).await;
    assert_eq!(
        (again.attempt.attempt, again.attempt.take),
        (Attempt::FIRST, Take::FIRST)
    );
    let view = running.coordinator.job(again.attempt.job).await.unwrap();
    assert_eq!((view.status, view.failures), (JobStatus::Running, 0));
    running.shutdown().await;
}

#[tokio::test]
async fn a_silent_run_is_overtaken_and_one_that_speaks_again_takes_its_place_back() {
    let studio = Studio::new();
    let mut settings = studio.settings();
    settings.lease = Duration::from_millis(200);
    let running = studio.start_with(settings).await;
    let mut worker = studio.worker("w").await;
    let film = running
        .coordinator
        .submit(request(3), None)
        .await
        .unwrap()
        .film;
    let silent = worker.begin(JobKind::Story).await;
    silent.delivery.ack().await;
    let silent = Taken {
        delivery: worker.take(JobKind::Story).await.delivery,
        ..silent
    };
    let view = running.coordinator.job(silent.run.job).await.unwrap();
    assert_eq!((view.failures, view.attempt), (1, Attempt::new(2)));
    assert_eq!(view.failure.unwrap().kind, FailureKind::Lost);
    worker
        .say(silent.store, progress(&worker, &silent, 9))
        .await;
    until(&running, film, |what| {
        matches!(what, Happening::JobChanged { job }
        if job.status == JobStatus::Running && job.attempt == Attempt::new(2))
    })
    .await;
    worker.succeed(&silent).await;
    until(&running, film, |what| {
        matches!(what, Happening::StoryWritten { .. })
    })
    .await;
    running.shutdown().await;
}

#[tokio::test]
async fn cancelling_stops_what_runs_and_says_so_again_to_who_has_not_heard() {
    let studio = Studio::new();
    let running = studio.start().await;
    let mut worker = studio.worker("w").await;
    let film = running
        .coordinator
        .submit(request(3), None)
        .await
        .unwrap()
        .film;
    let taken = worker.begin(JobKind::Story).await;
    let view = running.coordinator.cancel_film(film).await.unwrap();
    assert_eq!(view.summary.status, FilmStatus::Cancelled);
    for _ in 0..2 {
        let word = worker.hear().await;
        assert!(
            matches!(&word, ToWorker::CancelAttempt(cancel)
                if cancel.run == taken.run && cancel.reason == DenyReason::Cancelled),
            "{word:?}"
        );
        worker.say(taken.store, progress(&worker, &taken, 1)).await;
    }
    let seen = until(&running, film, |what| {
        matches!(what, Happening::FilmCancelled)
    })
    .await;
    assert_eq!(seen.iter().filter(|event| event.what.is_end()).count(), 1);
    assert!(running.coordinator.delete_film(film).await.is_ok());
    assert!(matches!(
        running.coordinator.film(film).await,
        Err(AskError::NotFound(_))
    ));
    running.shutdown().await;
}

#[tokio::test]
async fn a_product_that_is_not_there_or_not_what_was_asked_for_is_a_failed_attempt() {
    let studio = Studio::new();
    let running = studio.start().await;
    let mut worker = studio.worker("w").await;
    let film = running
        .coordinator
        .submit(request(3), None)
        .await
        .unwrap()
        .film;
    let taken = worker.begin(JobKind::Story).await;
    worker
        .report(
            &taken,
            Product::Story {
                story: support::story(2),
            },
        )
        .await;
    taken.delivery.ack().await;
    until(&running, film, status_is(JobStatus::Retryable)).await;
    worker.work(JobKind::Story).await;
    let taken = worker.begin(JobKind::Keyframe).await;
    let image = Artifact {
        sha256: Sha256::new([7; 32]),
        size: ByteSize::bytes(3),
        media_type: MediaType::Png,
    };
    worker.report(&taken, Product::Keyframe { image }).await;
    let is_it = |what: &Happening| matches!(what, Happening::JobChanged { job } if job.kind == JobKind::Keyframe && job.status == JobStatus::Retryable);
    let seen = until(&running, film, is_it).await;
    let Some(Happening::JobChanged { job }) = seen.last().map(|event| &event.what) else {
        panic!()
    };
    assert!(
        job.failure
            .as_ref()
            .unwrap()
            .message
            .contains("is not in the store"),
        "{:?}",
        job.failure
    );
    running.shutdown().await;
}

#[tokio::test]
async fn a_film_submitted_twice_under_one_key_is_one_film() {
    let studio = Studio::new();
    let running = studio.start().await;
    let key = || Some(SubmissionKey::Http("k".to_owned()));
    let first = running.coordinator.submit(request(3), key()).await.unwrap();
    let again = running.coordinator.submit(request(3), key()).await.unwrap();
    assert_eq!((again.film, again.repeated), (first.film, true));
    let other = running.coordinator.submit(request(4), key()).await;
    assert!(matches!(other, Err(AskError::KeyReused)), "{other:?}");
    running.shutdown().await;
}

/// A film over the broker, from somebody who listens at `reply_to`, or from nobody.
fn submission(body: Vec<u8>, id: &str, reply_to: Option<&str>) -> Message {
    Message {
        id: id.to_owned(),
        correlation_id: Some(format!("about {id}")),
        reply_to: reply_to.map(str::to_owned),
        ..Message::durable(MessageId::generate(), body)
    }
}

#[tokio::test]
async fn a_submission_over_the_broker_is_answered_and_a_repeat_makes_no_second_film() {
    let studio = Studio::new();
    let running = studio.start().await;
    let mut address = studio.broker.reply_address();
    let body = serde_json::to_vec(&request(3)).unwrap();
    let submission = |body, id| submission(body, id, Some(address.name()));
    let messages = [
        submission(body.clone(), "m1"),
        submission(body.clone(), "m1"),
        submission(body, ""),
        submission(b"{".to_vec(), "m2"),
        submission(serde_json::to_vec(&request(4)).unwrap(), "m1"),
    ];
    let mut answers = Vec::new();
    for message in messages {
        let id = message.correlation_id.clone();
        studio
            .broker
            .publish(&Queue::Submissions.into(), message)
            .await
            .unwrap();
        let answer = within("an answer", address.next()).await.unwrap();
        assert_eq!(answer.correlation_id, id);
        answers.push(serde_json::from_slice::<SubmitAnswer>(&answer.body).unwrap());
    }
    assert!(matches!(answers[0], SubmitAnswer::Accepted { .. }));
    assert_eq!(answers[0], answers[1]);
    for refused in &answers[2..] {
        let SubmitAnswer::Mistaken { mistakes } = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(mistakes.len(), 1);
    }
    assert_eq!(
        running
            .coordinator
            .films(None, 10)
            .await
            .unwrap()
            .films
            .len(),
        1
    );
    let mut parked = studio
        .broker
        .subscribe(&Queue::RejectedSubmissions, ReadOptions::default())
        .await
        .unwrap();
    for reason in ["message_id: ", "EOF", "used before for another film"] {
        let delivery = within("a parked submission", parked.next()).await.unwrap();
        let header = delivery
            .message
            .header("x-callsheet-reason")
            .unwrap()
            .to_owned();
        assert!(header.contains(reason), "{header}");
        delivery.ack().await;
    }
    running.shutdown().await;
}

/// Acked before, it would not come again to the next life of a coordinator that is killed, and nobody would answer.
#[tokio::test]
async fn a_submission_is_acked_when_its_answer_is_out() {
    let studio = Studio::new();
    let held = Arc::new(HeldBroker::new(studio.broker.clone()));
    let running = studio.start_over(held.clone(), studio.settings()).await;
    let address = studio.broker.reply_address();
    let body = serde_json::to_vec(&request(3)).unwrap();
    for (id, reply_to) in [("asks", Some(address.name())), ("does not", None)] {
        let message = submission(body.clone(), id, reply_to);
        let queue = Queue::Submissions.into();
        studio.broker.publish(&queue, message).await.unwrap();
    }
    let log = within("the second's ack", held.log.first(1)).await;
    assert_eq!(log, ["acked does not"]);
    held.answers.send_replace(true);
    let log = within("the first's ack", held.log.first(3)).await;
    assert_eq!(log[1..], ["answered about asks", "acked asks"]);
    running.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_parked_and_what_belongs_to_another_store_is_turned_away() {
    let studio = Studio::new();
    let running = studio.start().await;
    let mut worker = studio.worker("w").await;
    for body in [&b"not json"[..], br#"{"version": 99}"#] {
        let message = Message::durable(MessageId::generate(), body.to_vec());
        studio
            .broker
            .publish(&Queue::Reports.into(), message)
            .await
            .unwrap();
    }
    let mut parked = studio
        .broker
        .subscribe(&Queue::Parked, ReadOptions::default())
        .await
        .unwrap();
    for reason in ["not a message", "version 99"] {
        let delivery = within("a parked report", parked.next()).await.unwrap();
        assert!(
            delivery
                .message
                .header("x-callsheet-reason")
                .unwrap()
                .contains(reason)
        );
        delivery.ack().await;
    }
    let run = RunRef {
        job: JobId::generate(),
        attempt: Attempt::FIRST,
        run: RunId::generate(),
    };
    let started = AttemptStarted {
        run,
        worker: worker.me.clone(),
    };
    worker
        .say(
            Some(shared::ids::StoreId::generate()),
            ToCoordinator::AttemptStarted(started),
        )
        .await;
    let answer = worker.hear().await;
    assert!(
        matches!(answer, ToWorker::AttemptDenied(denied) if denied.reason == DenyReason::Unknown)
    );
    running.shutdown().await;
}

#[tokio::test]
async fn a_paused_worker_is_told_until_it_says_so_also_after_a_restart() {
    let studio = Studio::new();
    let running = studio.start().await;
    let mut worker = studio.worker("w").await;
    let state = |paused| WorkerState {
        worker: worker.me.clone(),
        host: "here".to_owned(),
        program_version: "0".to_owned(),
        slots: 1,
        profiles: Vec::new(),
        waiting: Vec::new(),
        running: Vec::new(),
        devices: Vec::new(),
        residents: Vec::new(),
        paused,
        draining: false,
    };
    let (awake, asleep) = (state(false), state(true));
    let id = worker.me.worker.clone();
    assert!(matches!(
        running.coordinator.pause_worker(&id, true).await,
        Err(AskError::NotFound(_))
    ));
    worker
        .say(None, ToCoordinator::WorkerState(Box::new(awake.clone())))
        .await;
    within("the worker to be known", async {
        while running
            .coordinator
            .workers()
            .await
            .unwrap()
            .workers
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(
        running
            .coordinator
            .pause_worker(&id, true)
            .await
            .unwrap()
            .pause_wanted
    );
    assert!(matches!(worker.hear().await, ToWorker::PauseWorker(word) if word.paused));
    running.shutdown().await;
    let running = studio.start().await;
    worker
        .say(None, ToCoordinator::WorkerState(Box::new(awake)))
        .await;
    assert!(matches!(worker.hear().await, ToWorker::PauseWorker(word) if word.paused));
    running.coordinator.pause_worker(&id, false).await.unwrap();
    // What the worker said last before the restart may have come again, and been answered.
    while matches!(worker.hear().await, ToWorker::PauseWorker(word) if word.paused) {}
    worker
        .say(None, ToCoordinator::WorkerState(Box::new(asleep)))
        .await;
    assert!(matches!(worker.hear().await, ToWorker::PauseWorker(word) if !word.paused));
    running.shutdown().await;
}

#[tokio::test]
async fn a_film_of_one_job_ends_with_its_story() {
    let studio = Studio::new();
    let running = studio.start().await;
    let mut worker = studio.worker("w").await;
    let asked = FilmRequest {
        until: Until::Story,
        ..request(3)
    };
    let film = running.coordinator.submit(asked, None).await.unwrap().film;
    worker.work(JobKind::Story).await;
    until(&running, film, |what| {
        matches!(what, Happening::FilmCompleted)
    })
    .await;
    let view = running.coordinator.film(film).await.unwrap();
    assert_eq!((view.jobs.len(), view.story.unwrap().scenes.len()), (1, 3));
    running.shutdown().await;
}

#[tokio::test]
async fn a_second_coordinator_on_the_same_folder_or_broker_refuses_to_work() {
    let studio = Studio::new();
    let running = studio.start().await;
    let same = coordinator::start(
        studio.settings(),
        studio.broker.clone(),
        studio.artifacts.clone(),
    )
    .await;
    assert!(
        same.unwrap_err()
            .to_string()
            .contains("another process uses the data folder")
    );
    let mut settings = studio.settings();
    settings.data_dir = studio.folder.path().join("other");
    settings.takeover = Duration::from_millis(300);
    let mut second = studio.start_with(settings).await;
    let error = within("the refusal", second.failed())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("another coordinator serves this virtual host"),
        "{error}"
    );
    second.shutdown().await;
    running.shutdown().await;
}
