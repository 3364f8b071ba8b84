//! A client of one ComfyUI server: HTTP for everything that counts, a WebSocket for progress.
//!
//! What answers mean is read in `refusal`, `history`, `queue`, `stats`, `event` and `frame`, all pure; here bytes are carried.

mod error;
mod event;
mod frame;
mod history;
mod http;
mod preview_method;
mod queue;
mod refusal;
mod socket;
mod stats;
mod transfer;

pub use self::error::ComfyError;
pub use self::event::Word;
pub use self::history::{Ending, Entry, NodeFailure, OutputFile, Saved};
pub use self::preview_method::PreviewMethod;
pub use self::queue::{Queue, Queued};
pub use self::refusal::{Lacks, Problem, Refusal};
pub use self::socket::{Heard, Socket};
pub use self::stats::{Stats, StatsDevice, Version};

pub(crate) use self::error::shorten;

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use shared::http::{client_of, is_loopback};
use shared::time::Timestamp;
use url::Url;

use self::http::Reply;
use super::graph::Graph;
use super::tag::{EXTRA, SENT_AT, Tag};

/// A server under load answers late: its HTTP shares a Python interpreter with the model.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Where a prompt says how it is to be shown. Servers before 0.5.0 do not look there.
const PREVIEW_METHOD: &str = "preview_method";

/// A ComfyUI server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    previews: PreviewMethod,
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The URL is none.
    #[error("`{0}` is no URL of a server; write it as http://HOST:PORT")]
    Url(String),
    /// There is no HTTP client.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

impl Client {
    /// A client of the server at that URL.
    ///
    /// # Errors
    /// If the URL is not one of HTTP.
    pub fn new(url: &str) -> Result<Self, SetUpError> {
        let base = base(url).ok_or_else(|| SetUpError::Url(url.to_owned()))?;
        Ok(Self {
            http: client_of(&base).build().map_err(SetUpError::Client)?,
            base,
            previews: PreviewMethod::default(),
        })
    }

    /// The same, whose prompts ask for pictures by that method.
    pub const fn asking_for(mut self, previews: PreviewMethod) -> Self {
        self.previews = previews;
        self
    }

    /// Where the server is, without a slash at the end.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Its host and port: what all workers of this host call it by.
    pub fn address(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        let port = self.base.port_or_known_default().unwrap_or_default();
        format!("{host}:{port}")
    }

    /// Its port.
    pub fn port(&self) -> Option<u16> {
        self.base.port_or_known_default()
    }

    /// Whether it is on this machine.
    pub fn is_here(&self) -> bool {
        is_loopback(&self.base)
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// If it does not answer, or is not ComfyUI.
    pub async fn stats(&self) -> Result<Stats, ComfyError> {
        let reply = self.get("system_stats", "system_stats").await?;
        // Whatever else answers there is a server of another sort.
        if !reply.status.is_success() && !reply.status.is_server_error() {
            return Err(ComfyError::NotComfy {
                why: format!(
                    "/system_stats answers with status {}",
                    reply.status.as_u16()
                ),
            });
        }
        if reply.status.is_success() && reply.looks_like_a_page() {
            return Err(ComfyError::NotComfy {
                why: "/system_stats answers with a web page".to_owned(),
            });
        }
        Stats::read(&reply.json()?)
    }

    /// What it knows of a sort of node; `None` if it has none of that name.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn object_info(&self, class: &str) -> Result<Option<Value>, ComfyError> {
        let path = format!("object_info/{}", encode(class));
        let mut all = self.get(&path, "object_info").await?.json()?;
        Ok(all.get_mut(class).map(Value::take))
    }

