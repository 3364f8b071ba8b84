//! A store that a coordinator keeps for those who share no disk and no bucket with it: `/v1/artifacts/HASH` of its API.

use std::collections::HashSet;
use std::error::Error;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use reqwest::header::{self, HeaderMap};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use url::Url;

use super::{ArtifactError, Content, Place};
use crate::api::Problem;
use crate::artifact::Sha256;
use crate::http;
use crate::settings::Secret;
use crate::time::Timestamp;
use crate::tls;

/// Longest silence in an answer, and longest time in which nothing of an upload is taken.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest answer that is no file, in bytes.
const ANSWER_MAX: usize = 64 << 10;
/// The problem that a coordinator names when what it got has another hash.
const DAMAGED: &str = "urn:callsheet:problem:damaged";

/// A store that a coordinator keeps. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    /// For questions and downloads.
    http: reqwest::Client,
    /// For uploads: nothing is heard while one is under way, however long that is.
    uploads: reqwest::Client,
    base: Url,
}

impl Remote {
    /// The one at that URL. Nothing is sent yet.
    ///
    /// # Errors
    /// If the token can be none, or the client cannot be set up.
    pub(super) fn new(base: Url, token: Option<&Secret>) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert(header::AUTHORIZATION, http::bearer(token)?);
        }
        let client = || http::client_of(&base).default_headers(headers.clone());
        let unusable = |error: reqwest::Error| tls::trouble(&error).unwrap_or(error.to_string());
        let built = |client: reqwest::ClientBuilder| client.build().map_err(unusable);
        Ok(Self {
            http: built(client().read_timeout(SILENCE))?,
            uploads: built(client())?,
            base,
        })
    }

    fn request(&self, http: &reqwest::Client, method: Method, hash: Sha256) -> RequestBuilder {
        let path = format!("v1/artifacts/{hash}");
        let url = self
            .base
            .join(&path)
            .expect("the path consists of words and a hash");
        http.request(method, url)
    }

    /// The answer, if it is a good one.
    async fn send(&self, request: RequestBuilder, hash: Sha256) -> Result<Response, ArtifactError> {
        let answer = request.send().await.map_err(|error| self.away(error))?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            _ => Err(self.refusal(answer, hash).await),
        }
    }

    fn away(&self, error: reqwest::Error) -> ArtifactError {
        match tls::trouble(&error) {
            // It is there, and only a person can help.
            Some(reason) => ArtifactError::Untrusted {
                url: self.base.to_string(),
                reason,
            },
            None => self.away_because(error.without_url()),
        }
    }

    fn away_because(&self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> ArtifactError {
        ArtifactError::Away {
            url: self.base.to_string(),
            source: cause.into(),
        }
    }

    /// What an answer means that is none of the good ones.
    async fn refusal(&self, answer: Response, hash: Sha256) -> ArtifactError {
        let status = answer.status();
        let body = beginning_of(answer).await;
        let problem = serde_json::from_slice::<Problem>(&body).ok();
        let said = |problem: Option<Problem>| match problem {
            Some(problem) => problem.detail,
            None => {
                format!("it answered with status {status}; is that a coordinator of this version?")
            }
        };
        match (status, problem) {
            (StatusCode::NOT_FOUND, None) if body.is_empty() => ArtifactError::Missing(hash),
            (StatusCode::NOT_FOUND, Some(problem)) if problem.kind.ends_with(":not-found") => {
                ArtifactError::Missing(hash)
            }
            (StatusCode::UNPROCESSABLE_ENTITY, Some(problem)) if problem.kind == DAMAGED => {
                ArtifactError::Damaged(hash)
            }
            (StatusCode::INSUFFICIENT_STORAGE, problem) => ArtifactError::Full(said(problem).into()),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => self.refused(
                "it wants the token of workers: give it as token in [artifacts], the same that the coordinator has as worker_token \
                 in [access]"
                    .to_owned(),
            ),
            (StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT, problem) => {
                self.away_because(said(problem))
            }
            (_, problem) => self.refused(said(problem)),
        }
    }

    fn refused(&self, reason: String) -> ArtifactError {
        ArtifactError::Refused {
            url: self.base.to_string(),
            reason,
        }
    }
}

#[async_trait]
impl Place for Remote {
    async fn size(&self, hash: Sha256) -> Result<u64, ArtifactError> {
        let asked = self.request(&self.http, Method::HEAD, hash);
        let answer = self.send(asked, hash).await?;
        let length = answer.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        length.ok_or_else(|| self.refused("its answer has no length".to_owned()))
    }

    async fn read(
        &self,
        hash: Sha256,
        range: Option<Range<u64>>,
    ) -> Result<Content, ArtifactError> {
        let mut asked = self.request(&self.http, Method::GET, hash);
        let expected = match range {
            None => StatusCode::OK,
            Some(range) => {
                let bytes = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
                asked = asked.header(header::RANGE, bytes);
                StatusCode::PARTIAL_CONTENT
            }
        };
        let answer = self.send(asked, hash).await?;
        if answer.status() != expected {
            let reason = format!(
                "it answered with status {} instead of {expected}",
                answer.status()
            );
            return Err(self.refused(reason));
        }
        let here = self.clone();
        let pieces = answer.bytes_stream();
        Ok(pieces.map_err(move |error| here.away(error)).boxed())
    }

    async fn write(&self, hash: Sha256, size: u64, content: Content) -> Result<(), ArtifactError> {
        // Asked first: who is not let in would learn of it only by a connection that breaks under the first megabytes.
        match self.size(hash).await {
            Ok(_) | Err(ArtifactError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
        let flow = Flow::default();
        let asked = self
            .request(&self.uploads, Method::PUT, hash)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, size)
            .body(Body::wrap_stream(flow.of(content)));
        let sent = tokio::select! {
            sent = self.send(asked, hash) => sent,
            () = flow.stalled() => Err(self.away_because("it takes nothing more of an upload")),
        };
        match (sent, flow.failure()) {
            (Ok(_), _) => Ok(()),
            // It is our own file that could not be read.
            (Err(_), Some(failure)) => Err(failure),
            (Err(error), None) => Err(error),
        }
    }

    /// Its coordinator does that.
    async fn sweep(
        &self,
        _: &HashSet<Sha256>,
        _: Duration,
        _: Timestamp,
    ) -> Result<usize, ArtifactError> {
        Ok(0)
    }
}

/// What flows into an upload.
#[derive(Clone, Default)]
struct Flow {
    bytes: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<ArtifactError>>>,
}

impl Flow {
    /// The content, seen as it flows.
    fn of(
        &self,
        content: Content,
    ) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> + Send + use<> {
        let flow = self.clone();
        content.map(move |piece| match piece {
            Ok(piece) => {
                flow.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Ok(piece)
            }
            Err(error) => {
                let mut failure = flow.failure.lock().unwrap_or_else(PoisonError::into_inner);
                *failure = Some(error);
                Err(std::io::Error::other("it cannot be read"))
            }
        })
    }

    /// Resolves when nothing has flowed for a while.
    async fn stalled(&self) {
        let mut seen = None;
        loop {
            let now = Some(self.bytes.load(Ordering::Relaxed));
            if seen == now {
                return;
            }
            seen = now;
            tokio::time::sleep(SILENCE).await;
        }
    }

    /// Why the content could not be read, if it could not.
    fn failure(&self) -> Option<ArtifactError> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take()
    }
}

/// The beginning of an answer, as far as it comes.
async fn beginning_of(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < ANSWER_MAX {
        match answer.chunk().await {
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Ok(None) | Err(_) => break,
        }
    }
    body
}
