//! The two probes: alive (do not restart it) and ready (send it work).

use axum::extract::State;

use super::error::{ApiError, Sort};
use crate::coordinator::Coordinator;

/// Answers as long as the process does.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "It is alive", body = String)))]
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Answers whether work can be done now.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "It can do its work", body = String),
        (status = 503, description = "It cannot just now; `detail` says why"),
    )
)]
pub(super) async fn ready(
    State(coordinator): State<Coordinator>,
) -> Result<&'static str, ApiError> {
    match coordinator.ready().await {
        Ok(()) => Ok("ready\n"),
        Err(reason) => Err(ApiError::new(Sort::NotReady, reason)),
    }
}
