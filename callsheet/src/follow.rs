//! Follows a film to its end, over lost connections and restarts of the coordinator.

use std::time::Duration;

use futures::StreamExt;
use shared::api::{FilmView, JobView};
use shared::ids::FilmId;
use shared::job::JobStatus;

use crate::client::{Client, ClientError};
use crate::report::Report;
use crate::term;

/// First pause before a lost connection is made again; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest pause.
const PAUSE_CAP: Duration = Duration::from_secs(5);
/// After so long it is looked whether workers do all that the film needs.
const WORKERS_SPEAK: Duration = Duration::from_secs(2);

/// Tells everything that happens to a film until it has ended; answers how it stands then.
///
/// # Errors
/// What the coordinator refused. A coordinator that cannot be reached is waited for, as the film goes on when it is back.
pub(crate) async fn follow(
    client: &Client,
    film: FilmId,
    report: &mut dyn Report,
) -> Result<FilmView, ClientError> {
    let mut last_id: Option<String> = None;
    let mut pause = PAUSE;
    let mut is_lost = false;
    loop {
        let lost = match listen(client, film, &mut last_id, report).await {
            Ok(heard) => {
                if heard {
                    (pause, is_lost) = (PAUSE, false);
                }
                // The stream ends with the film; it also ends with the coordinator.
                match client.film(film).await {
                    Ok(view) if view.summary.status.is_final() => {
                        for fallback in &view.fallbacks {
                            report.note(&format!("fallback: {}", term::plain(fallback)));
                        }
                        return Ok(view);
                    }
                    Ok(_) => None,
                    Err(error) => Some(error),
                }
            }
            Err(error) => Some(error),
        };
        match lost {
            Some(error) if !error.may_pass() => return Err(error),
            Some(error) if !is_lost => {
                is_lost = true;
                report.note(&format!(
                    "lost the coordinator, trying again: {}",
                    shared::failure::chain(&error)
                ));
            }
            _ => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_CAP);
    }
}

/// Tells events until the stream ends; whether there was any.
async fn listen(
    client: &Client,
    film: FilmId,
    last_id: &mut Option<String>,
    report: &mut dyn Report,
) -> Result<bool, ClientError> {
    let mut events = std::pin::pin!(client.events(film, last_id.as_deref()).await?);
    // Workers that have just begun are given the time to say so.
    let mut look = std::pin::pin!(tokio::time::sleep(WORKERS_SPEAK));
    let (mut looked, mut heard) = (false, false);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = &mut look, if !looked => {
                looked = true;
                for unserved in client.film(film).await?.unserved {
                    report.note(&term::plain(&unserved));
                }
                continue;
            }
        };
        let Some(event) = event else {
            return Ok(heard);
        };
        let event = event?;
        heard = true;
        report.event(&event.event);
        if event.id.is_some() {
            *last_id = event.id;
        }
    }
}

/// Why a film failed, one line for each failed job.
pub(crate) fn reasons(film: &FilmView) -> Vec<String> {
    let failed = |job: &&JobView| job.status == JobStatus::Failed;
    film.jobs
        .iter()
        .filter(failed)
        .map(|job| {
            let why = job
                .failure
                .as_ref()
                .map_or("no reason given".to_owned(), ToString::to_string);
            format!("{}: {}", crate::report::job_name(job), term::plain(&why))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use shared::api::{FilmEvent, FilmStatus, FilmSummary};
    use shared::film::FilmRequest;
    use shared::time::Timestamp;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl Report for Heard {
        fn event(&mut self, event: &FilmEvent) {
            self.0.lock().unwrap().push(event.what.name().to_owned());
        }

        fn note(&mut self, text: &str) {
            self.0
                .lock()
                .unwrap()
                .push(format!("note: {}", text.split(':').next().unwrap()));
        }

        fn close(&mut self) {}
    }

    const ID: FilmId = FilmId::from_u128(1);

    fn event(id: u32, tag: &str) -> String {
        format!(
            "id: {id}\ndata: {{\"film\":\"{ID}\",\"at\":\"2026-01-02T03:04:05Z\",\"event\":\"{tag}\"}}\n\n"
        )
    }

    fn completed() -> String {
        let at = Timestamp::from_millis(0);
        let view = FilmView {
            summary: FilmSummary {
                id: ID,
                title: None,
                premise: None,
                status: FilmStatus::Completed,
                created_at: at,
                finished_at: Some(at),
                jobs: 0,
                jobs_completed: 0,
                jobs_failed: 0,
            },
            request: FilmRequest::default(),
            story: None,
            jobs: Vec::new(),
            scenes: Vec::new(),
            film: None,
            seconds: None,
            fallbacks: vec!["scene 3: a smaller picture".to_owned()],
            unserved: Vec::new(),
        };
        serde_json::to_string(&view).unwrap()
    }

    fn answer(status: &str, media_type: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }

    /// A server that gives these answers, one a connection, and keeps the requests.
    async fn serve(answers: Vec<String>) -> (Client, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client =
            Client::new(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            for answer in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(connection.read_u8().await.unwrap());
                }
                kept.lock()
                    .unwrap()
                    .push(String::from_utf8(request).unwrap().to_lowercase());
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (client, requests)
    }

    #[tokio::test]
    async fn a_stream_that_broke_off_is_taken_up_after_its_last_event() {
        let stream = |events: &str| answer("200 OK", "text/event-stream", events);
        let (client, requests) = serve(vec![
            // One byte is missing: the connection breaks in mid-answer.
            stream(&event(4, "film_accepted")).replace("Content-Length: ", "Content-Length: 1"),
            stream(&event(5, "film_completed")),
            answer("200 OK", "application/json", &completed()),
        ])
        .await;
        let mut heard = Heard::default();
        let film = follow(&client, ID, &mut heard).await.unwrap();
        assert!(film.summary.status.is_final());
        assert_eq!(
            *heard.0.lock().unwrap(),
            [
                "film_accepted",
                "note: lost the coordinator, trying again",
                "film_completed",
                "note: fallback"
            ]
        );
        let requests = requests.lock().unwrap();
        assert!(!requests[0].contains("last-event-id"), "{}", requests[0]);
        assert!(
            requests[1].contains("last-event-id: 4\r\n"),
            "{}",
            requests[1]
        );
    }

    #[tokio::test]
    async fn a_film_that_is_not_there_is_not_waited_for() {
        let problem = r#"{"type":"about:blank","title":"Not found","status":404,"detail":"there is no film"}"#;
        let (client, _) = serve(vec![answer(
            "404 Not Found",
            "application/problem+json",
            problem,
        )])
        .await;
        let error = follow(&client, ID, &mut Heard::default())
            .await
            .unwrap_err();
        assert!(error.is_not_found(), "{error}");
        assert_eq!(
            error.to_string(),
            "the coordinator refused: there is no film"
        );
    }
}
