//! A take is rendered once, whatever happens meanwhile, and its end is noticed at once.

use std::time::Duration;

use comfyui_double::{Content, Fate, Flavour};
use shared::failure::FailureKind;
use shared::job::Product;
use tokio::time::{Instant, timeout};
use video_worker::comfyui::graph::Limits;
use video_worker::comfyui::{ComfyUiSettings, Expects};
use worker_runtime::backend::Backend as _;

use crate::suite::png;
use crate::support::{LIMITS, SIZE, Stage, Wan, double, until};

#[tokio::test]
async fn a_clip_is_rendered_once_and_stored() {
    for flavour in Flavour::ALL {
        let double = double(flavour);
        let stage = Stage::new(&double).await;
        stage.backend.prepare().await.unwrap();
        let attempt = stage.attempt();
        let outcome = stage.run(&attempt).await.unwrap();
        let Product::Scene { clip, frames } = &outcome.product else {
            panic!("{outcome:?}")
        };
        stage.artifacts.verify(clip).await.unwrap();
        assert_eq!(
            (*frames, outcome.fallbacks.len()),
            (crate::support::FRAMES, 0)
        );
        let rendered = double.rendered();
        assert_eq!(rendered.len(), 1);
        // Job and take are in what goes with the prompt, and in the name of the file.
        let tag = &rendered[0].extra_data["callsheet"];
        assert_eq!(tag["job"], serde_json::json!(attempt.job));
        assert!(rendered[0].files[0].starts_with(&format!("{}-take1-0_", attempt.job)));
        assert_eq!(double.inputs().len(), 1);
        assert!(stage.strays().is_empty());
    }
}

#[tokio::test]
async fn a_run_that_is_killed_in_mid_render_is_attached_to() {
    let double = double(Flavour::New);
    double.behave(|it| it.step = Duration::from_millis(100));
    let stage = Stage::new(&double).await;
    let attempt = stage.attempt();
    {
        let (context, steps) = stage.context();
        let mut run = Box::pin(stage.backend.run(&attempt, &context));
        tokio::select! {
            ended = &mut run => panic!("{ended:?}"),
            () = until("the first step", || steps.borrow().step >= 1) => {}
        }
    }
    stage.run(&attempt).await.unwrap();
    assert_eq!((double.taken().len(), double.rendered().len()), (1, 1));
}

#[tokio::test]
async fn a_render_that_is_attached_to_has_its_time_from_when_it_began() {
    for flavour in Flavour::ALL {
        let double = double(flavour);
        let time = Duration::from_secs(3);
        let wan = Wan {
            limits: Limits { time, ..LIMITS },
            ..Wan::default()
        };
        let stage = Stage::with(&double, wan, ComfyUiSettings::default()).await;
        // What has ended before it is no part of it.
        stage.run(&stage.attempt()).await.unwrap();
        double.behave(|it| it.fates.push_back(Fate::StallsAt(1)));
        let attempt = stage.attempt();
        let began = Instant::now();
        {
            let (context, steps) = stage.context();
            let mut run = Box::pin(stage.backend.run(&attempt, &context));
            tokio::select! {
                ended = &mut run => panic!("{ended:?}"),
                () = until("the first step", || steps.borrow().step >= 1) => {}
            }
        }
        tokio::time::sleep(time * 2 / 3).await;
        let failure = stage.run(&attempt).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::TimedOut, "{failure}");
        // With its time anew it would end then.
        let (took, longest) = (began.elapsed(), time * 5 / 3);
        assert!((time..longest).contains(&took), "{took:?}");
    }
}

#[tokio::test]
async fn a_render_that_ended_meanwhile_is_collected() {
    let double = double(Flavour::New);
    let stage = Stage::new(&double).await;
    let attempt = stage.attempt();
    let first = stage.run(&attempt).await.unwrap();
    assert_eq!(stage.run(&attempt).await.unwrap(), first);
    assert_eq!((double.taken().len(), double.rendered().len()), (1, 1));
}

#[tokio::test]
async fn a_clip_whose_server_has_forgotten_it_is_found_by_its_name() {
    let mut double = double(Flavour::Old);
    let stage = Stage::new(&double).await;
    let attempt = stage.attempt();
    let first = stage.run(&attempt).await.unwrap();
    double.start_again();
    assert_eq!(stage.run(&attempt).await.unwrap(), first);
    assert_eq!((double.taken().len(), double.rendered().len()), (1, 1));
}

