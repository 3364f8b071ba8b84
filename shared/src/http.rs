//! What every HTTP client has: where it may go, how long it waits for a connection, and the token that it shows a coordinator.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{ClientBuilder, redirect};
use url::{Host, Url};

use crate::settings::Secret;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Fewest characters of a token: what can be guessed is none.
pub const TOKEN_MIN: usize = 24;
/// Most characters of a token.
pub const TOKEN_MAX: usize = 512;

/// A client of what is at `base`. It follows no redirect: who is shown a token or a key is who was named, and nobody else.
///
/// Where nobody need be trusted (`http://`), no authority of certificates is looked for: a small machine knows none. A proxy
/// which the environment names with `https://` is not trusted then.
pub fn client_of(base: &Url) -> ClientBuilder {
    use_ring();
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("callsheet/", env!("CARGO_PKG_VERSION")));
    // A proxy that the environment names would look for the coordinator on its own machine.
    let client = match is_loopback(base) {
        true => client.no_proxy(),
        false => client,
    };
    match base.scheme() {
        "http" => client.tls_certs_only([]),
        _ => client,
    }
}

/// Names the library that does cryptography for TLS in this process. Clients are built without one of their own, so that there is
/// one for all. Another client may have named it already.
pub fn use_ring() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// The header that shows a token; it prints as a secret does.
///
/// # Errors
/// If it can be none; says what one looks like, and nothing of this one.
pub fn bearer(token: &Secret) -> Result<HeaderValue, String> {
    check_token(token)?;
    let header = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
    let mut header = header.map_err(|error| error.to_string())?;
    header.set_sensitive(true);
    Ok(header)
}

/// Whether a text can be a token.
///
/// # Errors
/// If it cannot; says what one looks like, and nothing of this one.
pub fn check_token(token: &Secret) -> Result<(), String> {
    let text = token.expose();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    match (TOKEN_MIN..=TOKEN_MAX).contains(&text.len()) && is_plain {
        true => Ok(()),
        false => Err(format!(
            "a token has {TOKEN_MIN} to {TOKEN_MAX} visible ASCII characters and no spaces; `openssl rand -hex 32` makes one"
        )),
    }
}

/// A URL as it may be shown: of one that may hold a key or a password, its scheme alone.
pub fn without_credentials(text: &str) -> String {
    match Url::parse(text) {
        // What follows the scheme may hold a key, in the user, the password or the query.
        Ok(url) if url.scheme() != "file" => format!("{}://…", url.scheme()),
        Ok(_) => text.to_owned(),
        // Nobody knows what is what in it.
        Err(_) => match text.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://…"),
            None => text.to_owned(),
        },
    }
}

/// Whether a URL leads to this machine without leaving it.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_each_of_its_names() {
        let is_loopback = |url: &str| is_loopback(&Url::parse(url).unwrap());
        for url in [
            "http://127.0.0.1:7420",
            "http://127.8.9.1",
            "http://[::1]:7420",
            "http://localhost",
            "http://films.localhost",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "http://studio:7420",
            "http://10.0.0.1",
            "http://nolocalhost",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn a_token_is_long_and_plain_and_never_printed() {
        let good = "0123456789abcdef01234567";
        let header = bearer(&Secret::new(good)).unwrap();
        assert_eq!(header, "Bearer 0123456789abcdef01234567");
        assert!(!format!("{header:?}").contains("0123"), "{header:?}");
        for bad in [
            "",
            "0123456789abcdef0123456",
            "0123456789abcdef 01234567",
            "0123456789abcdef\n01234567",
            "ключключключключключключ",
            &"x".repeat(TOKEN_MAX + 1),
        ] {
            let error = bearer(&Secret::new(bad)).unwrap_err();
            assert!(error.contains("openssl rand"), "{error}");
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }
}
