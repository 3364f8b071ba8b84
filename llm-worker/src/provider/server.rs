//! Carries what a [`Provider`] says to a server and back. The one place with I/O.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response};
use shared::http;
use shared::settings::Secret;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::framing::{Cutter, Piece};
use super::{Answer, Ask, Call, Heard, Key, Provider, ProviderError, Reply};

/// A probe is answered at once or not at all.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most of a whole answer that is read, in bytes.
const REPLY_MAX: usize = 1024 * 1024;

/// A server, with what is known about its kind.
#[derive(Debug)]
pub struct Server {
    provider: Box<dyn Provider>,
    http: Client,
    base: Url,
    key: Key,
}

/// How long an answer is waited for.
#[derive(Debug, Clone)]
pub struct Limit {
    /// Until when.
    pub deadline: Instant,
    /// Fires when nobody wants the answer any more.
    pub cancelled: CancellationToken,
}

/// Why a server cannot be spoken to at all.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The URL is none.
    #[error("`{0}` is no URL of a server; write it as http://HOST:PORT")]
    Url(String),
    /// There is no HTTP client.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

impl Server {
    /// The server at that URL.
    ///
    /// # Errors
    /// If the URL is not one of HTTP.
    pub fn new(provider: Box<dyn Provider>, url: &str, key: Key) -> Result<Self, SetUpError> {
        let base = base(url, provider.api_root())?;
        let http = http::client_of(&base)
            // A server may close a connection that was kept just when it is used again. A new one costs nothing beside an answer.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(SetUpError::Client)?;
        Ok(Self {
            provider,
            http,
            base,
            key,
        })
    }

    /// The kind of server.
    pub fn provider(&self) -> &dyn Provider {
        self.provider.as_ref()
    }

    /// Where it is.
    pub const fn url(&self) -> &Url {
        &self.base
    }

    /// Asks the model and hears the answer as it comes; `told` hears how many tokens there are. When this returns early or
    /// is dropped, the connection is closed, which ends the generation.
    ///
    /// # Errors
    /// If there was no whole answer.
    pub async fn ask(
        &self,
        ask: &Ask,
        limit: &Limit,
        told: &mut (dyn FnMut(u32) + Send),
    ) -> Result<Answer, ProviderError> {
        tokio::select! {
            biased;
            () = limit.cancelled.cancelled() => Err(ProviderError::Cancelled),
            () = sleep_until(limit.deadline) => Err(ProviderError::TimedOut),
            answer = self.stream(ask, told) => answer,
        }
    }

    /// Whether it can work now.
    ///
    /// # Errors
    /// Why no job should be taken.
    pub async fn check(&self) -> Result<(), ProviderError> {
        for (number, call) in self.provider.probes().into_iter().enumerate() {
            let probed = timeout(PROBE_TIMEOUT, self.fetch(&call)).await;
            let reply = probed.map_err(|_| ProviderError::TimedOut)??;
            self.provider.judge(number, &reply)?;
        }
        Ok(())
    }

    /// Sends that and reads the whole answer, which is no stream. It has no limit of its own.
    ///
    /// # Errors
    /// If there was no answer. One that refuses is an answer.
    pub async fn fetch(&self, call: &Call) -> Result<Reply, ProviderError> {
        let key = self.key.read().await?;
        let response = self.send(call, key.as_ref()).await?;
        reply(response, key.as_ref()).await
    }

    async fn send(&self, call: &Call, key: Option<&Secret>) -> Result<Response, ProviderError> {
        // The base ends without a slash and the path begins with one.
        let url = format!("{}{}", self.base.as_str().trim_end_matches('/'), call.path);
        let mut request = match &call.body {
            None => self.http.get(url),
            Some(body) => {
                let post = self.http.post(url).header(CONTENT_TYPE, "application/json");
                post.body(body.clone())
            }
        };
        if let Some(key) = key {
            request = self.with_key(request, key)?;
        }
        request
            .send()
            .await
            .map_err(|error| match error.is_connect() {
                true => ProviderError::Unreachable(error),
                false => ProviderError::Broken(error),
            })
    }

