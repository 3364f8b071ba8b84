//! What Prometheus asks for.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use shared::metrics::CONTENT_TYPE;

use super::error::ApiError;
use crate::coordinator::Coordinator;

/// Answers with the metrics of this process (docs/metrics.md).
#[utoipa::path(
    get, path = "/metrics", tag = "health", operation_id = "show_metrics",
    responses((status = 200, description = "What Prometheus reads", body = String, content_type = "text/plain"))
)]
pub(super) async fn show(
    State(coordinator): State<Coordinator>,
) -> Result<impl IntoResponse, ApiError> {
    let page = coordinator.metrics().await?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], page.text()))
}
