//! A render is there, and the store of artifacts does not take it.

use std::time::Duration;

use comfyui_double::Flavour;
use shared::failure::FailureKind;
use shared::job::Product;
use worker_runtime::backend::Backend as _;

use crate::support::{Stage, double, until};

/// What a run says that waits.
const WAITS: &str = "waiting for the artifact store";

#[tokio::test]
async fn a_clip_waits_for_a_store_that_does_not_take_it_and_is_not_rendered_again() {
    let double = double(Flavour::New);
    double.behave(|it| it.step = Duration::from_millis(100));
    let stage = Stage::new(&double).await;
    let attempt = stage.attempt();
    let (context, steps) = stage.context();
    let mut run = Box::pin(stage.backend.run(&attempt, &context));
    let waits = async {
        until("a render", || steps.borrow().step >= 1).await;
        stage.break_store();
        until("a word", || steps.borrow().phase == WAITS).await;
    };
    tokio::select! {
        ended = &mut run => panic!("{ended:?}"),
        () = waits => {}
    }
    stage.mend_store();
    let outcome = run.await.unwrap();
    let Product::Scene { clip, .. } = &outcome.product else {
        panic!("{outcome:?}")
    };
    stage.artifacts.verify(clip).await.unwrap();
    assert_eq!((double.taken().len(), double.rendered().len()), (1, 1));
}

#[tokio::test]
async fn a_clip_that_waits_for_its_store_is_let_go_when_nobody_wants_it_any_more() {
    let double = double(Flavour::New);
    double.behave(|it| it.step = Duration::from_millis(100));
    let stage = Stage::new(&double).await;
    let attempt = stage.attempt();
    let (context, steps) = stage.context();
    let unwanted = async {
        until("a render", || steps.borrow().step >= 1).await;
        stage.break_store();
        until("a word", || steps.borrow().phase == WAITS).await;
        context.cancelled.cancel();
    };
    let (ended, ()) = tokio::join!(stage.backend.run(&attempt, &context), unwanted);
    assert_eq!(ended.unwrap_err().kind, FailureKind::Cancelled);
    assert_eq!(double.rendered().len(), 1);
}
