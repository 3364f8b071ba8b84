//! The ladder of trouble, each rung on the double.

use std::time::Duration;

use comfyui_double::{Card, Fate, Flavour};
use shared::failure::FailureKind;
use tokio::time::Instant;
use video_worker::comfyui::ComfyUiSettings;
use video_worker::comfyui::graph::Limits;
use worker_runtime::backend::Backend as _;

use crate::support::{LIMITS, Stage, Wan, double, until, well};

fn oom() -> Fate {
    Fate::Fails {
        exception: "torch.OutOfMemoryError".to_owned(),
        message: "Allocation on device \nThis error means you ran out of memory on your GPU."
            .to_owned(),
    }
}

fn limited(limits: Limits) -> Wan {
    Wan {
        limits,
        ..Wan::default()
    }
}

#[tokio::test]
async fn out_of_memory_is_freed_tried_once_more_and_recorded_in_the_take() {
    let double = double(Flavour::New);
    let card = Card {
        total: 24 << 30,
        held: 20 << 30,
    };
    double.behave(|it| {
        it.card = Some(card);
        it.fates.push_back(oom());
    });
    let stage = Stage::new(&double).await;
    let outcome = stage.run(&stage.attempt()).await.unwrap();
    assert_eq!(
        (
            double.frees(),
            double.taken().len(),
            double.rendered().len()
        ),
        (1, 2, 1)
    );
    assert!(
        outcome.fallbacks[0].contains("out of memory in node `sampler` (KSampler)"),
        "{outcome:?}"
    );

    double.behave(|it| it.fates.extend([oom(), oom()]));
    let failure = stage.run(&stage.attempt()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::OutOfMemory, "{failure}");
    assert_eq!(double.taken().len(), 4);
}

#[tokio::test]
async fn a_stall_is_interrupted_and_its_memory_freed() {
    let double = double(Flavour::New);
    double.behave(|it| it.fates.push_back(Fate::StallsAt(2)));
    let stall = Duration::from_millis(400);
    let stage = Stage::with(
        &double,
        limited(Limits { stall, ..LIMITS }),
        ComfyUiSettings::default(),
    )
    .await;
    let failure = stage.run(&stage.attempt()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Stalled, "{failure}");
    assert!(
        failure
            .message
            .contains("node `sampler` stands at step 2 of 4"),
        "{failure}"
    );
    assert_eq!((double.interrupts(), double.frees()), (1, 1));
    stage.run(&stage.attempt()).await.unwrap();
}

#[tokio::test]
async fn silence_while_a_node_loads_or_decodes_is_waited_for() {
    let double = double(Flavour::New);
    double.behave(|it| it.node = Duration::from_millis(500));
    let stall = Duration::from_millis(200);
    let stage = Stage::with(
        &double,
        limited(Limits { stall, ..LIMITS }),
        ComfyUiSettings::default(),
    )
    .await;
    stage.run(&stage.attempt()).await.unwrap();
    assert_eq!(double.interrupts(), 0);
}

#[tokio::test]
async fn a_node_that_is_silent_for_longer_than_its_limit_is_interrupted_and_its_memory_freed() {
    let double = double(Flavour::New);
    double.behave(|it| it.node = Duration::from_secs(60));
    let silence = Duration::from_millis(400);
    let limits = Limits { silence, ..LIMITS };
    let stage = Stage::with(&double, limited(limits), ComfyUiSettings::default()).await;
    let failure = stage.run(&stage.attempt()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Stalled, "{failure}");
    assert!(failure.message.contains("silence_s"), "{failure}");
    assert_eq!((double.interrupts(), double.frees()), (1, 1));
}

#[tokio::test]
async fn a_server_whose_socket_is_mute_is_not_taken_for_a_silent_one() {
    let double = double(Flavour::New);
    double.behave(|it| {
        it.mute = true;
        it.step = Duration::from_millis(200);
    });
    let silence = Duration::from_millis(300);
    let limits = Limits { silence, ..LIMITS };
    let stage = Stage::with(&double, limited(limits), ComfyUiSettings::default()).await;
    stage.run(&stage.attempt()).await.unwrap();
    assert_eq!(double.interrupts(), 0);
}

