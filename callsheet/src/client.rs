//! The HTTP client of a coordinator, the same for one in this process and for one far away.

use std::time::Duration;

use futures::Stream;
use reqwest::header::{self, HeaderMap};
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use shared::api::{
    FilmEvent, FilmList, FilmView, JobExplanation, Problem, SubmitAnswer, WorkerList, WorkerView,
};
use shared::film::FilmRequest;
use shared::http;
use shared::ids::{FilmId, JobId, WorkerId};
use shared::settings::Secret;
use shared::tls;
use shared::trace::{self, TraceContext};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use url::Url;

use crate::sse::EventReader;

/// Longest silence in an answer. The coordinator says every 15 s that a stream of events is still there.
const READ_TIMEOUT: Duration = Duration::from_secs(45);
/// Longest answer that is no file and no stream, in bytes.
const ANSWER_MAX: usize = 64 << 20;

/// A client of one coordinator. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    /// What the films that it submits are part of.
    part_of: Option<TraceContext>,
}

/// Why the coordinator did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The URL is none for this client.
    #[error("`{0}` is no coordinator's URL; write it as in http://127.0.0.1:7420")]
    Url(String),
    /// The URL holds a password.
    #[error("credentials do not belong into the coordinator's URL: give a token with --token-file")]
    Credentials,
    /// The token can be none.
    #[error("the token cannot be one: {0}")]
    Token(String),
    /// The client itself could not be set up.
    #[error("cannot set up the HTTP client")]
    SetUp(#[source] reqwest::Error),
    /// No TLS with who answers there.
    #[error("the coordinator at {url} cannot be trusted with anything: {why}")]
    Tls {
        /// Where it was looked for.
        url: Url,
        /// Why, and what to do.
        why: String,
    },
    /// Nobody answers there.
    #[error(
        "cannot reach the coordinator at {url}. Is it running? `callsheet up` starts one; --coordinator names another"
    )]
    Unreachable {
        /// Where it was looked for.
        url: Url,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke before the whole answer was there.
    #[error("the connection to the coordinator broke")]
    Broken(#[source] reqwest::Error),
    /// It answered that it does not do so.
    #[error("{}", refused(.0))]
    Refused(Problem),
    /// What answers is no coordinator, or one of another version.
    #[error("{url} answered {what}; is that a coordinator of this version?")]
    Foreign {
        /// Where.
        url: Url,
        /// What it answered.
        what: String,
    },
    /// A file could not be written.
    #[error("cannot write the file")]
    File(#[source] std::io::Error),
}

impl ClientError {
    /// Whether the same request may succeed later without anyone doing anything.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken(_) => true,
            Self::Refused(problem) => problem.status >= 500,
            Self::Url(_)
            | Self::Credentials
            | Self::Token(_)
            | Self::SetUp(_)
            | Self::Tls { .. }
            | Self::Foreign { .. }
            | Self::File(_) => false,
        }
    }

    /// Whether the person who typed can put it right.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Url(_)
            | Self::Credentials
            | Self::Token(_)
            | Self::Tls { .. }
            | Self::Unreachable { .. } => true,
            Self::Refused(problem) => problem.status < 500,
            Self::SetUp(_) | Self::Broken(_) | Self::Foreign { .. } | Self::File(_) => false,
        }
    }

    /// Whether there is no such thing.
    pub(crate) const fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(Problem { status: 404, .. }))
    }
}

fn refused(problem: &Problem) -> String {
    let mistakes: String = problem
        .mistakes
        .iter()
        .map(|mistake| format!("\n  {mistake}"))
        .collect();
    let detail = match problem.status {
        401 => {
            "it asks for a token that it knows: name the file that holds one with --token-file or CALLSHEET_TOKEN_FILE, or give it as \
             CALLSHEET_TOKEN; who runs the coordinator has them in its [access] settings"
        }
        _ => &problem.detail,
    };
    format!("the coordinator refused: {detail}{mistakes}")
}

