//! How each connection to the API is set up.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Silence after which the system asks whether the client is there. It asks some times (9 on Linux) before it gives the connection up.
const SILENCE: Duration = Duration::from_secs(20);
/// Pause between two of these questions.
const AGAIN: Duration = Duration::from_secs(5);

/// Sets up a connection that was accepted. One that cannot be serves all the same.
pub(super) fn set_up(connection: &TcpStream) {
    if let Err(error) = try_set_up(connection) {
        tracing::debug!(%error, "a connection is not set up as it should be");
    }
}

fn try_set_up(connection: &TcpStream) -> io::Result<()> {
    // Events are small and someone waits for each: they must not wait for more to go with them.
    connection.set_nodelay(true)?;
    // A host that is gone without a word, cut off or switched off, would leave its connections open here for ever.
    let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(AGAIN);
    SockRef::from(connection).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_client_that_has_gone_without_a_word_is_noticed_and_events_go_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (_client, accepted) = tokio::join!(client, listener.accept());
        let (connection, _) = accepted.unwrap();
        let asks = || SockRef::from(&connection).keepalive().unwrap();
        assert!(!asks());
        set_up(&connection);
        assert!(asks() && connection.nodelay().unwrap());
    }
}
