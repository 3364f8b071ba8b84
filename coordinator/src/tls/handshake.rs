//! Speaks TLS on a connection.
//!
//! A handshake is a conversation with somebody who may be slow, silent or mad, so it has a deadline; whoever has not come through it
//! is nobody.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use shared::api::Problem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::Renewal;

/// Longest handshake.
const PATIENCE: Duration = Duration::from_secs(10);
/// As much of a request in plain HTTP as is read before it is answered.
const PLAIN_MAX: usize = 8 << 10;

/// A handshake within its time; nothing if it does not come about.
pub(crate) async fn greet(
    renewal: &Renewal,
    mut connection: TcpStream,
    peer: SocketAddr,
) -> Option<TlsStream<TcpStream>> {
    let handshake = async {
        if speaks_plain_http(&connection).await? {
            tell_of_https(&mut connection).await?;
            return Err(io::Error::other("it speaks plain HTTP"));
        }
        TlsAcceptor::from(renewal.current().await)
            .accept(connection)
            .await
    };
    let error = match timeout(PATIENCE, handshake).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    debug!(%peer, %error, "no TLS with this one");
    None
}

/// Whether what comes first is a request as HTTP writes it: a method in capitals. In TLS it is the number 22.
async fn speaks_plain_http(connection: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let length = connection.peek(&mut first).await?;
    Ok(length == 1 && first[0].is_ascii_uppercase())
}

/// Answers the first request in plain HTTP: who has forgotten an `s` would otherwise learn of it by noise.
async fn tell_of_https(connection: &mut TcpStream) -> io::Result<()> {
    let problem = Problem {
        kind: "urn:callsheet:problem:bad-request".to_owned(),
        title: "The request cannot be read".to_owned(),
        status: 400,
        detail: "this coordinator speaks HTTPS here: write https:// in its address".to_owned(),
        mistakes: Vec::new(),
    };
    let body = serde_json::to_string(&problem)?;
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n\
         {body}"
    );
    let mut request = Vec::with_capacity(PLAIN_MAX);
    // What may come after the head is nobody's concern.
    let is_whole = |request: &[u8]| {
        request.len() >= PLAIN_MAX || request.windows(4).any(|end| end == b"\r\n\r\n")
    };
    while !is_whole(&request) && connection.read_buf(&mut request).await? > 0 {}
    connection.write_all(answer.as_bytes()).await?;
    connection.shutdown().await?;
    // What it has still to say is heard to its end: a connection that is closed before takes the answer with it.
    tokio::io::copy(connection, &mut tokio::io::sink()).await?;
    Ok(())
}