/// An event and its number, if it is one that is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NumberedEvent {
    /// For `Last-Event-ID`.
    pub(crate) id: Option<String>,
    /// The event.
    pub(crate) event: FilmEvent,
}

impl Client {
    /// A client of the coordinator at that URL, which is shown the token, if there is one.
    ///
    /// # Errors
    /// If the URL is not one of HTTP, or the token can be none.
    pub(crate) fn new(url: &str, token: Option<&Secret>) -> Result<Self, ClientError> {
        let none = || ClientError::Url(http::without_credentials(url));
        let mut base = Url::parse(url).map_err(|_| none())?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(none());
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(ClientError::Credentials);
        }
        // Without it the last part of a path would be replaced when something is joined to it.
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let shown = http::bearer(token).map_err(ClientError::Token)?;
            headers.insert(header::AUTHORIZATION, shown);
        }
        let http = http::client_of(&base)
            .read_timeout(READ_TIMEOUT)
            .default_headers(headers);
        let http = http.build().map_err(|error| match tls::trouble(&error) {
            Some(why) => ClientError::Tls {
                url: base.clone(),
                why,
            },
            None => ClientError::SetUp(error),
        })?;
        Ok(Self {
            http,
            base,
            part_of: None,
        })
    }

    /// The same, whose films are part of that trace.
    #[must_use]
    pub(crate) fn part_of(self, part_of: Option<TraceContext>) -> Self {
        Self { part_of, ..self }
    }

    /// Where the coordinator is.
    pub(crate) const fn url(&self) -> &Url {
        &self.base
    }

    /// Submits a film. The key makes a repeat harmless.
    pub(crate) async fn submit(
        &self,
        request: &FilmRequest,
        key: &str,
    ) -> Result<FilmId, ClientError> {
        let asked = self
            .request(Method::POST, "v1/films")
            .header("Idempotency-Key", key)
            .json(request);
        let asked = match self.part_of {
            Some(context) => asked.header(trace::HEADER, context.to_string()),
            None => asked,
        };
        match self.answer(asked).await? {
            SubmitAnswer::Accepted { film } => Ok(film),
            SubmitAnswer::Mistaken { mistakes } => Err(ClientError::Refused(Problem {
                kind: String::new(),
                title: String::new(),
                status: StatusCode::UNPROCESSABLE_ENTITY.as_u16(),
                detail: "the film cannot be made as asked for".to_owned(),
                mistakes,
            })),
        }
    }

    /// A page of films, newest first.
    pub(crate) async fn films(
        &self,
        limit: u32,
        before: Option<FilmId>,
    ) -> Result<FilmList, ClientError> {
        let before = before
            .map(|before| format!("&before={before}"))
            .unwrap_or_default();
        self.get(&format!("v1/films?limit={limit}{before}")).await
    }

    /// Everything about a film.
    pub(crate) async fn film(&self, id: FilmId) -> Result<FilmView, ClientError> {
        self.get(&format!("v1/films/{id}")).await
    }

    /// Why a job is not starting.
    pub(crate) async fn explain(&self, id: JobId) -> Result<JobExplanation, ClientError> {
        self.get(&format!("v1/jobs/{id}/explain")).await
    }

    /// Cancels a film.
    pub(crate) async fn cancel(&self, id: FilmId) -> Result<FilmView, ClientError> {
        self.post(&format!("v1/films/{id}/cancel")).await
    }

    /// Gives the failed jobs of a film new tries.
    pub(crate) async fn retry(&self, id: FilmId) -> Result<FilmView, ClientError> {
        self.post(&format!("v1/films/{id}/retry")).await
    }

    /// The workers.
    pub(crate) async fn workers(&self) -> Result<WorkerList, ClientError> {
        self.get("v1/workers").await
    }

    /// Asks a worker to stand still.
    pub(crate) async fn pause(&self, worker: &WorkerId) -> Result<WorkerView, ClientError> {
        self.post(&format!("v1/workers/{worker}/pause")).await
    }

    /// Asks a worker to go on.
    pub(crate) async fn resume(&self, worker: &WorkerId) -> Result<WorkerView, ClientError> {
        self.post(&format!("v1/workers/{worker}/resume")).await
    }

    /// Copies a film's file.
    pub(crate) async fn download(
        &self,
        id: FilmId,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), ClientError> {
        self.copy(&format!("v1/films/{id}/film.mp4"), to).await
    }

    /// Copies a film's manifest.
    pub(crate) async fn manifest(
        &self,
        id: FilmId,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), ClientError> {
        self.copy(&format!("v1/films/{id}/film.json"), to).await
    }

    /// What happened to a film after the event of that number, and then what happens, until the connection ends.
    pub(crate) async fn events(
        &self,
        id: FilmId,
        after: Option<&str>,
    ) -> Result<impl Stream<Item = Result<NumberedEvent, ClientError>> + use<>, ClientError> {
        let mut asked = self
            .request(Method::GET, &format!("v1/films/{id}/events"))
            .header("Accept", "text/event-stream");
        if let Some(after) = after {
            asked = asked.header("Last-Event-ID", after);
        }
        let answer = self.send(asked).await?;
        let state = (
            answer,
            EventReader::default(),
            Vec::new().into_iter(),
            self.base.clone(),
        );
        Ok(futures::stream::try_unfold(
            state,
            async |(mut answer, mut reader, mut ready, url)| {
                loop {
                    if let Some(event) = ready.next() {
                        return Ok(Some((event, (answer, reader, ready, url))));
                    }
                    let Some(bytes) = answer.chunk().await.map_err(ClientError::Broken)? else {
                        return Ok(None);
                    };
                    let events: Result<Vec<NumberedEvent>, _> = reader
                        .push(&bytes)
                        .into_iter()
                        .map(|event| {
                            let read = serde_json::from_str(&event.data);
                            read.map(|read| NumberedEvent {
                                id: event.id,
                                event: read,
                            })
                        })
                        .collect();
                    ready = events
                        .map_err(|error| ClientError::Foreign {
                            url: url.clone(),
                            what: format!("an event that cannot be read ({error})"),
                        })?
                        .into_iter();
                }
            },
        ))
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = self
            .base
            .join(path)
            .expect("our own paths consist of words, ids and numbers");
        self.http.request(method, url)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.answer(self.request(Method::GET, path)).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.answer(self.request(Method::POST, path)).await
    }

    async fn copy(
        &self,
        path: &str,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), ClientError> {
        let mut answer = self.send(self.request(Method::GET, path)).await?;
        while let Some(bytes) = answer.chunk().await.map_err(ClientError::Broken)? {
            to.write_all(&bytes).await.map_err(ClientError::File)?;
        }
        to.flush().await.map_err(ClientError::File)
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ClientError> {
        let bytes = read(self.send(request).await?).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| self.foreign(format!("something that cannot be read ({error})")))
    }

    /// The answer, if it is a good one.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, ClientError> {
        let answer = request.send().await.map_err(|source| {
            let source = source.without_url();
            let url = || self.base.clone();
            match tls::trouble(&source) {
                Some(why) => ClientError::Tls { url: url(), why },
                None if source.is_connect() => ClientError::Unreachable { url: url(), source },
                None => ClientError::Broken(source),
            }
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let bytes = read(answer).await?;
        Err(match serde_json::from_slice(&bytes) {
            Ok(problem) => ClientError::Refused(problem),
            Err(_) => self.foreign(format!("with status {status}")),
        })
    }

    fn foreign(&self, what: String) -> ClientError {
        ClientError::Foreign {
            url: self.base.clone(),
            what,
        }
    }
}

/// The whole answer, up to a length that no answer of a coordinator has.
async fn read(mut answer: Response) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while body.len() < ANSWER_MAX {
        match answer.chunk().await.map_err(ClientError::Broken)? {
            Some(bytes) => body.extend_from_slice(&bytes),
            None => break,
        }
    }
    Ok(body)
}
