//! Server-sent events.

use axum::Router;
use axum::body::Body;
use futures::StreamExt;
use shared::api::{FilmEvent, Happening};
use shared::ids::FilmId;
use shared::job::JobKind;
use shared::preview::Preview;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use super::studio::{Studio, patiently};
use super::support::{ask, request};

/// One event as it came over the wire.
#[derive(Debug, Clone, PartialEq)]
struct Received {
    name: String,
    id: Option<u64>,
    event: FilmEvent,
}

fn parse(text: &str) -> Vec<Received> {
    let blocks = text
        .split("\n\n")
        .filter(|block| !block.is_empty() && !block.starts_with(':'));
    let received = blocks.map(|block| {
        let field = |name: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        Received {
            name: field("event").unwrap().to_owned(),
            id: field("id").map(|number| number.parse().unwrap()),
            event: serde_json::from_str(field("data").unwrap()).unwrap(),
        }
    });
    received.collect()
}

/// All events of a film that has ended.
async fn all(api: &Router, film: FilmId, query: &str, headers: &[(&str, &str)]) -> Vec<Received> {
    let answer = ask(
        api,
        request(
            "GET",
            &format!("/v1/films/{film}/events{query}"),
            headers,
            "",
        ),
    )
    .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "text/event-stream")
    );
    parse(std::str::from_utf8(&answer.body).unwrap())
}

#[tokio::test]
async fn a_film_tells_everything_that_happened_to_it_and_stops() {
    let mut studio = Studio::open().await;
    let id = studio.submit().await;
    studio.make(id, &JobKind::ALL).await;
    let events = all(&studio.api(), id, "", &[]).await;
    let names: Vec<_> = events
        .iter()
        .map(|received| received.name.as_str())
        .collect();
    assert_eq!(
        (names.first(), names.last()),
        (Some(&"film_accepted"), Some(&"film_completed"))
    );
    assert!(
        names.contains(&"story_written") && names.contains(&"job_changed"),
        "{names:?}"
    );
    for received in &events {
        assert_eq!(
            (received.event.what.name(), received.event.film),
            (received.name.as_str(), id)
        );
    }
    let numbers: Vec<_> = events.iter().map(|received| received.id.unwrap()).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
}

#[tokio::test]
async fn a_client_goes_on_after_the_last_event_that_it_saw() {
    let mut studio = Studio::open().await;
    let id = studio.submit().await;
    studio.make(id, &JobKind::ALL).await;
    let events = all(&studio.api(), id, "", &[]).await;
    let seen = events[2].id.unwrap().to_string();
    assert_eq!(
        all(&studio.api(), id, "", &[("last-event-id", &seen)]).await,
        events[3..]
    );
    assert_eq!(
        all(&studio.api(), id, &format!("?after={seen}"), &[]).await,
        events[3..]
    );
    let both = all(&studio.api(), id, "?after=0", &[("last-event-id", &seen)]).await;
    assert_eq!(
        both,
        events[3..],
        "the header is newer than the address that a browser repeats"
    );

    let last = events.last().unwrap().id.unwrap();
    let path = format!("/v1/films/{id}/events?after={last}");
    let answer = ask(&studio.api(), request("GET", &path, &[], "")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.len()),
        (204, 0),
        "a browser stops asking only on this"
    );
}

/// Reads from a stream of events until one has that name.
async fn read_until(body: &mut axum::body::BodyDataStream, name: &str) -> Received {
    let mut text = String::new();
    patiently(name, async {
        loop {
            let bytes = body.next().await.expect("the stream goes on").unwrap();
            text.push_str(std::str::from_utf8(&bytes).unwrap());
            if let Some(found) = parse(&text)
                .into_iter()
                .find(|received| received.name == name)
            {
                return found;
            }
        }
    })
    .await
}

#[tokio::test]
async fn progress_is_told_as_it_happens_and_has_no_number() {
    let mut studio = Studio::open().await;
    let id = studio.submit().await;
    let run = studio.begin(JobKind::Story).await;
    let watching = studio.api().oneshot(request(
        "GET",
        &format!("/v1/films/{id}/events"),
        &[],
        Body::empty(),
    ));
    let mut body = watching.await.unwrap().into_body().into_data_stream();
    read_until(&mut body, "job_changed").await;
    studio.progress(&run, 3).await;
    let received = read_until(&mut body, "job_progressed").await;
    assert_eq!(received.id, None);
    let picture = Preview::new(b"\xff\xd8\xff\xe0"[..].into()).unwrap();
    studio.progress_showing(&run, 4, Some(picture)).await;
    let Happening::JobProgressed { progress, .. } =
        read_until(&mut body, "job_progressed").await.event.what
    else {
        panic!("it has that name")
    };
    assert_eq!((progress.step, progress.preview), (4, Some(1)));
    studio.succeed(&run, "").await;
    read_until(&mut body, "story_written").await;
}

#[tokio::test]
async fn a_shutdown_ends_the_streams_in_order() {
    let studio = Studio::open().await;
    let id = studio.submit().await;
    let mut connection = TcpStream::connect(studio.running.address).await.unwrap();
    let request = format!("GET /v1/films/{id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    patiently("the first event", async {
        while !String::from_utf8_lossy(&text).contains("film_accepted") {
            assert_ne!(
                connection.read_buf(&mut text).await.unwrap(),
                0,
                "the server hung up"
            );
        }
    })
    .await;

    let quickly = tokio::time::timeout(
        crate::api::serving::GRACE.mul_f64(0.8),
        studio.running.shutdown(),
    );
    quickly
        .await
        .expect("a stream that is open holds up the shutdown");
    connection.read_to_end(&mut text).await.unwrap();
    assert!(
        text.ends_with(b"\r\n0\r\n\r\n"),
        "{}",
        String::from_utf8_lossy(&text)
    );
}