#[tokio::test]
async fn at_the_time_limit_the_prompt_has_really_stopped_before_the_attempt_ends() {
    for flavour in Flavour::ALL {
        let double = double(flavour);
        double.behave(|it| it.fates.push_back(Fate::StallsAt(2)));
        let time = Duration::from_millis(300);
        let stage = Stage::with(
            &double,
            limited(Limits { time, ..LIMITS }),
            ComfyUiSettings::default(),
        )
        .await;
        let failure = stage.run(&stage.attempt()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::TimedOut, "{failure}");
        let client = video_worker::comfyui::client::Client::new(&double.url()).unwrap();
        assert!(client.queue().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_job_that_is_not_wanted_any_more_is_interrupted_and_no_other_is() {
    let double = double(Flavour::New);
    double.behave(|it| it.fates.push_back(Fate::StallsAt(1)));
    let stage = Stage::new(&double).await;
    let (context, steps) = stage.context();
    let attempt = stage.attempt();
    let stop = context.cancelled.clone();
    let run = stage.backend.run(&attempt, &context);
    let stopped = async {
        until("the first step", || steps.borrow().step >= 1).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(run, stopped);
    assert_eq!(ended.unwrap_err().kind, FailureKind::Cancelled);
    stage.run(&stage.attempt()).await.unwrap();
    assert_eq!(double.rendered().len(), 1);
}

#[tokio::test]
async fn a_worker_that_goes_away_leaves_its_render_to_be_found_again() {
    let double = double(Flavour::New);
    double.behave(|it| it.step = Duration::from_millis(100));
    let stage = Stage::new(&double).await;
    let (context, steps) = stage.context();
    let attempt = stage.attempt();
    {
        let mut run = Box::pin(stage.backend.run(&attempt, &context));
        let leaves = async {
            until("the first step", || steps.borrow().step >= 1).await;
            context.leaving.cancel();
            context.cancelled.cancel();
            until("another step", || steps.borrow().step >= 2).await;
        };
        tokio::select! {
            ended = &mut run => panic!("{ended:?}"),
            () = leaves => {}
        }
    }
    stage.run(&attempt).await.unwrap();
    assert_eq!((double.interrupts(), double.rendered().len()), (0, 1));
}

#[tokio::test]
async fn a_lie_about_success_is_a_failure_in_the_words_of_the_node() {
    for flavour in Flavour::ALL {
        let double = double(flavour);
        let stage = Stage::new(&double).await;
        stage.run(&stage.attempt()).await.unwrap();
        double.behave(|it| it.fates.push_back(Fate::Lies));
        let failure = stage.run(&stage.attempt()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Permanent, "{failure}");
        assert!(
            failure.message.contains("DependencyCycleError"),
            "{failure}"
        );
        assert!(failure.message.len() < 1_000, "{failure}");
    }
}

#[tokio::test]
async fn a_dead_executor_is_noticed_within_a_minute_and_nothing_more_is_taken_before_a_trial_has_passed()
 {
    let double = double(Flavour::New);
    double.behave(|it| it.executor_dead = true);
    let stage = Stage::new(&double).await;
    stage.backend.prepare().await.unwrap();
    let began = Instant::now();
    let failure = stage.run(&stage.attempt()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Lost, "{failure}");
    assert!(began.elapsed() < Duration::from_secs(60));
    assert!(failure.message.contains("executor is dead"), "{failure}");
    let told = stage.backend.prepare().await.unwrap_err().to_string();
    assert!(told.contains("executor is dead"), "{told}");
    double.behave(|it| it.executor_dead = false);
    stage.backend.prepare().await.unwrap();
    stage.run(&stage.attempt()).await.unwrap();
    assert_eq!(double.rendered().len(), 1);
}

#[tokio::test]
async fn a_broken_card_makes_the_server_suspect_and_the_command_that_starts_it_anew_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("restarted");
    let double = double(Flavour::New);
    double.behave(|it| {
        it.fates.push_back(Fate::Fails {
            exception: "RuntimeError".to_owned(),
            message: "CUDA error: an illegal memory access was encountered".to_owned(),
        });
    });
    let settings = ComfyUiSettings {
        restart: vec!["touch".to_owned(), mark.to_str().unwrap().to_owned()],
        ..ComfyUiSettings::default()
    };
    let stage = Stage::with(&double, Wan::default(), settings).await;
    stage.backend.prepare().await.unwrap();
    assert!(!mark.exists());
    let failure = stage.run(&stage.attempt()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient, "{failure}");
    stage.backend.prepare().await.unwrap();
    assert!(mark.exists());
}

#[tokio::test]
async fn a_person_at_the_same_server_is_waited_for() {
    let double = double(Flavour::New);
    let stage = Stage::new(&double).await;
    let client = video_worker::comfyui::client::Client::new(&double.url()).unwrap();
    double.behave(|it| it.node = Duration::from_millis(300));
    // Of another job, hence none of this take.
    let tag = video_worker::comfyui::tag::Tag::first(
        shared::ids::JobId::generate(),
        shared::ids::Take::FIRST,
    );
    let theirs = crate::support::smoke("person/image", 3);
    client.submit(&theirs, &tag, "a person").await.unwrap();
    let (context, mut steps) = stage.context();
    let attempt = stage.attempt();
    let run = stage.backend.run(&attempt, &context);
    let waits = async {
        let seen = steps
            .wait_for(|step| step.phase.contains("waiting for others"))
            .await;
        seen.unwrap();
        double.behave(well);
    };
    let (ended, ()) = tokio::join!(run, waits);
    ended.unwrap();
    assert_eq!(double.interrupts(), 0);
    let rendered = double.rendered();
    assert_eq!(rendered.len(), 2);
    assert!(rendered[0].files[0].starts_with("image_"), "{rendered:?}");
}

#[tokio::test]
async fn a_render_that_a_person_stops_is_begun_again() {
    let double = double(Flavour::New);
    double.behave(|it| it.fates.push_back(Fate::StallsAt(1)));
    let stage = Stage::new(&double).await;
    let client = video_worker::comfyui::client::Client::new(&double.url()).unwrap();
    let (context, steps) = stage.context();
    let attempt = stage.attempt();
    let run = stage.backend.run(&attempt, &context);
    let person = async {
        until("the first step", || steps.borrow().step >= 1).await;
        let running = client.queue().await.unwrap().running;
        client.interrupt(&running[0].prompt).await.unwrap();
    };
    let (ended, ()) = tokio::join!(run, person);
    ended.unwrap();
    assert_eq!((double.taken().len(), double.rendered().len()), (2, 1));
}

#[tokio::test]
async fn a_cached_file_is_no_new_take() {
    let double = double(Flavour::New);
    let stage = Stage::new(&double).await;
    let attempt = stage.attempt();
    stage.run(&attempt).await.unwrap();
    double.remove_outputs();
    // The same take is asked for again, as after a restart of everything but the server; its file is gone.
    let outcome = stage.run(&attempt).await.unwrap();
    assert_eq!(double.rendered().len(), 2, "{outcome:?}");
    let files: Vec<_> = double
        .rendered()
        .into_iter()
        .map(|it| it.files[0].clone())
        .collect();
    assert_ne!(files[0], files[1]);
}
