//! Servers that speak OpenAI's chat completions: llama-server, LM Studio, vLLM, llama-swap.

use serde::Serialize;
use serde_json::{Value, json};

use super::error::speaks_of_memory;
use super::reply::shown;
use super::{Ask, Call, Finish, Framing, Heard, Provider, ProviderError, Reply, Turn};
use crate::schema::Schema;

/// A model on such a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAi {
    /// The model's name there.
    pub model: String,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Value>,
    stream: bool,
    max_tokens: u32,
    temperature: f64,
    seed: u32,
    response_format: Format<'a>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    json_schema: JsonSchema<'a>,
}

/// The schema belongs inside this: beside it, it is ignored without a word.
#[derive(Serialize)]
struct JsonSchema<'a> {
    name: &'static str,
    strict: bool,
    schema: &'a Schema,
}

/// The conversation, as this API and Ollama's want it.
pub(super) fn messages(ask: &Ask) -> Vec<Value> {
    let system = json!({"role": "system", "content": ask.system});
    let turns = ask.turns.iter().map(|turn| {
        let role = match turn {
            Turn::User(_) => "user",
            Turn::Model(_) => "assistant",
        };
        json!({"role": role, "content": turn.text()})
    });
    std::iter::once(system).chain(turns).collect()
}

/// The probes, in this order.
const MODELS: usize = 0;
const GUARDED: usize = 1;

#[expect(
    clippy::match_same_arms,
    reason = "each status is told apart for its own reason"
)]
impl Provider for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn framing(&self) -> Framing {
        Framing::Events
    }

    fn api_root(&self) -> &'static str {
        "/v1"
    }

    fn chat(&self, ask: &Ask) -> Call {
        let body = Body {
            model: &self.model,
            messages: messages(ask),
            stream: true,
            max_tokens: ask.max_tokens,
            temperature: ask.temperature,
            seed: ask.seed,
            response_format: Format {
                kind: "json_schema",
                json_schema: JsonSchema {
                    name: ask.name,
                    strict: true,
                    schema: &ask.schema,
                },
            },
        };
        Call::post("/v1/chat/completions", &body)
    }

    fn read(&self, piece: &str, heard: &mut Heard) -> Result<(), ProviderError> {
        if piece.trim() == "[DONE]" {
            heard.closed = true;
            return Ok(());
        }
        let Ok(event) = serde_json::from_str::<Value>(piece) else {
            return Err(ProviderError::Incomplete(format!(
                "it said \"{}\" in the midst of it",
                shown(piece)
            )));
        };
        if !event["error"].is_null() {
            return Err(self.refusal(&Reply {
                status: event["error"]["code"]
                    .as_u64()
                    .and_then(|code| u16::try_from(code).ok())
                    .unwrap_or(500),
                body: piece.to_owned(),
                retry_after: None,
            }));
        }
        // The chunk with the usage has no choice in it.
        let choice = &event["choices"][0];
        let delta = &choice["delta"];
        heard.add(delta["content"].as_str().unwrap_or_default())?;
        let thought = ["reasoning_content", "reasoning"]
            .iter()
            .any(|field| delta[*field].as_str().is_some_and(|text| !text.is_empty()));
        if thought {
            heard.thought();
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            heard.finish = Some(match reason {
                "stop" => Finish::Stop,
                "length" => Finish::Length,
                "content_filter" => Finish::Blocked(reason.to_owned()),
                other => Finish::Other(other.to_owned()),
            });
        }
        Ok(())
    }

    fn refusal(&self, reply: &Reply) -> ProviderError {
        let message = reply.message();
        let json = reply.json().unwrap_or_default();
        let kind = json["error"]["type"].as_str().unwrap_or_default();
        let said = message.to_lowercase();
        let of_model = said.contains("model");
        match reply.status {
            401 | 403 => ProviderError::Unauthorized(message),
            _ if speaks_of_memory(&message) => ProviderError::OutOfMemory(message),
            404 if of_model => ProviderError::UnknownModel(message),
            404 | 405 => ProviderError::WrongServer(message),
            400 if kind == "exceed_context_size_error" || said.contains("context length") => {
                ProviderError::TooLong(message)
            }
            400 if of_model && said.contains("not found") => ProviderError::UnknownModel(message),
            400 if of_model && said.contains("not loaded") => ProviderError::Loading(message),
            400 | 413 | 422 => ProviderError::BadRequest(message),
            429 => ProviderError::Busy {
                message,
                retry_after: reply.retry_after,
            },
            503 if said.contains("loading") => ProviderError::Loading(message),
            503 => ProviderError::Busy {
                message,
                retry_after: reply.retry_after,
            },
            500..=599 => ProviderError::Failed(message),
            // A 200 that is no stream: the wrong path, on a server that answers 200 to every path.
            _ => ProviderError::WrongServer(message),
        }
    }

    fn probes(&self) -> Vec<Call> {
        // The list is open even on servers that want a key for everything else; `/props` is guarded like the rest, and leaves
        // a sleeping model asleep. A vLLM that sleeps can break when it is asked to generate, so it is asked for that first.
        ["/v1/models", "/props", "/is_sleeping"]
            .map(Call::get)
            .to_vec()
    }

    fn judge(&self, probe: usize, reply: &Reply) -> Result<(), ProviderError> {
        match probe {
            MODELS => self.is_listed(reply),
            GUARDED if matches!(reply.status, 401 | 403) => Err(self.refusal(reply)),
            GUARDED => Ok(()),
            _ if reply.json().unwrap_or_default()["is_sleeping"] == true => {
                Err(ProviderError::Asleep)
            }
            _ => Ok(()),
        }
    }
}

impl OpenAi {
    /// Whether a server has the model. Whether it is loaded cannot be told from its list.
    fn is_listed(&self, reply: &Reply) -> Result<(), ProviderError> {
        if !reply.is_success() {
            return Err(self.refusal(reply));
        }
        let json = reply.json().unwrap_or_default();
        let Some(models) = json["data"].as_array() else {
            let problem = format!("it has no list of models; {}", reply.message());
            return Err(ProviderError::WrongServer(problem));
        };
        let known: Vec<&str> = models
            .iter()
            .filter_map(|model| model["id"].as_str())
            .collect();
        match known.contains(&self.model.as_str()) {
            true => Ok(()),
            false => Err(ProviderError::UnknownModel(format!(
                "it has no `{}`; it has {}",
                self.model,
                listed(&known)
            ))),
        }
    }
}

/// Names in one line.
pub(super) fn listed(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        _ => shown(&names.join(", ")),
    }
}
