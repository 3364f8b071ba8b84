//! `callsheet probe`

use std::time::Duration;

use clap::Args;
use reqwest::Response;
use shared::failure::chain;
use shared::{http, tls};
use url::Url;

use crate::error::CommandError;

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Ask a program of Callsheet whether it can work: for health checks of containers and services
#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// What is asked
    #[arg(default_value = "http://127.0.0.1:7420/readyz")]
    url: Url,
}

/// Why a program is not ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unready {
    /// Nobody answers.
    #[error("{url} does not answer: {why}")]
    Silent {
        /// Who was asked.
        url: Url,
        /// Why.
        why: String,
    },
    /// It says that it is not.
    #[error("{url} answers {status}: {said}")]
    Says {
        /// Who was asked.
        url: Url,
        /// The answer.
        status: u16,
        /// In its words.
        said: String,
    },
}

impl Probe {
    /// Asks once.
    pub(crate) async fn run(&self) -> Result<(), CommandError> {
        let answer = self.ask().await.map_err(|error| Unready::Silent {
            url: self.url.clone(),
            why: tls::trouble(&error).unwrap_or(chain(&error.without_url())),
        })?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(Unready::Says {
                url: self.url.clone(),
                status: status.as_u16(),
                said: answer.text().await.unwrap_or_default(),
            }
            .into()),
        }
    }

    async fn ask(&self) -> Result<Response, reqwest::Error> {
        // A program that is asked on its own machine need not prove who it is, and no certificate has that address. It is told
        // nothing.
        let is_near = http::is_loopback(&self.url);
        // A proxy that the environment names would look on its own machine.
        let client = http::client_of(&self.url)
            .timeout(LIMIT)
            .no_proxy()
            .tls_danger_accept_invalid_certs(is_near)
            .build()?;
        client.get(self.url.clone()).send().await
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::*;

    #[tokio::test]
    async fn ready_is_who_says_so() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let busy = (StatusCode::SERVICE_UNAVAILABLE, "no broker");
        let routes = Router::new()
            .route("/ready", get(|| async { "ready\n" }))
            .route("/busy", get(move || async move { busy }));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        let probe = |path: &str| Probe {
            url: format!("{base}{path}").parse().unwrap(),
        };
        assert!(probe("/ready").run().await.is_ok());
        let error = probe("/busy").run().await.unwrap_err();
        assert_eq!(error.code(), 1);
        assert!(
            error.message().ends_with("/busy answers 503: no broker"),
            "{}",
            error.message()
        );
        server.abort();
        let _ = server.await;
        let error = probe("/ready").run().await.unwrap_err();
        assert_eq!(error.code(), 1);
        assert!(
            error.message().contains("/ready does not answer: "),
            "{}",
            error.message()
        );
    }
}
