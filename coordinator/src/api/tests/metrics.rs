//! What Prometheus is told.

use shared::job::JobKind;

use super::studio::{Studio, until};
use super::support::simply;

#[tokio::test]
async fn a_film_shows_in_the_metrics_from_its_submission_on() {
    let mut studio = Studio::open().await;
    studio.submit().await;
    studio.begin(JobKind::Story).await;
    let page = until("the film to be counted", async || {
        let answer = simply(&studio.api(), "GET", "/metrics").await;
        assert_eq!(answer.status.as_u16(), 200);
        assert!(
            answer
                .header("content-type")
                .starts_with("text/plain; version=0.0.4")
        );
        let page = String::from_utf8(answer.body.to_vec()).unwrap();
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
