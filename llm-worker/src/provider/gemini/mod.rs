//! The Gemini API, by `streamGenerateContent`.

mod refusal;

use serde::Serialize;
use serde_json::{Value, json};

use super::reply::shown;
use super::{Ask, Call, Finish, Framing, Heard, Provider, ProviderError, Reply, Turn};
use crate::schema::Schema;

/// A model of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gemini {
    /// The model's name. Names are retired within a year or two.
    pub model: String,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "systemInstruction")]
    system: Value,
    contents: Vec<Value>,
    #[serde(rename = "generationConfig")]
    config: Config<'a>,
}

#[derive(Serialize)]
struct Config<'a> {
    #[serde(rename = "responseMimeType")]
    mime_type: &'static str,
    #[serde(rename = "responseJsonSchema")]
    schema: &'a Schema,
    #[serde(rename = "maxOutputTokens")]
    max_tokens: u32,
    temperature: f64,
    seed: u32,
    #[serde(rename = "thinkingConfig")]
    thinking: Value,
}

impl Provider for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn framing(&self) -> Framing {
        Framing::Events
    }

    // Never in the URL, as URLs get logged.
    fn key_header(&self) -> (&'static str, &'static str) {
        ("x-goog-api-key", "")
    }

    fn api_root(&self) -> &'static str {
        "/v1beta"
    }

    fn chat(&self, ask: &Ask) -> Call {
        let contents: Vec<Value> = ask
            .turns
            .iter()
            .map(|turn| {
                let role = match turn {
                    Turn::User(_) => "user",
                    Turn::Model(_) => "model",
                };
                json!({"role": role, "parts": [{"text": turn.text()}]})
            })
            .collect();
        let body = Body {
            system: json!({"parts": [{"text": ask.system}]}),
            contents,
            config: Config {
                mime_type: "application/json",
                schema: &ask.schema,
                // Thinking counts against the limit, so there is little of it, and room for it.
                max_tokens: ask.max_tokens + THINKING,
                temperature: ask.temperature,
                seed: ask.seed,
                thinking: json!({"thinkingLevel": "low"}),
            },
        };
        let path = format!(
            "/v1beta/models/{}:streamGenerateContent?alt=sse",
            self.model
        );
        Call::post(path, &body)
    }

    fn read(&self, piece: &str, heard: &mut Heard) -> Result<(), ProviderError> {
        let Ok(event) = serde_json::from_str::<Value>(piece) else {
            return Err(ProviderError::Incomplete(format!(
                "it said \"{}\" in the midst of it",
                shown(piece)
            )));
        };
        if !event["error"].is_null() {
            let code = event["error"]["code"].as_u64();
            return Err(self.refusal(&Reply {
                status: code
                    .and_then(|code| u16::try_from(code).ok())
                    .unwrap_or(500),
                body: piece.to_owned(),
                retry_after: None,
            }));
        }
        if let Some(reason) = event["promptFeedback"]["blockReason"].as_str() {
            heard.finish = Some(Finish::Blocked(format!("prompt: {reason}")));
            heard.closed = true;
            return Ok(());
        }
        let candidate = &event["candidates"][0];
        for part in candidate["content"]["parts"]
            .as_array()
            .into_iter()
            .flatten()
        {
            match part["thought"] == true {
                true => heard.thought(),
                false => heard.add(part["text"].as_str().unwrap_or_default())?,
            }
        }
        if let Some(reason) = candidate["finishReason"].as_str() {
            heard.finish = Some(finish(reason));
            // There is no other mark of the end.
            heard.closed = true;
        }
        Ok(())
    }

    fn refusal(&self, reply: &Reply) -> ProviderError {
        refusal::refusal(reply)
    }

    fn probes(&self) -> Vec<Call> {
        vec![Call::get(format!("/v1beta/models/{}", self.model))]
    }

    fn judge(&self, _probe: usize, reply: &Reply) -> Result<(), ProviderError> {
        match reply.is_success() && reply.json().unwrap_or_default()["name"].is_string() {
            true => Ok(()),
            false => Err(self.refusal(reply)),
        }
    }
}

/// Tokens for thoughts.
const THINKING: u32 = 2_048;

fn finish(reason: &str) -> Finish {
    match reason {
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII"
        | "OTHER" => Finish::Blocked(format!("answer: {reason}")),
        other => Finish::Other(other.to_owned()),
    }
}
