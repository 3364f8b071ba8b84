//! The files of a film, streamed from the artifact store; players seek in them by range.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use shared::api::{FilmSummary, SceneView};
use shared::artifact::{Artifact, Sha256};
use shared::artifacts::ArtifactStore;
use shared::ids::FilmId;

use super::error::{ApiError, Sort};
use super::fields::{self, PathFields};
use super::range::{self, Wanted};
use crate::coordinator::{AskError, Coordinator};

#[cfg(test)]
mod tests;

/// A film or a clip that is there is never changed.
const FOREVER: &str = "private, max-age=31536000, immutable";

/// The film itself, once it is completed.
#[utoipa::path(
    get, path = "/v1/films/{id}/film.mp4", tag = "files",
    params(
        ("id" = String, Path, format = "uuid", description = "The film"),
        ("Range" = Option<String>, Header, pattern = "^bytes=[0-9]*-[0-9]*$", description = "One range of bytes, as `bytes=0-1023`"),
    ),
    responses(
        (status = 200, description = "The file; its ETag is its SHA-256", content_type = "video/mp4"),
        (status = 206, description = "The part that was asked for", content_type = "video/mp4"),
        (status = 304, description = "The copy that the client has is the same"),
        (status = 404, description = "There is no such film, or it is not completed"),
        (status = 416, description = "The file has no such part"),
    )
)]
pub(super) async fn get_film_file(
    State(coordinator): State<Coordinator>,
    path: PathFields,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let film = coordinator.film(path.film()?).await?;
    let Some(file) = film.film else {
        return Err(not_there_yet("film.mp4", &film.summary));
    };
    send(coordinator.artifacts(), (&file).into(), &method, &headers).await
}

/// How a completed film was made, down to each seed.
#[utoipa::path(
    get, path = "/v1/films/{id}/film.json", tag = "files",
    params(("id" = String, Path, format = "uuid", description = "The film")),
    responses(
        (status = 200, description = "The manifest", body = ref("#/components/schemas/Manifest"), content_type = "application/json"),
        (status = 404, description = "There is no such film, or it is not completed"),
    )
)]
pub(super) async fn get_manifest(
    State(coordinator): State<Coordinator>,
    path: PathFields,
) -> Result<Response, ApiError> {
    let manifest = match coordinator.manifest(path.film()?).await {
        Err(AskError::Conflict(reason)) => return Err(ApiError::new(Sort::NotThereYet, reason)),
        asked => asked?,
    };
    // People read it, and it lies beside the film as a file: so it has lines.
    let mut json = serde_json::to_string_pretty(&manifest)
        .expect("a manifest consists of strings, numbers and lists, which JSON can hold");
    json.push('\n');
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

/// A scene's still image, as soon as it is there.
#[utoipa::path(
    get, path = "/v1/films/{id}/scenes/{number}/keyframe.png", tag = "files",
    params(
        ("id" = String, Path, format = "uuid", description = "The film"),
        ("number" = u32, Path, minimum = 1, description = "The scene, from 1"),
        ("Range" = Option<String>, Header, pattern = "^bytes=[0-9]*-[0-9]*$", description = "One range of bytes, as `bytes=0-1023`"),
    ),
    responses(
        (status = 200, description = "The file; its ETag is its SHA-256", content_type = "image/png"),
        (status = 206, description = "The part that was asked for", content_type = "image/png"),
        (status = 304, description = "The copy that the client has is the same"),
        (status = 404, description = "There is no such film or scene, or its image is not made yet"),
        (status = 416, description = "The file has no such part"),
    )
)]
pub(super) async fn get_keyframe(
    State(coordinator): State<Coordinator>,
    path: PathFields,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file = scene_file(&coordinator, &path, "keyframe", |scene| scene.keyframe).await?;
    send(coordinator.artifacts(), (&file).into(), &method, &headers).await
}

