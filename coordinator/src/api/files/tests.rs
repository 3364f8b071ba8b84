use axum::body::{Bytes, to_bytes};
use axum::http::HeaderName;
use shared::artifact::MediaType;
use shared::byte_size::ByteSize;
use tempfile::TempDir;

use super::*;

/// A store with one file of the bytes 0 to 99.
async fn stored() -> (TempDir, ArtifactStore, Artifact) {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open_folder(folder.path()).unwrap();
    let file = store
        .put_bytes(Bytes::from_iter(0..100), MediaType::Mp4)
        .await
        .unwrap();
    (folder, store, file)
}

fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
    given
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

async fn body(response: Response) -> Vec<u8> {
    to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap()
        .to_vec()
}

#[tokio::test]
async fn a_whole_file_says_its_length_its_hash_and_that_it_has_parts() {
    let (_folder, store, file) = stored().await;
    let response = send(&store, (&file).into(), &Method::GET, &headers(&[]))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-type"), "video/mp4");
    assert_eq!(header(&response, "content-length"), "100");
    assert_eq!(header(&response, "accept-ranges"), "bytes");
    assert_eq!(header(&response, "etag"), format!("\"{}\"", file.sha256));
    assert_eq!(header(&response, "cache-control"), FOREVER);
    assert_eq!(header(&response, "content-range"), "");
    assert_eq!(body(response).await, Vec::from_iter(0..100));
}

#[tokio::test]
async fn a_part_is_those_bytes_and_no_others() {
    let (_folder, store, file) = stored().await;
    for (range, content_range, bytes) in [
        ("bytes=10-19", "bytes 10-19/100", 10..20),
        ("bytes=98-", "bytes 98-99/100", 98..100),
        ("bytes=-3", "bytes 97-99/100", 97..100),
        ("bytes=0-0", "bytes 0-0/100", 0..1),
        ("bytes=0-999", "bytes 0-99/100", 0..100),
    ] {
        let response = send(
            &store,
            (&file).into(),
            &Method::GET,
            &headers(&[("range", range)]),
        )
        .await
        .unwrap();
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(header(&response, "content-range"), content_range);
        assert_eq!(header(&response, "content-length"), bytes.len().to_string());
        assert_eq!(body(response).await, Vec::from_iter(bytes), "{range}");
    }
}

#[tokio::test]
async fn a_part_that_is_not_there_is_refused_with_the_size() {
    let (_folder, store, file) = stored().await;
    let refused = send(
        &store,
        (&file).into(),
        &Method::GET,
        &headers(&[("range", "bytes=100-")]),
    )
    .await
    .unwrap_err();
    let response = refused.into_response();
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(header(&response, "content-range"), "bytes */100");
}

#[tokio::test]
async fn head_says_the_same_as_get_and_sends_nothing() {
    let (_folder, store, file) = stored().await;
    let response = send(
        &store,
        (&file).into(),
        &Method::HEAD,
        &headers(&[("range", "bytes=1-2")]),
    )
    .await
    .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-length"), "100");
    assert_eq!(header(&response, "content-range"), "");
    assert!(body(response).await.is_empty());
}

#[tokio::test]
async fn a_copy_that_is_the_same_is_not_sent_again() {
    let (_folder, store, file) = stored().await;
    let etag = format!("\"{}\"", file.sha256);
    for known in [etag.clone(), format!("\"other\", W/{etag}"), "*".to_owned()] {
        let response = send(
            &store,
            (&file).into(),
            &Method::GET,
            &headers(&[("if-none-match", &known)]),
        )
        .await
        .unwrap();
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(header(&response, "etag"), etag);
        assert!(body(response).await.is_empty());
    }
    let other = send(
        &store,
        (&file).into(),
        &Method::GET,
        &headers(&[("if-none-match", "\"other\"")]),
    )
    .await
    .unwrap();
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_part_of_another_file_is_not_joined_to_this_one() {
    let (_folder, store, file) = stored().await;
    let etag = format!("\"{}\"", file.sha256);
    for (known, status) in [
        (etag.as_str(), StatusCode::PARTIAL_CONTENT),
        ("\"other\"", StatusCode::OK),
    ] {
        let asked = headers(&[("range", "bytes=50-"), ("if-range", known)]);
        let response = send(&store, (&file).into(), &Method::GET, &asked)
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{known}");
    }
}

#[tokio::test]
async fn a_file_that_the_store_has_lost_is_our_fault_and_says_nothing_of_the_place() {
    let (_folder, store, file) = stored().await;
    let lost = Artifact {
        sha256: "0".repeat(64).parse().unwrap(),
        ..file
    };
    let refused = send(&store, (&lost).into(), &Method::GET, &headers(&[]))
        .await
        .unwrap_err();
    let response = refused.into_response();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(header(&response, "etag"), "");
    let problem = String::from_utf8(body(response).await).unwrap();
    assert!(
        problem.contains("file-lost") && !problem.contains(&lost.sha256.to_string()),
        "{problem}"
    );
}

#[tokio::test]
async fn a_file_that_is_shorter_than_it_was_breaks_off_and_does_not_end_well() {
    let (_folder, store, file) = stored().await;
    let grown = Artifact {
        size: ByteSize::bytes(200),
        ..file
    };
    let response = send(&store, (&grown).into(), &Method::GET, &headers(&[]))
        .await
        .unwrap();
    assert_eq!(header(&response, "content-length"), "200");
    // The server cuts the connection when the body ends before its announced length.
    let sent = to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap_or_default();
    assert_eq!(sent.len(), 100);
}
