//! What connections may take, and what goes on within it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::studio::patiently;
use crate::api::serving::{Bounds, GRACE, serve_within};
use crate::tls::Renewal;
use crate::tls::tests::{FIRST, SECOND, connect, first};

/// A bound on the head of requests that can be waited for.
const SHORT: Duration = Duration::from_millis(500);
/// One that no test reaches.
const LONG: Duration = Duration::from_secs(600);
/// Time enough for what must not happen.
const A_MOMENT: Duration = Duration::from_millis(300);
/// Pieces of an answer, one after another; together they take far longer than `SHORT`.
const PIECES: u32 = 15;
const PAUSE: Duration = Duration::from_millis(100);

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const WATCH: &[u8] = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
    shutdown: DropGuard,
}

impl Server {
    async fn open(connections: usize, patience: Duration, certificate: Option<Renewal>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let pieces = || {
            futures::stream::iter(0..PIECES).then(|piece| async move {
                tokio::time::sleep(PAUSE).await;
                Ok::<_, Infallible>(Bytes::from(format!("[{piece}]")))
            })
        };
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route(
                "/slow",
                get(move || async move { Body::from_stream(pieces()) }),
            )
            .route(
                "/send",
                post(|sent: Bytes| async move { format!("{} bytes", sent.len()) }),
            );
        let bounds = Bounds {
            connections,
            patience,
        };
        let shutdown = CancellationToken::new();
        let serving = serve_within(bounds, listener, certificate, router, shutdown.clone());
        Self {
            address,
            task: tokio::spawn(serving),
            shutdown: shutdown.drop_guard(),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Reads until that has come.
async fn hear<S: AsyncRead + Unpin>(connection: &mut S, awaited: &str) -> String {
    let mut heard = Vec::new();
    let hearing = async {
        loop {
            let text = String::from_utf8_lossy(&heard).into_owned();
            if text.contains(awaited) {
                return text;
            }
            let length = connection.read_buf(&mut heard).await.unwrap();
            assert_ne!(length, 0, "it ended before {awaited}: {text}");
        }
    };
    patiently(awaited, hearing).await
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(connection: &mut S) {
    connection.write_all(ASK).await.unwrap();
    hear(connection, "here").await;
}

/// Waits until the other side has closed, and says what came before.
async fn ends<S: AsyncRead + Unpin>(connection: &mut S) -> String {
    let mut heard = Vec::new();
    // Over TLS an end without a farewell is an error.
    patiently(
        "the end of the connection",
        connection.read_to_end(&mut heard),
    )
    .await
    .ok();
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn who_sends_no_request_or_half_of_one_is_let_go() {
    let server = Server::open(8, SHORT, None).await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    let mut kept = server.connect().await;
    slow.write_all(&ASK[..20]).await.unwrap();
    ask(&mut kept).await;
    for connection in [&mut silent, &mut slow, &mut kept] {
        assert_eq!(ends(connection).await, "");
    }
}

#[tokio::test]
async fn who_drips_a_request_is_let_go() {
    let server = Server::open(8, SHORT, None).await;
    let (mut reading, mut writing) = server.connect().await.into_split();
    let drip = async {
        writing.write_all(b"GET / HTTP/1.1\r\n").await.ok();
        while writing.write_all(b"x: y\r\n").await.is_ok() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    let both = async { tokio::join!(drip, ends(&mut reading)) };
    let ((), heard) = patiently("the end of it", both).await;
    assert_eq!(heard, "", "it was let go for something else");
}

#[tokio::test]
async fn who_sends_no_request_over_tls_is_let_go() {
    let server = Server::open(8, SHORT, Some(first().await)).await;
    let mut silent = connect(server.address, FIRST.0, &[]).await.unwrap();
    let mut kept = connect(server.address, FIRST.0, &[]).await.unwrap();
    ask(&mut kept).await;
    for connection in [&mut silent, &mut kept] {
        assert_eq!(ends(connection).await, "");
    }
}

#[tokio::test]
async fn what_is_sent_or_answered_slowly_is_not_cut() {
    let server = Server::open(8, SHORT, None).await;
    let mut watching = server.connect().await;
    let mut sending = server.connect().await;
    watching.write_all(WATCH).await.unwrap();
    sending
        .write_all(
            format!("POST /send HTTP/1.1\r\nHost: localhost\r\nContent-Length: {PIECES}\r\n\r\n")
                .as_bytes(),
        )
        .await
        .unwrap();
    let send = async {
        for _ in 0..PIECES {
            tokio::time::sleep(PAUSE).await;
            sending.write_all(b"x").await.unwrap();
        }
        hear(&mut sending, &format!("{PIECES} bytes")).await;
    };
    let last = format!("[{}]", PIECES - 1);
    tokio::join!(send, hear(&mut watching, &last));
    // The next request has its own time.
    ask(&mut sending).await;
}

#[tokio::test]
async fn one_connection_too_many_waits_for_another_to_end() {
    let server = Server::open(2, LONG, None).await;
    let mut one = server.connect().await;
    let mut other = server.connect().await;
    ask(&mut one).await;
    ask(&mut other).await;
    let mut waiting = server.connect().await;
    waiting.write_all(ASK).await.unwrap();
    let mut first = [0];
    tokio::time::timeout(A_MOMENT, waiting.peek(&mut first))
        .await
        .expect_err("it is answered, though there is no room");
    ask(&mut other).await;
    drop(one);
    hear(&mut waiting, "here").await;
}

#[tokio::test]
async fn a_handshake_takes_up_a_connection() {
    let server = Server::open(1, LONG, Some(first().await)).await;
    let silent = server.connect().await;
    let waiting = connect(server.address, FIRST.0, &[]);
    let mut waiting = std::pin::pin!(waiting);
    tokio::time::timeout(A_MOMENT, waiting.as_mut())
        .await
        .expect_err("it is greeted, though there is no room");
    drop(silent);
    ask(&mut patiently("a greeting", waiting).await.unwrap()).await;
}

#[tokio::test]
async fn who_is_silent_mad_or_does_not_trust_us_keeps_nobody_waiting() {
    let server = Server::open(8, LONG, Some(first().await)).await;
    let silent = server.connect().await;
    let mut mad = server.connect().await;
    mad.write_all(&[22, 3, 1, 255, 255, 0, 0, 0]).await.unwrap();
    drop(server.connect().await);
    let talk = async {
        connect(server.address, SECOND.0, &[]).await.unwrap_err();
        let mut there = connect(server.address, FIRST.0, &["h2", "http/1.1"])
            .await
            .unwrap();
        assert_eq!(there.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        ask(&mut there).await;
    };
    // Less than a handshake may take.
    tokio::time::timeout(Duration::from_secs(8), talk)
        .await
        .expect("it waits for the others");
    drop((silent, mad));
}

#[tokio::test]
async fn a_shutdown_waits_for_answers_but_not_for_the_silent() {
    for is_tls in [false, true] {
        let certificate = match is_tls {
            true => Some(first().await),
            false => None,
        };
        // There is no room for more, so that the shutdown meets the wait for some.
        let server = Server::open(3, LONG, certificate).await;
        let mut silent = server.connect().await;
        let (kept, watching) = match is_tls {
            true => (
                connect(server.address, FIRST.0, &[]).await.map(boxed),
                connect(server.address, FIRST.0, &[]).await.map(boxed),
            ),
            false => (
                Ok(boxed(server.connect().await)),
                Ok(boxed(server.connect().await)),
            ),
        };
        let (mut kept, mut watching) = (kept.unwrap(), watching.unwrap());
        ask(&mut kept).await;
        watching.write_all(WATCH).await.unwrap();
        hear(&mut watching, "[0]").await;
        drop(server.shutdown);
        let end = async {
            assert_eq!(ends(&mut silent).await, "");
            assert_eq!(ends(&mut kept).await, "");
            let rest = ends(&mut watching).await;
            assert!(rest.ends_with("\r\n0\r\n\r\n"), "{rest}");
            server.task.await.unwrap();
        };
        tokio::time::timeout(GRACE.mul_f64(0.8), end)
            .await
            .expect("the silent hold it up");
        TcpStream::connect(server.address).await.unwrap_err();
    }
}

trait Connection: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Connection for T {}

fn boxed(connection: impl Connection + 'static) -> Box<dyn Connection> {
    Box::new(connection)
}

#[tokio::test]
async fn a_shutdown_cuts_who_does_not_finish() {
    let server = Server::open(8, LONG, None).await;
    let mut half = server.connect().await;
    half.write_all(&ASK[..20]).await.unwrap();
    ask(&mut server.connect().await).await;
    drop(server.shutdown);
    patiently("the end of the server", server.task)
        .await
        .unwrap();
    assert_eq!(ends(&mut half).await, "");
}
