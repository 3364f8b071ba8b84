//! A collector: where it takes what, and how it is told of.

use std::fmt;

use url::Url;

use super::SEND_LIMIT;
use crate::http;

/// A collector that takes OTLP over HTTP. Shown without what may be secret in its address.
#[derive(Debug, Clone)]
pub(super) struct Collector(Url);

impl Collector {
    pub(super) const fn at(address: Url) -> Self {
        Self(address)
    }

    /// Where it takes `traces` or `metrics`. What people are given is often the address without the path, or with that of
    /// traces alone.
    pub(super) fn takes(&self, signal: &str) -> Url {
        let path = self.0.path().trim_end_matches('/');
        let base = ["/v1/traces", "/v1/metrics"]
            .into_iter()
            .find_map(|end| path.strip_suffix(end))
            .unwrap_or(path);
        let path = format!("{base}/v1/{signal}");
        let mut url = self.0.clone();
        url.set_path(&path);
        url
    }

    /// A client for it.
    pub(super) fn client(&self) -> reqwest::ClientBuilder {
        http::client_of(&self.0).timeout(SEND_LIMIT)
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        // Only a URL without a host refuses, and that one was refused as a setting.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.set_query(None);
        shown.set_fragment(None);
        shown.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collector(address: &str) -> Collector {
        Collector::at(address.parse().unwrap())
    }

    #[test]
    fn a_collector_is_named_with_or_without_the_path() {
        for (given, traces, metrics) in [
            (
                "http://127.0.0.1:4318",
                "http://127.0.0.1:4318/v1/traces",
                "http://127.0.0.1:4318/v1/metrics",
            ),
            (
                "http://c:4318/",
                "http://c:4318/v1/traces",
                "http://c:4318/v1/metrics",
            ),
            (
                "https://c/otlp",
                "https://c/otlp/v1/traces",
                "https://c/otlp/v1/metrics",
            ),
            (
                "https://c/otlp/v1/traces",
                "https://c/otlp/v1/traces",
                "https://c/otlp/v1/metrics",
            ),
            (
                "https://me:word@c/?key=word",
                "https://me:word@c/v1/traces?key=word",
                "https://me:word@c/v1/metrics?key=word",
            ),
        ] {
            let collector = collector(given);
            assert_eq!(collector.takes("traces").as_str(), traces);
            assert_eq!(collector.takes("metrics").as_str(), metrics);
        }
    }

    #[test]
    fn what_is_secret_in_an_address_is_not_shown() {
        let shown = collector("https://me:word@c/otlp?key=word#word").to_string();
        assert_eq!(shown, "https://c/otlp");
    }
}
