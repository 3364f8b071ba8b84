//! The artifact store for workers that share no disk and no bucket with the coordinator. A file is named by its SHA-256, and what
//! comes is stored only if it has it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{BodyDataStream, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use futures::StreamExt;
use shared::artifact::Sha256;
use shared::artifacts::{ArtifactError, ArtifactStore, Content};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use super::error::{ApiError, Sort};
use super::fields::{self, PathFields};
use super::files;

/// Files that are taken at a time, for each costs a thread and some megabytes; others wait before their first byte.
const AT_A_TIME: usize = 16;
/// Longest time in which nothing of a file comes.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the rest of a file that is not wanted is read: who sends hears no answer before all is sent.
const DRAIN: Duration = Duration::from_secs(30);

/// What the routes know.
#[derive(Debug, Clone)]
pub(super) struct Artifacts {
    store: ArtifactStore,
    /// Largest file that is taken, in bytes.
    largest: u64,
    room: Arc<Semaphore>,
}

pub(super) fn routes<S>(store: ArtifactStore, largest: u64) -> Router<S> {
    let artifacts = Artifacts {
        store,
        largest,
        room: Arc::new(Semaphore::new(AT_A_TIME)),
    };
    Router::new()
        .route(
            "/v1/artifacts/{sha256}",
            get(get_artifact).put(put_artifact),
        )
        .with_state(artifacts)
}

/// A file of the store, for a worker.
#[utoipa::path(
    get, path = "/v1/artifacts/{sha256}", tag = "artifacts",
    params(
        ("sha256" = String, Path, pattern = "^[0-9a-f]{64}$", description = "The hash of the file"),
        ("Range" = Option<String>, Header, pattern = "^bytes=[0-9]*-[0-9]*$", description = "One range of bytes, as `bytes=0-1023`"),
    ),
    responses(
        (status = 200, description = "The file, unchecked: who gets it holds it against its hash", content_type = "application/octet-stream"),
        (status = 206, description = "The part that was asked for", content_type = "application/octet-stream"),
        (status = 304, description = "The copy that the client has is the same"),
        (status = 404, description = "There is no such file"),
        (status = 416, description = "The file has no such part"),
    )
)]
pub(super) async fn get_artifact(
    State(artifacts): State<Artifacts>,
    path: PathFields,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let hash: Sha256 = path.get("sha256")?;
    let size = match artifacts.store.size(hash).await {
        Ok(size) => size,
        Err(ArtifactError::Missing(_)) => {
            return Err(ApiError::new(
                Sort::NotFound,
                format!("there is no artifact {hash}"),
            ));
        }
        Err(error) => return Err(error.into()),
    };
    let what = files::What {
        hash,
        size,
        media_type: "application/octet-stream",
    };
    files::send(&artifacts.store, what, &method, &headers).await
}

/// Stores a file that a worker has made. It appears whole or not at all, and can be sent again as often as needed.
#[utoipa::path(
    put, path = "/v1/artifacts/{sha256}", tag = "artifacts",
    params(
        ("sha256" = String, Path, pattern = "^[0-9a-f]{64}$", description = "The hash of the file"),
        ("Content-Length" = u64, Header, description = "Its length"),
    ),
    request_body(content = String, content_type = "application/octet-stream", description = "The file"),
    responses(
        (status = 204, description = "It is stored, for good unless nothing comes to need it"),
        (status = 408, description = "Nothing more of it came"),
        (status = 411, description = "The request does not say how long the file is"),
        (status = 413, description = "It is larger than `coordinator.upload_max_mib` allows"),
        (status = 422, description = "What came has another hash; nothing of it was kept"),
        (status = 507, description = "The store is full; nothing of it was kept"),
    )
)]
pub(super) async fn put_artifact(
    State(artifacts): State<Artifacts>,
    path: PathFields,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let hash: Sha256 = path.get("sha256")?;
    let size = length(request.headers(), artifacts.largest)?;
    let _room = artifacts.room.acquire().await;
    let body = Arc::new(Mutex::new(request.into_body().into_data_stream()));
    let content = content(Arc::clone(&body));
    let store = artifacts.store.clone();
    // On a thread of its own: hashing gigabytes here would hold up everything else that the coordinator does.
    let here = tokio::runtime::Handle::current();
    let storing =
        tokio::task::spawn_blocking(move || here.block_on(store.receive(hash, size, content)));
    match storing.await {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(error)) => {
            // Whether it comes to its end or not, the answer is the same.
            let _ = timeout(DRAIN, drain(&body)).await;
            Err(refusal(error))
        }
        Err(error) => Err(ApiError::new(
            Sort::StoreFailed,
            "the file could not be stored and the coordinator's log says why; send it again",
        )
        .because(error)),
    }
}

fn length(headers: &HeaderMap, largest: u64) -> Result<u64, ApiError> {
    let Some(length) = fields::header(headers, header::CONTENT_LENGTH.as_str())? else {
        return Err(ApiError::new(
            Sort::LengthRequired,
            "say in `Content-Length` how long the file is",
        ));
    };
    let size = fields::parse("Content-Length", length)?;
    match size <= largest {
        true => Ok(size),
        false => Err(ApiError::new(
            Sort::TooLarge,
            format!(
                "a file has at most {largest} bytes; coordinator.upload_max_mib in the coordinator's settings sets that"
            ),
        )),
    }
}

type Body = Arc<Mutex<BodyDataStream>>;

/// The body as it comes.
fn content(body: Body) -> Content {
    futures::stream::unfold(body, async |body| {
        let piece = timeout(SILENCE, next(&body)).await;
        let piece = piece.unwrap_or_else(|_| Some(Err("nothing more of it came".into())));
        let piece = piece?.map_err(|source| ArtifactError::Away {
            url: "the sender of the file".to_owned(),
            source,
        });
        Some((piece, body))
    })
    .boxed()
}

async fn next(body: &Body) -> Option<Result<Bytes, Box<dyn std::error::Error + Send + Sync>>> {
    let piece = body.lock().await.next().await?;
    Some(piece.map_err(Into::into))
}

async fn drain(body: &Body) {
    while let Some(Ok(_)) = next(body).await {}
}

fn refusal(error: ArtifactError) -> ApiError {
    match error {
        ArtifactError::Damaged(hash) => ApiError::new(
            Sort::Damaged,
            format!("what came is not the file {hash}; nothing of it was kept"),
        ),
        ArtifactError::Away { .. } => ApiError::new(
            Sort::TooSlow,
            "the file broke off on its way here; send it again",
        ),
        ArtifactError::Full(_) => ApiError::new(
            Sort::StoreFull,
            "the coordinator's artifact store is full; free some space there, then send it again",
        )
        .because(error),
        other => other.into(),
    }
}
