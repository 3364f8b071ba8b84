//! Files by their hash, sent and fetched by workers.

use axum::body::Body;
use axum::http::Request;
use shared::artifact::Sha256;

use super::studio::Studio;
use super::support::{ask, request, simply};

fn path(content: &[u8]) -> String {
    format!("/v1/artifacts/{}", Sha256::of(content))
}

fn put(path: &str, length: usize, content: impl Into<Body>) -> Request<Body> {
    let length = length.to_string();
    request("PUT", path, &[("content-length", &length)], content)
}

#[tokio::test]
async fn a_file_is_stored_under_its_hash_as_often_as_it_is_sent() {
    let studio = Studio::open().await;
    let api = studio.api();
    let content: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number / 7) as u8)
        .collect();
    let path = path(&content);
    assert_eq!(simply(&api, "HEAD", &path).await.status.as_u16(), 404);
    assert_eq!(simply(&api, "GET", &path).await.sort(), "not-found");
    for _ in 0..2 {
        let answer = ask(&api, put(&path, content.len(), content.clone())).await;
        assert_eq!(answer.status.as_u16(), 204, "{answer:?}");
        assert_eq!(studio.files().len(), 1);
    }
    let head = simply(&api, "HEAD", &path).await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-length")),
        (200, "3000000")
    );
    assert!(head.body.is_empty());
    let whole = simply(&api, "GET", &path).await;
    assert!(whole.body == content);
    assert_eq!(whole.header("content-type"), "application/octet-stream");
    let range = [("range", "bytes=1000000-1999999")];
    let part = ask(&api, request("GET", &path, &range, "")).await;
    assert_eq!(part.status.as_u16(), 206);
    assert!(part.body == content[1_000_000..2_000_000]);
}

#[tokio::test]
async fn what_is_not_the_file_leaves_nothing_behind() {
    let studio = Studio::open().await;
    let api = studio.api();
    let path = path(b"right");
    let large = vec![7; 3 << 20];
    for content in [&b"wrong"[..], b"", b"right and more", &large] {
        let answer = ask(&api, put(&path, content.len(), content.to_vec())).await;
        assert_eq!(
            (answer.status.as_u16(), answer.sort().as_str()),
            (422, "damaged")
        );
        assert_eq!(studio.files(), Vec::<String>::new());
    }
    let pieces = [
        Ok(large.clone()),
        Err(std::io::Error::other("the cable is out")),
    ];
    let broken = Body::from_stream(futures::stream::iter(pieces));
    let answer = ask(&api, put(&path, 6 << 20, broken)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.sort().as_str()),
        (408, "too-slow")
    );
    assert_eq!(studio.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_file_is_replaced_by_a_sound_one() {
    let studio = Studio::open().await;
    let api = studio.api();
    let path = path(b"right");
    let stored = ask(&api, put(&path, 5, "right")).await;
    assert_eq!(stored.status.as_u16(), 204);
    let answer = ask(&api, put(&path, 5, "wrong")).await;
    assert_eq!(answer.sort(), "damaged");
    assert_eq!(
        simply(&api, "GET", &path).await.body,
        "right",
        "it is never changed"
    );
}

#[tokio::test]
async fn a_file_says_how_long_it_is_and_is_not_too_large() {
    let studio = Studio::open().await;
    let api = studio.api();
    let path = path(b"right");
    let answer = ask(&api, request("PUT", &path, &[], "right")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.sort().as_str()),
        (411, "length-required")
    );
    let answer = ask(&api, put(&path, (16 << 30) + 1, "right")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.sort().as_str()),
        (413, "too-large")
    );
    assert!(answer.problem().detail.contains("upload_max_mib"));
    for (path, field) in [
        ("/v1/artifacts/7", "sha256"),
        ("/v1/artifacts/..%2f..", "sha256"),
    ] {
        let answer = ask(&api, put(path, 1, "x")).await;
        assert_eq!(answer.problem().mistakes[0].field, field, "{path}");
    }
}
