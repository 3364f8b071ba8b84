//! Takes connections and has the router answer on them.
//!
//! Whoever reaches the address can open connections; no token is asked for that. Each is a file that this process has open, and it may
//! have only so many: where strangers hold them all, the database, the artifacts and the broker get none. So there are only so many
//! connections at once, and one on which no request comes is let go. `axum::serve` can do neither.
//!
//! HTTP/1.1 alone is spoken, as in TLS nothing else is offered: a connection of HTTP/2 would need bounds of its own.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::{Listener, ListenerExt};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use shared::log_news;
use shared::news::News;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connection;
use crate::tls::{self, Renewal};

/// How long downloads may go on after the word to shut down: a player that is paused would hold one open for ever, and
/// what broke off can be gone on with.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Most connections at once, however many files may be open: fifty machines and their people have twenty each.
const CONNECTIONS_MAX: usize = 1_024;
/// Fewest connections at once, however few files may be open.
const CONNECTIONS_MIN: usize = 16;
/// Longest wait for the head of a request. Also what a connection is kept without one: reqwest, which our workers and commands ask
/// with, and the usual proxies close theirs after 90 seconds or less, and so never ask on one that is being closed here.
const PATIENCE: Duration = Duration::from_secs(100);

/// The word to shut down, for answers that would otherwise never end.
#[derive(Debug, Clone)]
pub(super) struct Shutdown(pub(super) CancellationToken);

/// What is granted to connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// How many there may be at once; further ones wait until the system takes no more.
    pub(super) connections: usize,
    /// How long the head of a request may take, from the connection's begin or the answer before.
    pub(super) patience: Duration,
}

impl Bounds {
    /// What suits this process: half of the files that it may open are connections, the other half is for its own work.
    fn of_this_process() -> Self {
        let half = open_files().map_or(CONNECTIONS_MAX, |files| files / 2);
        Self {
            connections: half.clamp(CONNECTIONS_MIN, CONNECTIONS_MAX),
            patience: PATIENCE,
        }
    }
}

/// How many files this process may have open; nothing if the system sets no bound.
#[cfg(unix)]
fn open_files() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.and_then(|files| files.try_into().ok())
}

#[cfg(not(unix))]
fn open_files() -> Option<usize> {
    None
}

/// Answers requests until `shutdown`, over TLS if there is a certificate. Then streams of events end, what is being downloaded has
/// a few seconds to finish, and nothing new is taken.
pub(crate) async fn serve(
    listener: TcpListener,
    certificate: Option<Renewal>,
    router: Router,
    shutdown: CancellationToken,
) {
    let bounds = Bounds::of_this_process();
    serve_within(bounds, listener, certificate, router, shutdown).await;
}

/// The same within these bounds.
pub(super) async fn serve_within(
    bounds: Bounds,
    listener: TcpListener,
    certificate: Option<Renewal>,
    router: Router,
    shutdown: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.patience);
    let host = Arc::new(Host {
        http,
        certificate,
        service: TowerToHyperService::new(router.layer(Extension(Shutdown(shutdown.clone())))),
        shutdown: shutdown.clone(),
    });
    let mut listener = listener.tap_io(|connection| connection::set_up(connection));
    let mut room = Room::new(bounds.connections);
    let mut connections = JoinSet::new();
    loop {
        // A place comes first: who has none is left to the system, and is no open file yet.
        let next = async {
            let place = room.place().await?;
            Some((place, listener.accept().await))
        };
        let Some(Some((place, (connection, peer)))) = shutdown.run_until_cancelled(next).await
        else {
            break;
        };
        let host = Arc::clone(&host);
        connections.spawn(async move {
            host.receive(connection, peer).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, ended).await.is_err() {
        tracing::warn!("some clients did not finish in time; their connections are cut");
    }
}

/// Places for connections.
struct Room {
    places: Arc<Semaphore>,
    size: usize,
    told: News,
}

impl Room {
    fn new(size: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(size)),
            size,
            told: News::default(),
        }
    }

    /// The next place, as soon as there is one. Nothing would mean that there are to be no more, which nobody says.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        match self.places.available_permits() {
            0 => log_news!(
                self.told.is_news("full"),
                warn,
                connections = self.size,
                "as many connections to the API are open as there may be; others wait until one ends"
            ),
            // While it is nearly full, one that goes and one that comes are no news.
            free if free > self.size / 2 => {
                self.told.over();
            }
            _ => {}
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

/// What all connections have in common.
struct Host {
    http: http1::Builder,
    certificate: Option<Renewal>,
    service: TowerToHyperService<Router>,
    shutdown: CancellationToken,
}

impl Host {
    /// Answers on a connection until it ends. A handshake is part of it: who is slow at it keeps nobody else waiting.
    async fn receive(&self, connection: TcpStream, peer: SocketAddr) {
        let Some(certificate) = &self.certificate else {
            return self.converse(connection, peer).await;
        };
        let greeting = tls::greet(certificate, connection, peer);
        if let Some(Some(connection)) = self.shutdown.run_until_cancelled(greeting).await {
            self.converse(connection, peer).await;
        }
    }

    /// Answers request after request; after the word to shut down only the one that is there.
    async fn converse(
        &self,
        connection: impl AsyncRead + AsyncWrite + Unpin + Send,
        peer: SocketAddr,
    ) {
        let io = TokioIo::new(connection);
        let mut conversation = pin!(self.http.serve_connection(io, self.service.clone()));
        let ended = tokio::select! {
            ended = conversation.as_mut() => ended,
            () = self.shutdown.cancelled() => {
                conversation.as_mut().graceful_shutdown();
                conversation.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection broke");
        }
    }
}
