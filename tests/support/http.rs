//! A client of the API.

use std::time::Duration;

/// Longest wait for a whole answer.
const LIMIT: Duration = Duration::from_secs(30);

/// A client that gives up on a server which does not answer: one that was killed may have left its port to somebody else.
pub fn client() -> reqwest::Client {
    let client = builder().build();
    client.expect("a client with a time limit can be made")
}

/// The same, to be told more.
pub fn builder() -> reqwest::ClientBuilder {
    // The client is built without a TLS library of its own, and wants one even where nothing but plain HTTP is spoken.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(LIMIT)
}
