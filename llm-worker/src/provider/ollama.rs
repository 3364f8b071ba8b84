//! Ollama, by its own API: the one that takes a context length and refuses what does not fit it.

use serde_json::{Value, json};

use super::error::speaks_of_memory;
use super::openai::listed;
use super::reply::shown;
use super::{Ask, Call, Finish, Framing, Heard, Provider, ProviderError, Reply, Turn};

/// A model at Ollama.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ollama {
    /// The model's name there.
    pub model: String,
    /// Length of the context. The same in every request: another one loads the model anew.
    pub context: u32,
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
        let mut messages = vec![json!({"role": "system", "content": ask.system})];
        messages.extend(ask.turns.iter().map(|turn| {
            let role = match turn {
                Turn::User(_) => "user",
                Turn::Model(_) => "assistant",
            };
            json!({"role": role, "content": turn.text()})
        }));
        // Without the two `false` a prompt that is too long is cut in silence.
        let body = json!({
            "model": self.model,
            "messages": messages,
            "stream": true,
            "format": ask.schema.json,
            "truncate": false,
            "shift": false,
            "options": {
                "num_ctx": self.context,
                "num_predict": ask.max_tokens,
                "temperature": ask.temperature,
                "seed": ask.seed,
            },
        });
        Call::post("/api/chat", body)
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
