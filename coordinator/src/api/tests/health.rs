//! The two probes.

use super::studio::{Studio, until};
use super::support::simply;

#[tokio::test]
async fn it_is_alive_and_becomes_ready() {
    let studio = Studio::open().await;
    let alive = simply(&studio.api(), "GET", "/healthz").await;
    assert_eq!(
        (alive.status.as_u16(), alive.body.as_ref()),
        (200, &b"alive\n"[..])
    );
    let answer = until("it to be ready", async || {
        let answer = simply(&studio.api(), "GET", "/readyz").await;
        if answer.status.is_success() {
            return Some(answer);
        }
        assert_eq!(
            (answer.status.as_u16(), answer.sort().as_str()),
            (503, "not-ready")
        );
        None
    })
    .await;
    assert_eq!(answer.body, "ready\n");
}

#[tokio::test]
async fn without_a_broker_it_is_alive_but_not_ready_and_says_why() {
    let studio = Studio::open().await;
    studio.close_broker().await;
    assert_eq!(
        simply(&studio.api(), "GET", "/healthz")
            .await
            .status
            .as_u16(),
        200
    );
    let answer = simply(&studio.api(), "GET", "/readyz").await;
    assert_eq!(
        (answer.status.as_u16(), answer.sort().as_str()),
        (503, "not-ready")
    );
    assert_eq!(answer.header("retry-after"), "5");
    assert!(
        answer.problem().detail.contains("broker"),
        "{:?}",
        answer.problem()
    );
}
