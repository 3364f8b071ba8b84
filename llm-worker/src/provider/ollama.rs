//! Ollama, by its own API: the one that takes a context length and refuses what does not fit it.

use serde::Serialize;
use serde_json::{Value, json};

use super::error::speaks_of_memory;
use super::openai::{listed, messages};
use super::reply::shown;
use super::{Ask, Call, Finish, Framing, Heard, Provider, ProviderError, Reply};
use crate::schema::Schema;

/// A model at Ollama.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ollama {
    /// The model's name there.
    pub model: String,
    /// Length of the context. The same in every request: another one loads the model anew.
    pub context: u32,
    /// Whether it is to run on the processor. The same in every request, too.
    pub on_processor: bool,
}

/// How long a model stays after its last request if nobody asks it to leave. Every request begins this time anew.
pub(crate) const KEEP_ALIVE: &str = "30m";

/// What must be the same in every request, as another value loads the model anew.
pub(crate) fn options(context: u32, on_processor: bool) -> Value {
    let mut options = json!({ "num_ctx": context });
    if on_processor {
        options["num_gpu"] = json!(0);
    }
    options
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Value>,
    stream: bool,
    format: &'a Schema,
    // Without these two a prompt that is too long is cut in silence.
    truncate: bool,
    shift: bool,
    keep_alive: &'static str,
    options: Value,
}

impl Provider for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn api_root(&self) -> &'static str {
        "/api"
    }

    fn chat(&self, ask: &Ask) -> Call {
        let mut options = options(self.context, self.on_processor);
        options["num_predict"] = json!(ask.max_tokens);
        options["temperature"] = json!(ask.temperature);
        options["seed"] = json!(ask.seed);
        if let Some(threads) = ask.threads {
            // Another number loads the model anew, so that it is sent only where it must be.
            options["num_thread"] = json!(threads);
        }
        let body = Body {
            model: &self.model,
            messages: messages(ask),
            stream: true,
            format: &ask.schema,
            truncate: false,
            shift: false,
            keep_alive: KEEP_ALIVE,
            options,
        };
        Call::post("/api/chat", &body)
    }

    fn read(&self, piece: &str, heard: &mut Heard) -> Result<(), ProviderError> {
        let event = match serde_json::from_str::<Value>(piece) {
            Ok(event) if event.is_object() => event,
            _ => {
                return Err(ProviderError::Incomplete(format!(
                    "it said \"{}\" in the midst of it",
                    shown(piece)
                )));
            }
        };
        if !event["error"].is_null() {
            return Err(self.refusal(&Reply {
                status: 500,
                body: piece.to_owned(),
                retry_after: None,
            }));
        }
        heard.add(event["message"]["content"].as_str().unwrap_or_default())?;
        let thought = event["message"]["thinking"].as_str();
        if thought.is_some_and(|text| !text.is_empty()) {
            heard.thought();
        }
        if event["done"] == true {
            heard.closed = true;
            heard.finish = event["done_reason"].as_str().map(|reason| match reason {
                "stop" => Finish::Stop,
                "length" => Finish::Length,
                other => Finish::Other(other.to_owned()),
            });
        }
        Ok(())
    }

    fn refusal(&self, reply: &Reply) -> ProviderError {
        let message = reply.message();
        let said = message.to_lowercase();
        match reply.status {
            401 | 403 => ProviderError::Unauthorized(message),
            _ if speaks_of_memory(&message) => ProviderError::OutOfMemory(message),
            404 if said.contains("model") => ProviderError::UnknownModel(message),
            404 | 405 => ProviderError::WrongServer(message),
            400 if said.contains("context length") => ProviderError::TooLong(message),
            400 | 413 | 422 => ProviderError::BadRequest(message),
            429 | 503 => ProviderError::Busy {
                message,
                retry_after: reply.retry_after,
            },
            500..=599 => ProviderError::Failed(message),
            _ => ProviderError::WrongServer(message),
        }
    }

    fn probes(&self) -> Vec<Call> {
        vec![Call::get("/api/tags")]
    }

    fn judge(&self, _probe: usize, reply: &Reply) -> Result<(), ProviderError> {
        if !reply.is_success() {
            return Err(self.refusal(reply));
        }
        let json = reply.json().unwrap_or_default();
        let Some(models) = json["models"].as_array() else {
            let problem = format!("it has no list of models; {}", reply.message());
            return Err(ProviderError::WrongServer(problem));
        };
        let known: Vec<&str> = models
            .iter()
            .filter_map(|model| model["name"].as_str())
            .collect();
        // A name without a tag means `latest`.
        let whole = match self.model.contains(':') {
            true => self.model.clone(),
            false => format!("{}:latest", self.model),
        };
        match known
            .iter()
            .any(|name| *name == whole || *name == self.model)
        {
            true => Ok(()),
            false => Err(ProviderError::UnknownModel(format!(
                "it has no `{}` (get it with `ollama pull {}`); it has {}",
                self.model,
                self.model,
                listed(&known)
            ))),
        }
    }
}
