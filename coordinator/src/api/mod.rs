//! The HTTP API under `/v1`, the two health probes, the metrics and a small page for people.
//!
//! Routes by resource, one file each; they parse, ask the [`Coordinator`] and write down what it answers. Everything that
//! is not done is said as `application/problem+json` (`error`). What may call at all is `guard`'s business.
//! `docs/api.md` is the guide, `docs/openapi.json` is made from the handlers' attributes (`openapi`).

mod artifacts;
mod connection;
mod error;
mod events;
mod fields;
mod files;
mod films;
mod guard;
mod health;
mod jobs;
mod metrics;
pub mod openapi;
mod page;
mod previews;
mod range;
mod roles;
mod serving;
mod session;
mod workers;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};

use crate::access::Access;
use crate::coordinator::Coordinator;
use crate::settings::CoordinatorSettings;

pub(crate) use serving::serve;

/// Largest body of a request that is no file, in bytes: a script of 200 scenes with long prompts fits.
const BODY_MAX: usize = 2 << 20;

/// What the API is told when it is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Names that a request's `Host` may give besides `localhost` and addresses in figures; any name if `None`.
    ///
    /// A page in a browser on this machine can have its own name resolved to this server (DNS rebinding) and would then
    /// speak to it as to its own; the `Host` that the browser sends still tells.
    pub names: Option<Vec<String>>,
    /// The tokens that are asked for.
    pub access: Access,
    /// Largest file that a worker may send, in bytes.
    pub upload_max: u64,
    /// Whether TLS is spoken here.
    pub is_https: bool,
}

impl Options {
    /// What suits a server on that address with these settings: nobody has a name for one that only its own machine reaches.
    pub fn new(address: SocketAddr, settings: &CoordinatorSettings) -> Self {
        Self {
            names: address.ip().is_loopback().then(Vec::new),
            access: Access::new(&settings.access),
            upload_max: settings.upload_max_mib << 20,
            is_https: settings.tls.files().is_some(),
        }
    }
}

/// All routes.
pub fn router(coordinator: Coordinator, options: Options) -> Router {
    let session = Router::new()
        .route(
            "/v1/session",
            post(session::sign_in).delete(session::sign_out),
        )
        .with_state(options.clone());
    let artifacts = artifacts::routes(coordinator.artifacts().clone(), options.upload_max);
    Router::new()
        .route("/v1/films", get(films::list_films).post(films::submit_film))
        .route(
            "/v1/films/{id}",
            get(films::show_film).delete(films::delete_film),
        )
        .route("/v1/films/{id}/cancel", post(films::cancel_film))
        .route("/v1/films/{id}/retry", post(films::retry_film))
        .route("/v1/films/{id}/events", get(events::watch_film))
        .route("/v1/films/{id}/film.mp4", get(files::get_film_file))
        .route("/v1/films/{id}/film.json", get(files::get_manifest))
        .route(
            "/v1/films/{id}/scenes/{number}/keyframe.png",
            get(files::get_keyframe),
        )
        .route(
            "/v1/films/{id}/scenes/{number}/clip.mp4",
            get(files::get_clip),
        )
        .route("/v1/jobs/{id}", get(jobs::show_job))
        .route("/v1/jobs/{id}/explain", get(jobs::explain_job))
        .route("/v1/jobs/{id}/preview", get(previews::get_preview))
        .route("/v1/jobs/{id}/retry", post(jobs::retry_job))
        .route("/v1/workers", get(workers::list_workers))
        .route("/v1/workers/{id}/pause", post(workers::pause_worker))
        .route("/v1/workers/{id}/resume", post(workers::resume_worker))
        .route("/v1/openapi.json", get(openapi::show))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .merge(session)
        .merge(artifacts)
        .merge(page::routes())
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(options, guard::guard))
        .with_state(coordinator)
}
