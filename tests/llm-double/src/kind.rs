//! The kinds of servers, and the forms in which each of them answers.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::double::MODEL;

/// A kind of server. Those that speak the same API differ in their traps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// llama-server with one model, which it has from its start to its end.
    LlamaServer,
    /// llama-server as a router over several.
    Router,
    /// LM Studio.
    LmStudio,
    /// vLLM.
    Vllm,
    /// Ollama.
    Ollama,
    /// The Gemini API.
    Gemini,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::LlamaServer,
        Self::Router,
        Self::LmStudio,
        Self::Vllm,
        Self::Ollama,
        Self::Gemini,
    ];

    /// Those that load and unload models when they are told to.
    pub const MANAGED: [Self; 3] = [Self::Router, Self::LmStudio, Self::Ollama];

    /// The header that carries the key, and what stands before the key there.
    pub const fn key_header(self) -> (&'static str, &'static str) {
        match self {
            Self::Gemini => ("x-goog-api-key", ""),
            _ => ("authorization", "Bearer "),
        }
    }

    /// Paths that need no key although the others do.
    pub fn is_open(self, path: &str) -> bool {
        matches!(self, Self::LlamaServer | Self::Router)
            && matches!(path, "/health" | "/v1/models" | "/models")
    }

    /// What it answers without the right key.
    pub fn no_key(self) -> (u16, Value) {
        match self {
            Self::Gemini => {
                let details = json!([{"reason": "API_KEY_INVALID"}]);
                let error = json!({"code": 400, "status": "INVALID_ARGUMENT", "message": "API key not valid. Please pass a valid API key.", "details": details});
                (400, json!({ "error": error }))
            }
            _ => {
                let error = json!({"message": "Invalid API Key", "type": "authentication_error", "code": 401});
                (401, json!({ "error": error }))
            }
        }
    }

    /// Whether that path asks for an answer of the model.
    pub fn is_chat(self, path: &str) -> bool {
        match self {
            Self::Ollama => path == "/api/chat",
            Self::Gemini => path == format!("/v1beta/models/{MODEL}:streamGenerateContent"),
            _ => path == "/v1/chat/completions",
        }
    }

    /// What it answers to a `GET` that is not about loaded models.
    pub fn probe(self, path: &str) -> (u16, Value) {
        match (self, path) {
            (Self::Ollama, "/api/tags") => (
                200,
                json!({"models": [{"name": format!("{MODEL}:latest")}]}),
            ),
            (Self::Gemini, "/v1beta/models/story") => (200, json!({"name": "models/story"})),
            (Self::Gemini, _) => (
                404,
                json!({"error": {"code": 404, "status": "NOT_FOUND", "message": "models/nope is not found"}}),
            ),
            (Self::LlamaServer | Self::Router | Self::LmStudio | Self::Vllm, "/v1/models") => (
                200,
                json!({"object": "list", "data": [{"id": MODEL}, {"id": "other"}]}),
            ),
            (Self::LlamaServer, "/props") => (200, json!({"is_sleeping": false})),
            // With a model's name it would load that.
            (Self::Router, "/props") => (
                200,
                json!({"role": "router", "max_instances": 4, "models_autoload": true}),
            ),
            (Self::Vllm, "/is_sleeping") => (200, json!({"is_sleeping": false})),
            _ => self.wrong_path(),
        }
    }

    /// What it answers to a path that it does not know.
    pub fn wrong_path(self) -> (u16, Value) {
        match self {
            // It logs an error and answers 200.
            Self::LmStudio => (
                200,
                json!({"error": "Unexpected endpoint or method. (POST /x)"}),
            ),
            Self::LlamaServer | Self::Router => (
                404,
                json!({"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}),
            ),
            Self::Vllm => (404, json!({"detail": "Not Found"})),
            Self::Ollama => (404, json!("404 page not found")),
            Self::Gemini => (404, json!("<html>404</html>")),
        }
    }

    /// What it answers about a model that it does not have.
    pub fn unknown_model(self) -> (u16, Value) {
        match self {
            Self::LlamaServer | Self::Router => (
                400,
                json!({"error": {"code": 400, "message": "model 'nope' not found", "type": "invalid_request_error"}}),
            ),
            Self::LmStudio => (
                404,
                json!({"error": {"message": "No models loaded. Please load a model in the developer page.", "code": "model_not_found"}}),
            ),
            Self::Vllm => (
                404,
                json!({"error": {"message": "The model `nope` does not exist.", "type": "NotFoundError", "code": 404}}),
            ),
            Self::Ollama => (404, json!({"error": "model 'nope' not found"})),
            Self::Gemini => (
                404,
                json!({"error": {"code": 404, "status": "NOT_FOUND", "message": "models/nope is not found"}}),
            ),
        }
    }

    /// What it answers when it has too much to do.
    pub fn busy(self) -> (u16, Value) {
        match self {
            Self::LlamaServer | Self::Router | Self::LmStudio | Self::Vllm => (
                429,
                json!({"error": {"message": "too many requests", "type": "rate_limit_exceeded", "src": "llama-swap"}}),
            ),
            Self::Ollama => (
                503,
                json!({"error": "server busy, please try again.  maximum pending requests exceeded"}),
            ),
            Self::Gemini => (
                503,
                json!({"error": {"code": 503, "status": "UNAVAILABLE", "message": "The model is overloaded."}}),
            ),
        }
    }

    /// What it answers to a prompt that is too long, where it says so.
    pub fn too_long(self) -> Option<(u16, Value)> {
        match self {
            Self::LlamaServer | Self::Router => Some((
                400,
                json!({"error": {"code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size_error", "n_prompt_tokens": 20020, "n_ctx": 8192}}),
            )),
            Self::Ollama => Some((
                400,
                json!({"error": "the input length exceeds the context length"}),
            )),
            Self::Vllm => Some((
                400,
                json!({"error": {"message": "This model's maximum context length is 8192 tokens.", "type": "BadRequestError", "code": 400}}),
            )),
            Self::LmStudio | Self::Gemini => None,
        }
    }

    /// The content type of its streams.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Ollama => "application/x-ndjson",
            Self::Vllm => "text/event-stream; charset=utf-8",
            _ => "text/event-stream",
        }
    }

    /// Its word for an answer that is whole.
    pub const fn stop(self) -> &'static str {
        match self {
            Self::Gemini => "STOP",
            _ => "stop",
        }
    }

    /// Its word for an answer that is cut.
    pub const fn length(self) -> &'static str {
        match self {
            Self::Gemini => "MAX_TOKENS",
            _ => "length",
        }
    }

    /// The first piece, without any text.
    pub fn begin(self) -> String {
        match self {
            Self::Ollama => {
                line(&json!({"message": {"role": "assistant", "content": ""}, "done": false}))
            }
            Self::Gemini => self.piece(""),
            _ => event(
                &json!({"choices": [{"finish_reason": null, "index": 0, "delta": {"role": "assistant", "content": null}}]}),
            ),
        }
    }

    /// A piece of an answer.
    pub fn piece(self, text: &str) -> String {
        match self {
            Self::Ollama => line(
                &json!({"model": MODEL, "message": {"role": "assistant", "content": text}, "done": false}),
            ),
            Self::Gemini => event(
                &json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}]}),
            ),
            _ => event(
                &json!({"choices": [{"finish_reason": null, "index": 0, "delta": {"content": text}}]}),
            ),
        }
    }

    /// The pieces that end a stream.
    pub fn end(self, reason: &str) -> Vec<String> {
        match self {
            Self::Ollama => {
                vec![line(
                    &json!({"message": {"role": "assistant", "content": ""}, "done": true, "done_reason": reason, "eval_count": 9}),
                )]
            }
            Self::Gemini => vec![event(
                &json!({"candidates": [{"finishReason": reason, "index": 0}], "usageMetadata": {"candidatesTokenCount": 9}}),
            )],
            _ => vec![
                event(
                    &json!({"choices": [{"finish_reason": reason, "index": 0, "delta": {}}], "timings": {}}),
                ),
                event(&json!({"choices": [], "usage": {"completion_tokens": 9}})),
                "data: [DONE]\n\n".to_owned(),
            ],
        }
    }

    /// An error in mid-stream, under status 200.
    pub fn error_within(self, message: &str) -> String {
        match self {
            Self::Ollama => line(&json!({ "error": message })),
            Self::Gemini => {
                event(&json!({"error": {"code": 500, "status": "INTERNAL", "message": message}}))
            }
            _ => {
                event(&json!({"error": {"code": 500, "message": message, "type": "server_error"}}))
            }
        }
    }

    /// Where the schema, the limit and the wish for a stream stand in a request.
    pub fn asked_for(self, path: &str, body: &Value) -> (Value, Value, bool) {
        match self {
            Self::Ollama => (
                body["format"].clone(),
                body["options"]["num_predict"].clone(),
                body["stream"] == true,
            ),
            Self::Gemini => {
                let config = &body["generationConfig"];
                (
                    config["responseJsonSchema"].clone(),
                    config["maxOutputTokens"].clone(),
                    path.ends_with(":streamGenerateContent?alt=sse"),
                )
            }
            _ => (
                body["response_format"]["json_schema"]["schema"].clone(),
                body["max_tokens"].clone(),
                body["stream"] == true,
            ),
        }
    }
}

fn line(json: &Value) -> String {
    format!("{json}\n")
}

/// A piece of a stream of events.
pub fn event(json: &Value) -> String {
    format!("data: {json}\r\n\r\n")
}
