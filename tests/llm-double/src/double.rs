//! A server that answers like one of the real ones, and misbehaves as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::kind::Kind;
use crate::models::{Behaviour, Models};
use crate::{api, author};

/// The model that it has.
pub const MODEL: &str = "story";
/// The key that it wants, if it wants one.
pub const KEY: &str = "k3y-0f-the-d0uble";

/// How it answers the next chat.
#[derive(Debug, Clone)]
pub enum Act {
    /// Says this text, whole.
    Say(String),
    /// Says this text and stops for that reason, in the words of its kind.
    Stop(String, &'static str),
    /// Says this text and ends without a final reason.
    BreakOff(String),
    /// Says this text and then goes on for ever, a word every few milliseconds.
    GoOn(String),
    /// Says nothing for ever.
    Hang,
    /// Answers with that status and body, and no stream.
    Refuse(u16, Value),
    /// Streams exactly these bytes.
    Raw(String),
}

/// A chat that it was asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The path with its query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// What was posted.
    pub body: Value,
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    wants_key: bool,
    probes_fail: Mutex<Option<(u16, Value)>>,
    acts: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<Asked>>,
    /// How many streams were given up by their client.
    hung_up: watch::Sender<usize>,
    /// How many chats have begun.
    begun: watch::Sender<usize>,
    models: Models,
    /// Answers by itself what nothing was said about; how many texts it has made up.
    makes_up: Option<Mutex<u64>>,
}

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct Double {
    /// Where it is.
    pub url: String,
    inner: Arc<Inner>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Double {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Double {
    /// Starts one that needs no key.
    pub async fn start(kind: Kind) -> Self {
        Self::with(kind, false, Models::new(None), false).await
    }

    /// Starts one that wants [`KEY`].
    pub async fn with_key(kind: Kind) -> Self {
        Self::with(kind, true, Models::new(None), false).await
    }

    /// Starts one whose models are those, and which answers by itself: every schema is filled with words.
    pub async fn that_writes(kind: Kind, models: Models) -> Self {
        Self::with(kind, false, models, true).await
    }

    async fn with(kind: Kind, wants_key: bool, models: Models, makes_up: bool) -> Self {
        let inner = Arc::new(Inner {
            kind,
            wants_key,
            probes_fail: Mutex::default(),
            acts: Mutex::default(),
            asked: Mutex::default(),
            hung_up: watch::Sender::new(0),
            begun: watch::Sender::new(0),
            models,
            makes_up: makes_up.then(Mutex::default),
        });
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&inner));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, inner, task }
    }

    /// Its models.
    pub fn models(&self) -> &Models {
        &self.inner.models
    }

    /// Adds to what it does, chat by chat.
    pub fn then(&self, act: Act) -> &Self {
        self.inner.acts.lock().unwrap().push_back(act);
        self
    }

    /// Answers probes like this from now on.
    pub fn probes_fail(&self, status: u16, body: Value) {
        *self.inner.probes_fail.lock().unwrap() = Some((status, body));
    }

    /// Answers probes well again.
    pub fn probes_pass(&self) {
        *self.inner.probes_fail.lock().unwrap() = None;
    }

    /// The chats that it was asked for.
    pub fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// Forgets what it was asked for.
    pub fn forget(&self) {
        self.inner.asked.lock().unwrap().clear();
    }

    /// Waits until so many clients have hung up in mid-stream.
    pub async fn hung_up(&self, count: usize) {
        let mut seen = self.inner.hung_up.subscribe();
        let waited =
            tokio::time::timeout(Duration::from_secs(5), seen.wait_for(|seen| *seen >= count));
        waited.await.expect("the client did not hang up").unwrap();
    }

    /// Waits until so many chats have begun.
    pub async fn begun(&self, count: usize) {
        let mut seen = self.inner.begun.subscribe();
        let waited =
            tokio::time::timeout(Duration::from_secs(5), seen.wait_for(|seen| *seen >= count));
        waited.await.expect("no chat began").unwrap();
    }
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let (name, before) = inner.kind.key_header();
    let key = headers.get(name).and_then(|value| value.to_str().ok());
    let has_key = key == Some(format!("{before}{KEY}").as_str());
    if inner.wants_key && !has_key && !inner.kind.is_open(&path) {
        let (status, body) = inner.kind.no_key();
        return refuse(status, &body);
    }
    let models = &inner.models;
    if method == Method::GET {
        let failing = inner.probes_fail.lock().unwrap().clone();
        let listed = || api::listed(inner.kind, &path, models);
        let answer = failing
            .or_else(listed)
            .unwrap_or_else(|| inner.kind.probe(&path));
        return match path.as_str() {
            STATE => refuse(200, &serde_json::to_value(models.loaded()).unwrap()),
            _ => refuse(answer.0, &answer.1),
        };
    }
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    if path == BEHAVE {
        models.behave(serde_json::from_value::<Behaviour>(asked).unwrap());
        return refuse(200, &Value::Null);
    }
    if let Some((status, body)) = api::told(inner.kind, &path, &asked, models).await {
        return refuse(status, &body);
    }
    if !inner.kind.is_chat(&path) {
        let (status, body) = inner.kind.wrong_path();
        return refuse(status, &body);
    }
    inner.asked.lock().unwrap().push(Asked {
        path: uri.to_string(),
        headers,
        body: asked.clone(),
    });
    if api::load_for_chat(inner.kind, &asked, models)
        .await
        .is_err()
    {
        return refuse(500, &json!({"error": {"message": "model failed to load"}}));
    }
    inner.begun.send_modify(|count| *count += 1);
    let act = inner.acts.lock().unwrap().pop_front();
    let act = match (act, &inner.makes_up) {
        (None, Some(number)) => {
            tokio::time::sleep(models.behaviour().answers).await;
            let schema = inner.kind.asked_for(&path, &asked).0;
            Act::Say(author::write(&schema, &mut number.lock().unwrap()).to_string())
        }
        (act, _) => act.expect("more was asked than was expected"),
    };
    play(&inner, act)
}

