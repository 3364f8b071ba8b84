//! How a job looks while it runs. Nothing of it is kept: a picture is there from one word of its worker to the next.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use shared::api::JobView;
use shared::artifact::Sha256;
use shared::job::JobStatus;

use super::error::{ApiError, Sort};
use super::fields::{self, PathFields, QueryFields};
use super::files::is_listed;
use crate::coordinator::Coordinator;

/// The newest picture of what a job that runs is making.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/preview", tag = "jobs",
    params(
        ("id" = String, Path, format = "uuid", description = "The job"),
        ("n" = Option<u64>, Query, description = "The picture's number, as `progress.preview` tells it. It chooses nothing: it makes \
            an address of its own for each picture, so that a page shows the new one"),
    ),
    responses(
        (status = 200, description = "The picture, a JPEG or a PNG; its ETag is its SHA-256", content_type = "image/*"),
        (status = 304, description = "The picture that the client has is the newest"),
        (status = 404, description = "There is no such job, or no picture of it: it does not run, or its worker has shown none"),
    )
)]
pub(super) async fn get_preview(
    State(coordinator): State<Coordinator>,
    path: PathFields,
    query: QueryFields,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query.only(&["n"])?.get::<u64>("n")?;
    let id = path.get("id")?;
    let Some(preview) = coordinator.preview(id) else {
        return Err(none_of(&coordinator.job(id).await?));
    };
    let etag = format!("\"{}\"", Sha256::of(preview.bytes()));
    let known = fields::header(&headers, "If-None-Match")?;
    let is_known = known.is_some_and(|known| is_listed(&etag, known));
    let fleeting = [
        (header::ETAG, etag.as_str()),
        (header::CACHE_CONTROL, "no-store"),
    ];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, fleeting).into_response());
    }
    let media_type = [(header::CONTENT_TYPE, preview.media_type().name())];
    Ok((fleeting, media_type, preview.bytes().clone()).into_response())
}

fn none_of(job: &JobView) -> ApiError {
    let why = match job.status {
        JobStatus::Running => {
            "its worker has shown none, at least lately: only what ComfyUI renders is shown, step by step, unless the worker's \
             comfyui.previews is \"none\""
        }
        JobStatus::Blocked | JobStatus::Queued | JobStatus::Retryable => {
            "it does not run now, and there are pictures only while it does"
        }
        JobStatus::Completed | JobStatus::Failed | JobStatus::Cancelled => {
            "it has ended, and its pictures are gone; what it made is among the files of its film"
        }
    };
    let detail = format!("there is no picture of job {}: {why}", job.id);
    ApiError::new(Sort::NotThereYet, detail)
}