#[tokio::test]
async fn half_a_file_of_a_server_that_was_killed_is_not_taken_for_the_clip() {
    let mut double = double(Flavour::New);
    double.behave(|it| it.fates.push_back(Fate::DiesSaving));
    let stage = Stage::new(&double).await;
    let attempt = stage.attempt();
    let (context, _) = stage.context();
    let run = stage.backend.run(&attempt, &context);
    let outputs = || double.outputs().len();
    let mut run = Box::pin(run);
    tokio::select! {
        ended = &mut run => panic!("{ended:?}"),
        () = until("half a file", || outputs() == 1) => {}
    }
    double.start_again();
    let outcome = run.await.unwrap();
    assert_eq!(
        (double.outputs().len(), double.rendered().len()),
        (2, 1),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_killed_in_mid_render_and_comes_back_is_waited_for_and_the_loss_is_told() {
    let mut double = double(Flavour::New);
    double.behave(|it| it.fates.push_back(Fate::StallsAt(1)));
    let stage = Stage::new(&double).await;
    let attempt = stage.attempt();
    let (context, mut steps) = stage.context();
    let mut run = Box::pin(stage.backend.run(&attempt, &context));
    let first = steps.wait_for(|step| step.step == 1);
    tokio::select! {
        ended = &mut run => panic!("{ended:?}"),
        seen = first => drop(seen.unwrap()),
    }
    double.kill();
    let away = steps.wait_for(|step| step.phase.contains("come back"));
    tokio::select! {
        ended = &mut run => panic!("{ended:?}"),
        seen = away => drop(seen.unwrap()),
    }
    double.start_again();
    let outcome = run.await.unwrap();
    assert!(
        outcome.fallbacks[0].contains("lost the render"),
        "{outcome:?}"
    );
    assert_eq!((double.taken().len(), double.rendered().len()), (2, 1));
}

#[tokio::test]
async fn a_lost_answer_sends_nothing_twice() {
    for flavour in Flavour::ALL {
        let double = double(flavour);
        double.behave(|it| it.lost_answers = 1);
        let stage = Stage::new(&double).await;
        stage.run(&stage.attempt()).await.unwrap();
        assert_eq!((double.taken().len(), double.rendered().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_sibling_at_the_same_server_follows_the_same_render() {
    let double = double(Flavour::New);
    double.behave(|it| it.step = Duration::from_millis(200));
    let stage = Stage::new(&double).await;
    let sibling = Stage::new(&double).await;
    let attempt = stage.attempt();
    let (context, steps) = stage.context();
    let first = stage.backend.run(&attempt, &context);
    let second = async {
        until("the first step", || steps.borrow().step >= 1).await;
        sibling.run(&attempt).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.unwrap(), second.unwrap());
    assert_eq!((double.taken().len(), double.rendered().len()), (1, 1));
}

/// Times from the server's end of a render to its file being asked for, with the check left out.
async fn noticed(mute: bool) -> Vec<Duration> {
    let double = double(Flavour::New);
    double.behave(|it| {
        it.mute = mute;
        it.step = Duration::from_millis(3);
        it.history_lag = Duration::from_millis(5);
        it.content = Content::Bytes(png().into());
    });
    // Of an image, whose check takes no time: the noticing is what counts.
    let still = Wan {
        expects: Expects::Still(SIZE),
        ..Wan::default()
    };
    let stage = Stage::with(&double, still, ComfyUiSettings::default()).await;
    let mut times = Vec::new();
    for number in 1..=100 {
        let attempt = stage.attempt();
        let (context, mut steps) = stage.context();
        let run = stage.backend.run(&attempt, &context);
        let rendered = || double.rendered().len() == number;
        let watch = async {
            until("the render", rendered).await;
            let ended = Instant::now();
            let seen = steps.wait_for(|step| step.phase == "collecting").await;
            drop(seen.unwrap());
            ended.elapsed()
        };
        let (ended, time) = tokio::join!(run, watch);
        ended.unwrap();
        times.push(time);
    }
    times.sort();
    times
}

#[tokio::test]
async fn the_end_of_a_render_is_noticed_within_a_second() {
    let times = timeout(Duration::from_secs(300), noticed(false))
        .await
        .unwrap();
    println!("noticed: median {:?}, p99 {:?}", times[49], times[98]);
    assert!(times[98] < Duration::from_secs(1), "{times:?}");
}

#[tokio::test]
async fn the_end_of_a_render_is_noticed_within_a_second_without_a_word_over_the_socket() {
    let times = timeout(Duration::from_secs(300), noticed(true))
        .await
        .unwrap();
    println!(
        "noticed by history: median {:?}, p99 {:?}",
        times[49], times[98]
    );
    assert!(times[98] < Duration::from_secs(1), "{times:?}");
}
