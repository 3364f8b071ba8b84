//! How a run looks, while it runs.

use std::path::Path;

use axum::Router;
use shared::api::{FilmView, JobView};
use shared::ids::JobId;
use shared::job::{JobKind, JobStatus};
use shared::preview::Preview;

use super::studio::{Studio, until};
use super::support::{Answer, ask, request, simply};

/// What the picture holds that must be on no disk.
const FACE: &str = "a face in the fog ";

fn jpeg(number: u8) -> Preview {
    let bytes = [&[0xff, 0xd8, 0xff, number][..], FACE.repeat(99).as_bytes()].concat();
    Preview::new(bytes.into()).unwrap()
}

fn png() -> Preview {
    let bytes = [&b"\x89PNG\r\n\x1a\n"[..], FACE.as_bytes()].concat();
    Preview::new(bytes.into()).unwrap()
}

fn at(job: JobId) -> String {
    format!("/v1/jobs/{job}/preview")
}

/// The answer, once it is that picture.
async fn shown(api: &Router, job: JobId, picture: &Preview) -> Answer {
    until("the picture", async || {
        let answer = simply(api, "GET", &at(job)).await;
        (answer.body == picture.bytes()).then_some(answer)
    })
    .await
}

/// The job, once it is as it should be.
async fn job(api: &Router, job: JobId, is_it: impl Fn(&JobView) -> bool) -> JobView {
    until("the job", async || {
        let answer = simply(api, "GET", &format!("/v1/jobs/{job}")).await;
        Some(answer.json::<JobView>()).filter(&is_it)
    })
    .await
}

/// Why there is none.
async fn why_none(api: &Router, job: JobId) -> String {
    let answer = simply(api, "GET", &at(job)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.sort().as_str()),
        (404, "not-there-yet")
    );
    answer.problem().detail
}

#[tokio::test]
async fn a_run_shows_its_newest_picture_until_it_ends() {
    let mut studio = Studio::open().await;
    let film = studio.submit().await;
    studio.make(film, &[JobKind::Story]).await;
    let api = studio.api();
    let run = studio.begin(JobKind::Keyframe).await;
    let id = run.run.job;
    let detail = why_none(&api, id).await;
    assert!(detail.contains("has shown none"), "{detail}");

    studio.progress_showing(&run, 1, Some(jpeg(1))).await;
    let answer = shown(&api, id, &jpeg(1)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "image/jpeg")
    );
    assert_eq!(
        (
            answer.header("cache-control"),
            answer.header("x-content-type-options")
        ),
        ("no-store", "nosniff")
    );
    let etag = answer.header("etag");
    let again = ask(
        &api,
        request("GET", &at(id), &[("if-none-match", etag)], ""),
    )
    .await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    let view = job(&api, id, |job| job.progress.is_some()).await;
    assert_eq!(view.progress.unwrap().preview, Some(1));

    // Words without a picture leave it; the next picture takes its place.
    studio.progress(&run, 2).await;
    let is_at = |step| move |job: &JobView| job.progress.as_ref().is_some_and(|it| it.step == step);
    let view = job(&api, id, is_at(2)).await;
    assert_eq!(view.progress.unwrap().preview, Some(1));
    shown(&api, id, &jpeg(1)).await;
    studio.progress_showing(&run, 3, Some(png())).await;
    let answer = shown(&api, id, &png()).await;
    assert_eq!(answer.header("content-type"), "image/png");
    assert_ne!(answer.header("etag"), etag);
    let view = job(&api, id, is_at(3)).await;
    assert_eq!(view.progress.unwrap().preview, Some(2));
    let addressed = simply(&api, "GET", &format!("{}?n=2", at(id))).await;
    assert_eq!(addressed.body, png().bytes());

    studio.succeed(&run, "keyframe").await;
    job(&api, id, |job| job.status.is_final()).await;
    let detail = why_none(&api, id).await;
    assert!(detail.contains("has ended"), "{detail}");
}

#[tokio::test]
async fn another_attempt_begins_without_the_picture_of_the_last_and_the_last_shows_none_any_more() {
    let mut studio = Studio::open().await;
    let film = studio.submit().await;
    studio.make(film, &[JobKind::Story]).await;
    let api = studio.api();
    let first = studio.begin(JobKind::Keyframe).await;
    let id = first.run.job;
    studio.progress_showing(&first, 1, Some(jpeg(1))).await;
    shown(&api, id, &jpeg(1)).await;
    studio.fail(&first).await;
    job(&api, id, |job| job.status == JobStatus::Failed).await;
    why_none(&api, id).await;

    let answer = simply(&api, "POST", &format!("/v1/jobs/{id}/retry")).await;
    assert_eq!(answer.status.as_u16(), 200);
    let detail = why_none(&api, id).await;
    assert!(detail.contains("does not run now"), "{detail}");
    let second = studio.begin(JobKind::Keyframe).await;
    assert_eq!(second.run.job, id);
    why_none(&api, id).await;
    // Of a run that has lost its place nothing is shown, whenever it comes.
    studio.progress_showing(&first, 2, Some(jpeg(2))).await;
    studio.progress(&second, 5).await;
    job(&api, id, |job| {
        job.progress.as_ref().is_some_and(|it| it.step == 5)
    })
    .await;
    why_none(&api, id).await;
    studio.progress_showing(&second, 6, Some(jpeg(3))).await;
    shown(&api, id, &jpeg(3)).await;
}

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(std::fs::read(&path).unwrap()),
        }
    }
}

#[tokio::test]
async fn a_picture_is_on_no_disk_and_in_no_event() {
    let mut studio = Studio::open().await;
    let film = studio.submit().await;
    studio.make(film, &[JobKind::Story]).await;
    let api = studio.api();
    let run = studio.begin(JobKind::Keyframe).await;
    studio.progress_showing(&run, 1, Some(jpeg(1))).await;
    shown(&api, run.run.job, &jpeg(1)).await;
    let written = serde_json::to_value(jpeg(1)).unwrap();
    let data = written["data"].as_str().unwrap();
    // From the middle, where base64 repeats itself as the text does.
    let (raw, written) = (FACE, &data[120..144]);
    assert_eq!(written, &data[144..168]);
    let holds = |bytes: &[u8], text: &str| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    let look = |studio: &Studio| {
        let mut found = Vec::new();
        files(studio.folder(), &mut found);
        assert!(
            found
                .iter()
                .any(|file| holds(file, &run.run.run.to_string()))
        );
        for file in &found {
            assert!(!holds(file, raw) && !holds(file, written));
        }
    };
    look(&studio);
    let view = simply(&api, "GET", &format!("/v1/films/{film}")).await;
    assert!(!holds(&view.body, raw) && !holds(&view.body, written));
    assert_eq!(view.json::<FilmView>().summary.id, film);
    studio.succeed(&run, "keyframe").await;
    studio
        .make(film, &[JobKind::Scene, JobKind::Assembly])
        .await;
    look(&studio);
    let events = simply(&api, "GET", &format!("/v1/films/{film}/events")).await;
    assert!(holds(&events.body, "film_completed"));
    assert!(!holds(&events.body, raw) && !holds(&events.body, written));
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told() {
    let studio = Studio::open().await;
    let api = studio.api();
    let unknown = at(JobId::generate());
    assert_eq!(simply(&api, "GET", &unknown).await.sort(), "not-found");
    for wrong in ["?n=x", "?number=1"] {
        let answer = simply(&api, "GET", &format!("{unknown}{wrong}")).await;
        assert_eq!(answer.sort(), "bad-request", "{wrong}");
    }
}
