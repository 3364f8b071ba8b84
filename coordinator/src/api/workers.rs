//! Workers: to list, to pause ("I want my card back") and to resume.

use axum::Json;
use axum::extract::State;
use shared::api::{WorkerList, WorkerView};

use super::error::ApiError;
use super::fields::PathFields;
use crate::coordinator::Coordinator;

/// The workers that were heard of, by name.
#[utoipa::path(
    get, path = "/v1/workers", tag = "workers",
    responses(
        (status = 200, description = "The workers", body = ref("#/components/schemas/WorkerList"), content_type = "application/json"),
    )
)]
pub(super) async fn list_workers(
    State(coordinator): State<Coordinator>,
) -> Result<Json<WorkerList>, ApiError> {
    Ok(Json(coordinator.workers().await?))
}

/// Asks a worker to take no new work. What it runs goes on.
#[utoipa::path(
    post, path = "/v1/workers/{id}/pause", tag = "workers",
    params(("id" = String, Path, description = "The worker's name")),
    responses(
        (status = 200, description = "The worker as it is now", body = ref("#/components/schemas/WorkerView"), content_type = "application/json"),
        (status = 404, description = "No worker of that name was heard of"),
    )
)]
pub(super) async fn pause_worker(
    State(coordinator): State<Coordinator>,
    path: PathFields,
) -> Result<Json<WorkerView>, ApiError> {
    Ok(Json(
        coordinator.pause_worker(&path.get("id")?, true).await?,
    ))
}

/// Asks a worker to take work again.
#[utoipa::path(
    post, path = "/v1/workers/{id}/resume", tag = "workers",
    params(("id" = String, Path, description = "The worker's name")),
    responses(
        (status = 200, description = "The worker as it is now", body = ref("#/components/schemas/WorkerView"), content_type = "application/json"),
        (status = 404, description = "No worker of that name was heard of"),
    )
)]
pub(super) async fn resume_worker(
    State(coordinator): State<Coordinator>,
    path: PathFields,
) -> Result<Json<WorkerView>, ApiError> {
    Ok(Json(
        coordinator.pause_worker(&path.get("id")?, false).await?,
    ))
}