/// A scene's clip, as soon as it is there.
#[utoipa::path(
    get, path = "/v1/films/{id}/scenes/{number}/clip.mp4", tag = "files",
    params(
        ("id" = String, Path, format = "uuid", description = "The film"),
        ("number" = u32, Path, minimum = 1, description = "The scene, from 1"),
        ("Range" = Option<String>, Header, pattern = "^bytes=[0-9]*-[0-9]*$", description = "One range of bytes, as `bytes=0-1023`"),
    ),
    responses(
        (status = 200, description = "The file; its ETag is its SHA-256", content_type = "video/mp4"),
        (status = 206, description = "The part that was asked for", content_type = "video/mp4"),
        (status = 304, description = "The copy that the client has is the same"),
        (status = 404, description = "There is no such film or scene, or its clip is not made yet"),
        (status = 416, description = "The file has no such part"),
    )
)]
pub(super) async fn get_clip(
    State(coordinator): State<Coordinator>,
    path: PathFields,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file = scene_file(&coordinator, &path, "clip", |scene| scene.clip).await?;
    send(coordinator.artifacts(), (&file).into(), &method, &headers).await
}

/// The file of that name of the scene that the path names.
async fn scene_file(
    coordinator: &Coordinator,
    path: &PathFields,
    name: &str,
    file: impl FnOnce(SceneView) -> Option<Artifact>,
) -> Result<Artifact, ApiError> {
    let (id, number): (FilmId, u32) = (path.film()?, path.get("number")?);
    let film = coordinator.film(id).await?;
    let Some(story) = &film.story else {
        return Err(not_there_yet("story", &film.summary));
    };
    let scenes = story.scenes.len();
    let Some(scene) = film.scenes.into_iter().find(|scene| scene.number == number) else {
        let detail = format!("there is no scene {number} in film {id}; it has {scenes}");
        return Err(ApiError::new(Sort::NotFound, detail));
    };
    file(scene).ok_or_else(|| not_there_yet(&format!("{name} for scene {number}"), &film.summary))
}

fn not_there_yet(what: &str, film: &FilmSummary) -> ApiError {
    let status = match film.status.is_final() {
        true => "and has ended without it",
        false => "yet",
    };
    ApiError::new(
        Sort::NotThereYet,
        format!(
            "film {} has no {what} {status}; GET /v1/films/{} says why",
            film.id, film.id
        ),
    )
}

/// A file to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct What {
    /// Its hash.
    pub(super) hash: Sha256,
    /// Its length in bytes.
    pub(super) size: u64,
    /// What it is said to be.
    pub(super) media_type: &'static str,
}

impl From<&Artifact> for What {
    fn from(artifact: &Artifact) -> Self {
        Self {
            hash: artifact.sha256,
            size: artifact.size.as_bytes(),
            media_type: artifact.media_type.name(),
        }
    }
}

/// Answers with a file or a part of it. A range counts for GET only, and only for the file that `If-Range` means.
pub(super) async fn send(
    store: &ArtifactStore,
    What {
        hash,
        size,
        media_type,
    }: What,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let etag = format!("\"{hash}\"");
    let unchanging = [
        (header::ETAG, etag.as_str()),
        (header::CACHE_CONTROL, FOREVER),
    ];
    if fields::header(headers, "If-None-Match")?.is_some_and(|known| is_listed(&etag, known)) {
        return Ok((StatusCode::NOT_MODIFIED, unchanging).into_response());
    }
    let range = match fields::header(headers, "If-Range")? {
        Some(known) if known != etag => None,
        _ if method != Method::GET => None,
        _ => fields::header(headers, "Range")?,
    };
    let (status, part) = match range::wanted(range, size) {
        Wanted::All => (StatusCode::OK, 0..size),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Nothing => return Err(ApiError::range_not_satisfiable(size)),
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, media_type)
        .header(header::CONTENT_LENGTH, part.end - part.start)
        .header(header::ACCEPT_RANGES, "bytes");
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        response = response.header(header::CONTENT_RANGE, range);
    }
    let body = match *method == Method::HEAD {
        true => Body::empty(),
        false => {
            let bytes = store.read(hash, part).await?;
            Body::from_stream(bytes.inspect_err(move |error| {
                let error = shared::failure::chain(error);
                tracing::error!(%error, artifact.sha256 = %hash, "a download broke off");
            }))
        }
    };
    let response = response
        .body(body)
        .expect("these headers are numbers, hashes and names");
    Ok((unchanging, response).into_response())
}

/// Whether an `If-None-Match` header names the tag.
pub(super) fn is_listed(etag: &str, header: &str) -> bool {
    header
        .split(',')
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == etag)
}
