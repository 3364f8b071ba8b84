//! Workers: to list, pause and resume.

use shared::api::{FilmView, JobExplanation, WorkerList, WorkerView};
use shared::job::JobKind;
use shared::profile::{Profile, ResourceRequest};
use shared::protocol::{ToCoordinator, ToWorker, Waiting, WorkerState};

use super::studio::{Studio, until};
use super::support::simply;

/// Waits until the coordinator has heard of the worker.
async fn heard_of(studio: &Studio) {
    studio
        .report(None, ToCoordinator::WorkerState(Box::new(studio.state())))
        .await;
    until("the worker to be known", async || {
        listed(studio).await.workers.pop()
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

#[tokio::test]
async fn a_job_that_waits_is_explained_with_what_each_worker_says() {
    let studio = Studio::open().await;
    let film = studio.submit().await;
    let view: FilmView = simply(&studio.api(), "GET", &format!("/v1/films/{film}"))
        .await
        .json();
    let job = view.jobs.iter().find(|job| job.kind == JobKind::Story);
    let job = job.unwrap();
    let path = format!("/v1/jobs/{}/explain", job.id);
    let nobody: JobExplanation = simply(&studio.api(), "GET", &path).await.json();
    assert_eq!(nobody.workers, []);
    assert!(nobody.job.waiting.is_some());

    let reason = "needs 21.9 GiB, 13.5 GiB free: 8.4 GiB short; blender (pid 300) holds 10.0 GiB";
    let state = WorkerState {
        profiles: vec![Profile {
            name: job.profile.clone(),
            kind: job.kind,
            backend: "b".to_owned(),
            needs: ResourceRequest::default(),
        }],
        waiting: vec![Waiting {
            kind: job.kind,
            profile: job.profile.clone(),
            never: false,
            reason: reason.to_owned(),
        }],
        ..studio.state()
    };
    studio
        .report(None, ToCoordinator::WorkerState(Box::new(state)))
        .await;
    let explained = until("the worker's reason", async || {
        let explained: JobExplanation = simply(&studio.api(), "GET", &path).await.json();
        (!explained.workers.is_empty()).then_some(explained)
    })
    .await;
    let [worker] = &explained.workers[..] else {
        panic!("one worker offers it: {explained:?}")
    };
    assert_eq!(
        (
            worker.reason.as_str(),
            worker.online,
            worker.takes,
            worker.never
        ),
        (reason, true, false, false)
    );
    let absent = simply(&studio.api(), "GET", &format!("/v1/jobs/{film}/explain")).await;
    assert_eq!(absent.status.as_u16(), 404);
}
