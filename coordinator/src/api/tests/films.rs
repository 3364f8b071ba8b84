//! To submit, list and show films.

use shared::api::{FilmList, FilmStatus, FilmView, JobView, SubmitAnswer};
use shared::ids::FilmId;
use shared::job::JobKind;

use super::studio::Studio;
use super::support::{Answer, ask, request, simply};

const BODY: &str = r#"{"premise": "A \"quoted\" 100% <b>storm</b>: it blows"}"#;

async fn submit(studio: &Studio, key: Option<&str>, body: &str) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    ask(
        &studio.api(),
        request("POST", "/v1/films", &headers, body.to_owned()),
    )
    .await
}

fn film(answer: &Answer) -> FilmId {
    match answer.json() {
        SubmitAnswer::Accepted { film } => film,
        SubmitAnswer::Mistaken { mistakes } => panic!("{mistakes:?}"),
    }
}

#[tokio::test]
async fn one_key_makes_one_film_however_often_it_is_sent() {
    let studio = Studio::open().await;
    let first = submit(&studio, Some("storm-1"), BODY).await;
    assert_eq!(first.status.as_u16(), 201);
    assert_eq!(
        first.header("location"),
        format!("/v1/films/{}", film(&first))
    );
    let again = submit(&studio, Some("storm-1"), BODY).await;
    assert_eq!((again.status.as_u16(), film(&again)), (200, film(&first)));
    assert_eq!(again.header("location"), first.header("location"));

    let other = submit(&studio, Some("storm-1"), r#"{"premise": "Another"}"#).await;
    assert_eq!(
        (other.status.as_u16(), other.sort().as_str()),
        (409, "key-reused")
    );
    let list: FilmList = simply(&studio.api(), "GET", "/v1/films").await.json();
    assert_eq!(list.films.len(), 1);
}

#[tokio::test]
async fn without_a_key_or_under_another_one_there_are_more_films() {
    let studio = Studio::open().await;
    let mut made = Vec::new();
    for key in [None, None, Some("a"), Some("b")] {
        let answer = submit(&studio, key, BODY).await;
        assert_eq!(answer.status.as_u16(), 201);
        made.push(film(&answer));
    }
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 4);
}

#[tokio::test]
async fn films_are_listed_newest_first_page_by_page() {
    let studio = Studio::open().await;
    let mut submitted = Vec::new();
    for _ in 0..5 {
        submitted.push(film(&submit(&studio, None, BODY).await));
    }
    submitted.reverse();
    let mut listed = Vec::new();
    let mut path = "/v1/films?limit=2".to_owned();
    for expected in [2, 2, 1] {
        let page: FilmList = simply(&studio.api(), "GET", &path).await.json();
        assert_eq!(page.films.len(), expected);
        listed.extend(page.films.iter().map(|film| film.id));
        assert_eq!(page.next.is_none(), expected == 1);
        path = page.next.map_or_else(String::new, |next| {
            format!("/v1/films?limit=2&before={next}")
        });
    }
    assert_eq!(listed, submitted);
}

#[tokio::test]
async fn a_film_and_its_jobs_are_shown_as_they_are() {
    let mut studio = Studio::open().await;
    let id = studio.submit().await;
    studio.make(id, &[JobKind::Story]).await;
    let answer = simply(&studio.api(), "GET", &format!("/v1/films/{id}")).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let view: FilmView = answer.json();
    assert_eq!(
        (view.summary.id, view.summary.status),
        (id, FilmStatus::Running)
    );
    assert_eq!(view.request.seed, Some(7));
    let kinds: Vec<_> = view.jobs.iter().map(|job| job.kind).collect();
    assert_eq!(kinds, JobKind::ALL);

    for job in view.jobs {
        let shown: JobView = simply(&studio.api(), "GET", &format!("/v1/jobs/{}", job.id))
            .await
            .json();
        assert_eq!(
            (shown.id, shown.kind, shown.status),
            (job.id, job.kind, job.status)
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_missing() {
    let studio = Studio::open().await;
    let id = FilmId::generate();
    for (method, path) in [
        ("GET", format!("/v1/films/{id}")),
        ("HEAD", format!("/v1/films/{id}/film.mp4")),
        ("GET", format!("/v1/films/{id}/film.mp4")),
        ("GET", format!("/v1/films/{id}/film.json")),
        ("GET", format!("/v1/films/{id}/events")),
        ("GET", format!("/v1/films/{id}/scenes/1/clip.mp4")),
        ("GET", format!("/v1/films/{id}/scenes/1/keyframe.png")),
        ("POST", format!("/v1/films/{id}/cancel")),
        ("POST", format!("/v1/films/{id}/retry")),
        ("DELETE", format!("/v1/films/{id}")),
        ("GET", format!("/v1/jobs/{id}")),
        ("POST", format!("/v1/jobs/{id}/retry")),
        ("POST", "/v1/workers/nobody/pause".to_owned()),
        ("POST", "/v1/workers/nobody/resume".to_owned()),
    ] {
        let answer = simply(&studio.api(), method, &path).await;
        assert_eq!(answer.status.as_u16(), 404, "{method} {path}");
        if method != "HEAD" {
            assert_eq!(answer.sort(), "not-found", "{method} {path}");
        }
    }
}
