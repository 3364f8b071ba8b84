//! A client of the API.

use std::time::Duration;

/// Longest wait for a whole answer.
const LIMIT: Duration = Duration::from_secs(30);

/// A client that gives up on a server which does not answer: one that was killed may have left its port to somebody else.
pub fn client() -> reqwest::Client {
    // Nothing but plain HTTP on the loopback interface is asked, but the client wants to know how it would do TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(LIMIT).build();
    client.expect("a client with a time limit can be made")
}