    /// What it knows of all sorts of node: some megabytes with many custom ones.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn all_object_info(&self) -> Result<Map<String, Value>, ComfyError> {
        match self.get("object_info", "object_info").await?.json()? {
            Value::Object(all) => Ok(all),
            other => Err(ComfyError::Unreadable {
                what: "object_info",
                why: format!("it is no object, but {}", shorten(&other.to_string())),
            }),
        }
    }

    /// The model files that it has in a folder; `None` if it knows no such folder.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn models(&self, folder: &str) -> Result<Option<Vec<String>>, ComfyError> {
        let reply = self
            .get(&format!("models/{}", encode(folder)), "models")
            .await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let list = reply.json()?;
        let names = list.as_array().into_iter().flatten();
        let names = names.filter_map(Value::as_str).map(ToOwned::to_owned);
        Ok(Some(names.collect()))
    }

    /// What it has in hand.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn queue(&self) -> Result<Queue, ComfyError> {
        Queue::read(&self.get("queue", "queue").await?.json()?)
    }

    /// How that prompt ended; `None` if it has not, or was never there.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn history(&self, prompt: &str) -> Result<Option<Entry>, ComfyError> {
        let path = format!("history/{}", encode(prompt));
        Entry::read(&self.get(&path, "history").await?.json()?, prompt)
    }

    /// When the prompt that ended last did so, by the server's clock; `None` if it remembers none.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn last_end(&self) -> Result<Option<Timestamp>, ComfyError> {
        let reply = self.get("history?max_items=1", "history").await?;
        Ok(history::last_end(&reply.json()?))
    }

    /// Has it run a graph, under the id of that tag; `client` is the WebSocket that is to hear of it.
    ///
    /// # Errors
    /// [`ComfyError::Refused`] if it does not run it, or not all of it. After [`ComfyError::Broken`], [`ComfyError::TimedOut`]
    /// and [`ComfyError::Unreadable`] it may run all the same.
    pub async fn submit(&self, graph: &Graph, tag: &Tag, client: &str) -> Result<(), ComfyError> {
        let mut tagged = json!(tag);
        tagged[SENT_AT] = json!(Timestamp::now().as_millis());
        let body = json!({
            "prompt": graph.nodes,
            "prompt_id": tag.prompt(),
            "client_id": client,
            "extra_data": {EXTRA: tagged, PREVIEW_METHOD: self.previews},
        });
        let reply = self.post("prompt", "submit", &body).await?;
        match reply.status {
            StatusCode::OK => {}
            StatusCode::BAD_REQUEST => {
                let refusal = Refusal::of(&reply.any_json()?);
                return Err(refusal.map_or_else(|| reply.unexpected(), ComfyError::Refused));
            }
            _ => return Err(reply.unexpected()),
        }
        let answer = reply.json()?;
        if let Some(refusal) = Refusal::of(&answer) {
            // The rest of it is in the queue already.
            let gone = self.cancel(&tag.prompt()).await;
            if let Err(error) = gone {
                tracing::warn!(
                    { shared::fields::ERROR } = shared::failure::chain(&error),
                    "a graph of which a part was dropped could not be taken back"
                );
            }
            return Err(refusal.into());
        }
        match answer["prompt_id"] == tag.prompt() {
            true => Ok(()),
            false => Err(ComfyError::NotComfy {
                why: format!(
                    "it gave our prompt another id; ComfyUI {} or newer does not",
                    Version::OLDEST
                ),
            }),
        }
    }

    /// Stops exactly that prompt if it runs; any other goes on. It may still end well: look.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn interrupt(&self, prompt: &str) -> Result<(), ComfyError> {
        let path = format!("api/jobs/{}/cancel", encode(prompt));
        let reply = self.post(&path, "cancel", &json!({})).await?;
        if reply.status.is_success() {
            return Ok(());
        }
        // Older ones have no such call. Theirs looks at the id first and stops what runs then, hence the other one if there is.
        let reply = self
            .post("interrupt", "interrupt", &json!({"prompt_id": prompt}))
            .await?;
        reply.success()
    }

    /// Takes a prompt out of the line, if it waits there.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn delete(&self, prompt: &str) -> Result<(), ComfyError> {
        self.post("queue", "delete", &json!({"delete": [prompt]}))
            .await?
            .success()
    }

    /// Takes a prompt out of the line and stops it if it runs.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn cancel(&self, prompt: &str) -> Result<(), ComfyError> {
        self.delete(prompt).await?;
        self.interrupt(prompt).await
    }

    /// Asks it to give its memory back. It does so when it is idle, and says nothing of it.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn free(&self) -> Result<(), ComfyError> {
        let all = json!({"unload_models": true, "free_memory": true});
        self.post("free", "free", &all).await?.success()
    }

    async fn get(&self, path: &str, what: &'static str) -> Result<Reply, ComfyError> {
        self.send(self.http.get(self.at(path)), what).await
    }

    async fn post(
        &self,
        path: &str,
        what: &'static str,
        body: &Value,
    ) -> Result<Reply, ComfyError> {
        self.send(self.http.post(self.at(path)).json(body), what)
            .await
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        what: &'static str,
    ) -> Result<Reply, ComfyError> {
        let sent = request.timeout(ANSWER_TIMEOUT).send().await;
        let response = sent.map_err(|error| ComfyError::of_sending(what, self.url(), error))?;
        Reply::read(response, what, self.url()).await
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.url())
    }
}

/// The URL without what users like to give with it.
fn base(url: &str) -> Option<Url> {
    let base = Url::parse(url.trim_end_matches('/')).ok()?;
    let is_plain = base.query().is_none() && base.fragment().is_none() && base.has_host();
    (matches!(base.scheme(), "http" | "https") && is_plain).then_some(base)
}

/// A part of a path or of a query, with everything escaped that means something there.
pub(super) fn encode(part: &str) -> String {
    url::form_urlencoded::byte_serialize(part.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_server_is_one_of_http() {
        for (given, expected) in [
            ("http://127.0.0.1:8188", "http://127.0.0.1:8188"),
            ("http://127.0.0.1:8188/", "http://127.0.0.1:8188"),
            ("https://host/comfy/", "https://host/comfy"),
        ] {
            assert_eq!(Client::new(given).unwrap().url(), expected);
        }
        for wrong in [
            "",
            "127.0.0.1:8188",
            "ftp://host",
            "http://host?x=1",
            "file:///x",
        ] {
            assert!(Client::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(encode("a b/ü?"), "a%20b%2F%C3%BC%3F");
    }
}