/// Where a double in a process of its own tells how its models stand.
pub(crate) const STATE: &str = "/double/state";
/// Where it is told how to behave.
pub(crate) const BEHAVE: &str = "/double/behave";

fn refuse(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let body = match body {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn play(inner: &Arc<Inner>, act: Act) -> Response {
    let kind = inner.kind;
    let end = |finish| kind.end(finish);
    let said = |text: &str| -> Vec<String> {
        // Pieces of a few characters, as tokens come.
        let chars: Vec<char> = text.chars().collect();
        let begin = std::iter::once(kind.begin());
        let pieces = chars
            .chunks(5)
            .map(|piece| kind.piece(&piece.iter().collect::<String>()));
        begin.chain(pieces).collect()
    };
    let pieces = match act {
        Act::Say(text) => [said(&text), end(kind.stop())].concat(),
        Act::Stop(text, reason) => [said(&text), end(reason)].concat(),
        Act::BreakOff(text) => said(&text),
        Act::Raw(text) => vec![text],
        Act::Refuse(status, body) => return refuse(status, &body),
        Act::GoOn(text) => return stream(kind, go_on(inner, said(&text))),
        Act::Hang => return stream(kind, go_on(inner, Vec::new())),
    };
    let whole = futures::stream::iter(pieces).map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
    stream(kind, whole)
}

fn stream<S>(kind: Kind, pieces: S) -> Response
where
    S: futures::Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
{
    let kind = [(header::CONTENT_TYPE, kind.content_type())];
    (kind, Body::from_stream(pieces)).into_response()
}

/// Tells when the stream is dropped before its end, which it never reaches.
struct Watch(Arc<Inner>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.hung_up.send_modify(|count| *count += 1);
    }
}

fn go_on(
    inner: &Arc<Inner>,
    pieces: Vec<String>,
) -> impl futures::Stream<Item = Result<Bytes, Infallible>> + use<> {
    let talks = !pieces.is_empty();
    let (kind, watch) = (inner.kind, Watch(Arc::clone(inner)));
    let state = (VecDeque::from(pieces), watch);
    futures::stream::unfold(state, move |(mut pieces, watch)| async move {
        let piece = match pieces.pop_front() {
            Some(piece) => piece,
            None if talks => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                kind.piece("and then ")
            }
            None => std::future::pending().await,
        };
        Some((Ok(Bytes::from(piece)), (pieces, watch)))
    })
}

/// A text that fits the schema of the suite.
pub fn good() -> String {
    json!({"title": "Storm and light"}).to_string()
}
