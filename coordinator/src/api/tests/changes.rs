//! To cancel, retry and delete.

use shared::api::{FilmStatus, FilmView, JobView};
use shared::ids::FilmId;
use shared::job::{JobKind, JobStatus};
use shared::protocol::ToWorker;

use super::studio::Studio;
use super::support::simply;

async fn status(studio: &Studio, film: FilmId) -> FilmStatus {
    let view: FilmView = simply(&studio.api(), "GET", &format!("/v1/films/{film}"))
        .await
        .json();
    view.summary.status
}

#[tokio::test]
async fn a_cancelled_film_stops_what_runs() {
    let mut studio = Studio::open().await;
    let id = studio.submit().await;
    let run = studio.begin(JobKind::Story).await;
    let cancel = format!("/v1/films/{id}/cancel");
    let answer = simply(&studio.api(), "POST", &cancel).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(
        answer.json::<FilmView>().summary.status,
        FilmStatus::Cancelled
    );
    let word = studio
        .hear(|word| matches!(word, ToWorker::CancelAttempt(_)))
        .await;
    assert!(matches!(word, ToWorker::CancelAttempt(order) if order.run == run.run));

    let again = simply(&studio.api(), "POST", &cancel).await;
    assert_eq!(
        again.status.as_u16(),
        200,
        "to cancel twice is to cancel once"
    );
}

#[tokio::test]
async fn a_completed_film_is_neither_cancelled_nor_retried() {
    let mut studio = Studio::open().await;
    let id = studio.submit().await;
    studio.make(id, &JobKind::ALL).await;
    assert_eq!(status(&studio, id).await, FilmStatus::Completed);
    for path in [
        format!("/v1/films/{id}/cancel"),
        format!("/v1/films/{id}/retry"),
    ] {
        let answer = simply(&studio.api(), "POST", &path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.sort().as_str()),
            (409, "conflict"),
            "{path}"
        );
    }
    assert_eq!(status(&studio, id).await, FilmStatus::Completed);
}

#[tokio::test]
async fn a_failed_film_gets_new_tries_by_film_and_by_job() {
    let mut studio = Studio::open().await;
    let id = studio.submit().await;
    for by_job in [false, true] {
        let run = studio.begin(JobKind::Story).await;
        let job = format!("/v1/jobs/{}", run.run.job);
        let path = match by_job {
            true => format!("{job}/retry"),
            false => format!("/v1/films/{id}/retry"),
        };
        let too_early = simply(&studio.api(), "POST", &path).await;
        assert_eq!(
            (too_early.status.as_u16(), too_early.sort().as_str()),
            (409, "conflict"),
            "{path}"
        );

        studio.fail(&run).await;
        let attempt = run.run.attempt;
        studio
            .wait_for(id, |what| match what {
                shared::api::Happening::JobChanged { job } => {
                    job.status == JobStatus::Failed && job.attempt == attempt
                }
                _ => false,
            })
            .await;
        assert_eq!(status(&studio, id).await, FilmStatus::Failed);
        let failed: JobView = simply(&studio.api(), "GET", &job).await.json();
        assert_eq!(failed.failure.unwrap().message, "the pencil broke");

        assert_eq!(
            simply(&studio.api(), "POST", &path).await.status.as_u16(),
            200
        );
        assert_eq!(status(&studio, id).await, FilmStatus::Running);
    }
    studio.make(id, &JobKind::ALL).await;
    assert_eq!(status(&studio, id).await, FilmStatus::Completed);
}

#[tokio::test]
async fn a_film_is_forgotten_only_after_it_has_ended() {
    let studio = Studio::open().await;
    let id = studio.submit().await;
    let path = format!("/v1/films/{id}");
    let early = simply(&studio.api(), "DELETE", &path).await;
    assert_eq!(
        (early.status.as_u16(), early.sort().as_str()),
        (409, "conflict")
    );
    simply(&studio.api(), "POST", &format!("{path}/cancel")).await;

    let answer = simply(&studio.api(), "DELETE", &path).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(
        simply(&studio.api(), "GET", &path).await.sort(),
        "not-found"
    );
    assert_eq!(
        simply(&studio.api(), "DELETE", &path).await.sort(),
        "not-found"
    );
}
