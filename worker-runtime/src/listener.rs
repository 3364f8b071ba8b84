//! What a worker tells over HTTP: its metrics, whether it is alive and whether it is ready. Nothing can be asked of it there.
//!
//! The coordinator has axum for its API; for three pages that are only read, hyper alone does. Whether it is well is told to everybody
//! who comes in, its metrics to whoever shows the token, if there is one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use shared::artifact::Sha256;
use shared::broker::Link;
use shared::fields;
use shared::metrics;
use shared::settings::Secret;
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::runtime::WorkerError;
use crate::worker::Worker;

/// Connections at once: whoever watches needs one.
const CONNECTIONS: usize = 16;
/// Longest wait for a request on a connection.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause after the system had no connection to give.
const PAUSE: Duration = Duration::from_millis(200);

/// Listens there.
///
/// # Errors
/// If the address cannot be listened on.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, WorkerError> {
    let failed = |source| WorkerError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    tracing::info!("metrics at http://{bound}/metrics");
    Ok(listener)
}

/// Answers for as long as the worker lives.
pub(crate) async fn serve(worker: Arc<Worker>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            // Nobody closes it.
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(converse(Arc::clone(&worker), stream, permit));
            }
            Err(error) => {
                tracing::debug!({ fields::ERROR } = %error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(worker: Arc<Worker>, stream: TcpStream, _permit: OwnedSemaphorePermit) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(&worker, &request);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!({ fields::ERROR } = %error, "a connection broke");
    }
}

/// Whether that token is shown. Hashes are compared, and whole, so that the time it takes tells nothing.
fn shows(headers: &HeaderMap, token: &Secret) -> bool {
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = given.and_then(|it| it.strip_prefix(b"Bearer "));
    given.is_some_and(|given| {
        let (given, token) = (Sha256::of(given), Sha256::of(token.expose().as_bytes()));
        given.as_bytes().ct_eq(token.as_bytes()).into()
    })
}

fn answer<B>(worker: &Worker, request: &Request<B>) -> Response<String> {
    let token = worker.config.metrics_token.as_ref();
    let may_look = token.is_none_or(|token| shows(request.headers(), token));
    let text = "text/plain; charset=utf-8";
    let (status, sort, body) = match request.uri().path() {
        _ if !matches!(*request.method(), Method::GET | Method::HEAD) => (
            StatusCode::METHOD_NOT_ALLOWED,
            text,
            "only GET is answered here\n".to_owned(),
        ),
        "/metrics" if !may_look => (
            StatusCode::UNAUTHORIZED,
            text,
            "metrics are told to whoever shows the token: `Authorization: Bearer TOKEN`, that of telemetry.metrics_token\n".to_owned(),
        ),
        "/metrics" => (
            StatusCode::OK,
            metrics::CONTENT_TYPE,
            worker.metrics.page(worker).text(),
        ),
        "/healthz" => (StatusCode::OK, text, "alive\n".to_owned()),
        "/readyz" => match ready(worker) {
            Ok(()) => (StatusCode::OK, text, "ready\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, text, format!("{why}\n")),
        },
        _ => (
            StatusCode::NOT_FOUND,
            text,
            "there are /metrics, /healthz and /readyz\n".to_owned(),
        ),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(sort));
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Whether it can do its work now; the reason if not. One backend that is ready will do: the others say why they are not by
/// `callsheet workers`.
fn ready(worker: &Worker) -> Result<(), String> {
    if let Link::Down(why) = &*worker.broker.link().borrow() {
        return Err(format!("the broker cannot be reached: {why}"));
    }
    let conditions = worker.conditions.borrow();
    if conditions.draining {
        return Err("it is going away".to_owned());
    }
    if !conditions.inbox_open {
        return Err("the coordinator's answers cannot be heard yet".to_owned());
    }
    let reasons: Vec<&str> = conditions
        .not_ready
        .iter()
        .filter_map(Option::as_deref)
        .collect();
    match reasons.len() < conditions.not_ready.len() {
        true => Ok(()),
        false => Err(format!("no backend is ready: {}", reasons.join("; "))),
    }
}
