//! The files of a film, as soon as they are there.

use shared::api::Manifest;
use shared::job::JobKind;

use super::studio::Studio;
use super::support::{ask, request, simply};

#[tokio::test]
async fn each_file_can_be_had_as_soon_as_it_is_made() {
    let mut studio = Studio::open().await;
    let id = studio.submit().await;
    let api = studio.api();
    let files = [
        (
            JobKind::Keyframe,
            format!("/v1/films/{id}/scenes/1/keyframe.png"),
            "image/png",
        ),
        (
            JobKind::Scene,
            format!("/v1/films/{id}/scenes/1/clip.mp4"),
            "video/mp4",
        ),
        (
            JobKind::Assembly,
            format!("/v1/films/{id}/film.mp4"),
            "video/mp4",
        ),
    ];
    for (_, path, _) in &files {
        assert_eq!(
            simply(&api, "GET", path).await.sort(),
            "not-there-yet",
            "{path}"
        );
    }
    studio.make(id, &[JobKind::Story]).await;
    for (kind, path, media_type) in &files {
        let before = simply(&api, "GET", path).await;
        assert_eq!(
            (before.status.as_u16(), before.sort().as_str()),
            (404, "not-there-yet"),
            "{path}"
        );
        studio.make(id, &[*kind]).await;
        let after = simply(&api, "GET", path).await;
        assert_eq!(
            (after.status.as_u16(), after.header("content-type")),
            (200, *media_type),
            "{path}"
        );
        assert_eq!(after.body, kind.name(), "{path}");

        let head = simply(&api, "HEAD", path).await;
        assert_eq!(head.header("content-length"), kind.name().len().to_string());
        assert_eq!(
            (head.header("etag"), head.body.len()),
            (after.header("etag"), 0)
        );
        let part = ask(&api, request("GET", path, &[("range", "bytes=1-2")], "")).await;
        assert_eq!(
            (part.status.as_u16(), part.body.as_ref()),
            (206, &kind.name().as_bytes()[1..3])
        );
        let beyond = ask(&api, request("GET", path, &[("range", "bytes=99-")], "")).await;
        assert_eq!(
            (beyond.status.as_u16(), beyond.sort().as_str()),
            (416, "range-not-satisfiable")
        );
        let known = ask(
            &api,
            request("GET", path, &[("if-none-match", after.header("etag"))], ""),
        )
        .await;
        assert_eq!(known.status.as_u16(), 304);
    }
}

#[tokio::test]
async fn a_scene_that_the_film_does_not_have_is_not_merely_late() {
    let mut studio = Studio::open().await;
    let id = studio.submit().await;
    studio.make(id, &[JobKind::Story]).await;
    for number in ["0", "2", "4294967295"] {
        let answer = simply(
            &studio.api(),
            "GET",
            &format!("/v1/films/{id}/scenes/{number}/clip.mp4"),
        )
        .await;
        assert_eq!(answer.sort(), "not-found", "{number}");
    }
}

#[tokio::test]
async fn the_manifest_is_there_when_the_film_is() {
    let mut studio = Studio::open().await;
    let id = studio.submit().await;
    let path = format!("/v1/films/{id}/film.json");
    assert_eq!(
        simply(&studio.api(), "GET", &path).await.sort(),
        "not-there-yet"
    );
    studio.make(id, &JobKind::ALL).await;
    let answer = simply(&studio.api(), "GET", &path).await;
    assert_eq!(answer.header("content-type"), "application/json");
    let manifest: Manifest = answer.json();
    assert_eq!(
        (manifest.film, manifest.seed, manifest.scenes.len()),
        (id, 7, 1)
    );
    assert!(answer.body.ends_with(b"}\n"));
}
