//! Jobs: to show and to retry.

use axum::Json;
use axum::extract::State;
use shared::api::{JobExplanation, JobView};

use super::error::ApiError;
use super::fields::PathFields;
use crate::coordinator::Coordinator;

/// A job.
#[utoipa::path(
    get, path = "/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, format = "uuid", description = "The job")),
    responses(
        (status = 200, description = "The job", body = ref("#/components/schemas/JobView"), content_type = "application/json"),
        (status = 404, description = "There is no such job"),
    )
)]
pub(super) async fn show_job(
    State(coordinator): State<Coordinator>,
    path: PathFields,
) -> Result<Json<JobView>, ApiError> {
    Ok(Json(coordinator.job(path.get("id")?).await?))
}

/// Why a job is not starting: in one line, and what each worker says that could do it, with the numbers.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/explain", tag = "jobs",
    params(("id" = String, Path, format = "uuid", description = "The job")),
    responses(
        (status = 200, description = "The job and the workers", body = ref("#/components/schemas/JobExplanation"), content_type = "application/json"),
        (status = 404, description = "There is no such job"),
    )
)]
pub(super) async fn explain_job(
    State(coordinator): State<Coordinator>,
    path: PathFields,
) -> Result<Json<JobExplanation>, ApiError> {
    Ok(Json(coordinator.explain_job(path.get("id")?).await?))
}

/// Gives a failed job new tries.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/retry", tag = "jobs",
    params(("id" = String, Path, format = "uuid", description = "The job")),
    responses(
        (status = 200, description = "The job as it is now", body = ref("#/components/schemas/JobView"), content_type = "application/json"),
        (status = 404, description = "There is no such job"),
        (status = 409, description = "It did not fail"),
    )
)]
pub(super) async fn retry_job(
    State(coordinator): State<Coordinator>,
    path: PathFields,
) -> Result<Json<JobView>, ApiError> {
    Ok(Json(coordinator.retry_job(path.get("id")?).await?))
}
