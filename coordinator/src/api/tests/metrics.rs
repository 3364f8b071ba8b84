//! What Prometheus is told.

use std::time::Instant;

use shared::job::JobKind;

use super::studio::{Studio, until};
use super::support::simply;

/// All that is told.
async fn page(studio: &Studio) -> String {
    let answer = simply(&studio.api(), "GET", "/metrics").await;
    assert_eq!(answer.status.as_u16(), 200);
    let sort = answer.header("content-type");
    assert!(sort.starts_with("text/plain; version=0.0.4"), "{sort}");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// The value of that metric, with its labels.
fn value(page: &str, metric: &str) -> Option<f64> {
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    value?.parse().ok()
}

#[tokio::test]
async fn a_film_shows_in_the_metrics_from_its_submission_on() {
    let mut studio = Studio::open().await;
    studio.submit().await;
    studio.begin(JobKind::Story).await;
    let page = until("the film to be counted", async || {
        let page = page(&studio).await;
        page.contains("callsheet_outbox_attempts 0").then_some(page)
    })
    .await;
    for line in [
        "callsheet_films_accepted_total 1",
        r#"callsheet_films{state="running"} 1"#,
        r#"callsheet_jobs_running{kind="story",profile="outline"} 1"#,
        "callsheet_broker_connected 1",
        "callsheet_store_writable 1",
    ] {
        assert!(page.lines().any(|it| it == line), "{line} in\n{page}");
    }
}

#[tokio::test]
async fn what_waits_shows_with_its_age_in_its_queue_and_at_the_broker_that_is_away() {
    const QUEUED: &str = r#"callsheet_queue_age_seconds{kind="story",profile="outline"}"#;
    const UNSENT: &str = "callsheet_outbox_age_seconds";
    let studio = Studio::open().await;
    let empty = page(&studio).await;
    assert_eq!(value(&empty, UNSENT), Some(0.0));
    studio.close_broker().await;
    let submitted = Instant::now();
    studio.submit().await;
    let ages = async || {
        let page = page(&studio).await;
        let ages = [value(&page, QUEUED)?, value(&page, UNSENT)?];
        let is_one = value(&page, "callsheet_outbox_attempts") == Some(1.0);
        (is_one && ages.iter().all(|age| *age > 0.0)).then_some(ages)
    };
    let first = until("ages of the story", ages).await;
    let second = until("greater ages", async || {
        let second = ages().await?;
        (second[0] > first[0] && second[1] > first[1]).then_some(second)
    })
    .await;
    // Times are kept to the millisecond.
    let longest = submitted.elapsed().as_secs_f64() + 0.001;
    assert!(second.iter().all(|age| *age <= longest), "{second:?}");
}
