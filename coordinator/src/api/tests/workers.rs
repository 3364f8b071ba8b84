//! Workers: to list, pause and resume.

use std::time::Duration;

use shared::api::{WorkerList, WorkerView};
use shared::protocol::{ToCoordinator, ToWorker};

use super::studio::{Studio, patiently};
use super::support::simply;

/// Waits until the coordinator has heard of the worker.
async fn heard_of(studio: &Studio) {
    studio
        .report(None, ToCoordinator::WorkerState(Box::new(studio.state())))
        .await;
    patiently("the worker to be known", async {
        while listed(studio).await.workers.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn listed(studio: &Studio) -> WorkerList {
    simply(&studio.api(), "GET", "/v1/workers").await.json()
}

#[tokio::test]
async fn a_worker_that_was_heard_of_is_listed_as_it_said_it_is() {
    let studio = Studio::open().await;
    assert!(listed(&studio).await.workers.is_empty());
    heard_of(&studio).await;
    let [worker] = &listed(&studio).await.workers[..] else {
        panic!("one worker spoke")
    };
    assert_eq!(worker.state, studio.state());
    assert!(worker.online && !worker.pause_wanted);
}

#[tokio::test]
async fn a_worker_is_told_to_stand_still_and_to_go_on() {
    let mut studio = Studio::open().await;
    heard_of(&studio).await;
    for (verb, paused) in [("pause", true), ("resume", false)] {
        let answer = simply(
            &studio.api(),
            "POST",
            &format!("/v1/workers/studio-3/{verb}"),
        )
        .await;
        assert_eq!(answer.status.as_u16(), 200);
        assert_eq!(answer.json::<WorkerView>().pause_wanted, paused);
        assert_eq!(listed(&studio).await.workers[0].pause_wanted, paused);
        let word = studio
            .hear(|word| matches!(word, ToWorker::PauseWorker(order) if order.paused == paused))
            .await;
        assert!(matches!(word, ToWorker::PauseWorker(_)));
    }
}