    fn with_key(
        &self,
        request: RequestBuilder,
        key: &Secret,
    ) -> Result<RequestBuilder, ProviderError> {
        let (name, before) = self.provider.key_header();
        let Ok(mut value) = HeaderValue::from_str(&format!("{before}{}", key.expose())) else {
            return Err(ProviderError::Unauthorized(
                "it has characters that no key has".to_owned(),
            ));
        };
        value.set_sensitive(true);
        Ok(request.header(name, value))
    }

    async fn stream(
        &self,
        ask: &Ask,
        told: &mut (dyn FnMut(u32) + Send),
    ) -> Result<Answer, ProviderError> {
        let key = self.key.read().await?;
        let mut response = self.send(&self.provider.chat(ask), key.as_ref()).await?;
        if !is_stream(&response) {
            return Err(self.provider.refusal(&reply(response, key.as_ref()).await?));
        }
        let mut cutter = Cutter::new(self.provider.framing());
        let mut heard = Heard::default();
        while !heard.closed {
            let Some(bytes) = response.chunk().await.map_err(ProviderError::Broken)? else {
                for piece in cutter.end() {
                    self.take(piece, &mut heard)?;
                }
                break;
            };
            for piece in cutter.add(&bytes)? {
                self.take(piece, &mut heard)?;
            }
            told(heard.tokens);
        }
        heard.answer()
    }

    fn take(&self, piece: Piece, heard: &mut Heard) -> Result<(), ProviderError> {
        match piece {
            Piece::Data(_) if heard.closed => {}
            Piece::Data(data) => self.provider.read(&data, heard)?,
            Piece::Stray(text) => heard.stray = Some(text),
        }
        Ok(())
    }
}

/// The URL without what users like to give with it.
fn base(url: &str, api_root: &str) -> Result<Url, SetUpError> {
    let wrong = || SetUpError::Url(url.to_owned());
    let text = url.trim_end_matches('/');
    let text = text.strip_suffix(api_root).unwrap_or(text);
    let base = Url::parse(text).map_err(|_| wrong())?;
    let is_plain = base.query().is_none() && base.fragment().is_none() && base.has_host();
    match matches!(base.scheme(), "http" | "https") && is_plain {
        true => Ok(base),
        false => Err(wrong()),
    }
}

/// Whether an answer is a stream, and not an error or a page that some server shows for every path.
fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    response.status().is_success()
        && (kind.starts_with("text/event-stream") || kind.starts_with("application/x-ndjson"))
}

/// Reads a whole answer, up to a limit.
async fn reply(mut response: Response, key: Option<&Secret>) -> Result<Reply, ProviderError> {
    let retry_after = response.headers().get(RETRY_AFTER);
    let seconds = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ProviderError::Broken)? {
        let room = REPLY_MAX - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if bytes.len() == REPLY_MAX {
            break;
        }
    }
    let mut body = String::from_utf8_lossy(&bytes).into_owned();
    // Whatever a server repeats of a request may end in a log.
    if let Some(key) = key.map(Secret::expose).filter(|key| !key.is_empty()) {
        body = body.replace(key, "[secret]");
    }
    Ok(Reply {
        status,
        body,
        retry_after: seconds.map(Duration::from_secs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_end_with_what_people_copy_and_must_be_one_of_http() {
        for (given, expected) in [
            ("http://127.0.0.1:1234", "http://127.0.0.1:1234/"),
            ("http://127.0.0.1:1234/v1/", "http://127.0.0.1:1234/"),
            ("https://host/llm/v1", "https://host/llm"),
        ] {
            assert_eq!(base(given, "/v1").unwrap().as_str(), expected);
        }
        for wrong in [
            "",
            "127.0.0.1:1234",
            "ftp://host",
            "http://host?key=1",
            "file:///x",
        ] {
            assert!(base(wrong, "/v1").is_err(), "{wrong}");
        }
    }
}
