//! How servers are told to load and unload, and how they list what is loaded: each in its own words.

use serde_json::{Value, json};

use crate::double::MODEL;
use crate::kind::Kind;
use crate::models::{Instance, Models};

/// The context of a model that is loaded because somebody asks it, with no word of a context.
const USUAL_CONTEXT: u32 = 4_096;

/// The list of what is loaded, if that path asks for it.
pub(crate) fn listed(kind: Kind, path: &str, models: &Models) -> Option<(u16, Value)> {
    let loaded = models.loaded();
    let of = |key: &str| -> Vec<&Instance> {
        loaded.instances.iter().filter(|it| it.key == key).collect()
    };
    let body = match (kind, path) {
        (Kind::Ollama, "/api/ps") => {
            let ready = loaded.instances.iter().filter(|it| it.ready);
            let size = models.behaviour().size.as_bytes();
            let model = |it: &Instance| {
                json!({
                    "name": it.id, "model": it.id, "size": size, "size_vram": it.on_card.as_bytes(),
                    "context_length": it.context, "expires_at": "2026-11-01T12:00:00Z",
                })
            };
            json!({"models": ready.map(model).collect::<Vec<_>>()})
        }
        (Kind::LmStudio, "/api/v1/models") => {
            let model = |key: &str| {
                let of_it = of(key);
                let ready = of_it.iter().filter(|it| it.ready);
                let instances = ready.map(|it| {
                    json!({"id": it.id, "config": {"context_length": it.context, "parallel": 4}})
                });
                json!({
                    "type": "llm", "key": key, "size_bytes": 1, "max_context_length": 131_072,
                    "loaded_instances": instances.collect::<Vec<_>>(),
                })
            };
            json!({"models": [model(MODEL), model("other")]})
        }
        (Kind::Router, "/models" | "/v1/models") => {
            let model = |key: &str| {
                let status = match of(key).first() {
                    Some(it) if it.ready => json!({"value": "loaded", "args": []}),
                    Some(_) => json!({"value": "loading", "args": []}),
                    None if loaded.failed.iter().any(|failed| failed == key) => {
                        json!({"value": "unloaded", "failed": true, "exit_code": 1})
                    }
                    None => json!({"value": "unloaded"}),
                };
                let mut model = json!({"id": key, "object": "model", "status": status});
                if let Some(it) = of(key).first().filter(|it| it.ready) {
                    model["meta"] = json!({"n_ctx": it.context, "n_ctx_train": 131_072});
                }
                model
            };
            json!({"object": "list", "data": [model(MODEL), model("other")]})
        }
        _ => return None,
    };
    Some((200, body))
}

/// What comes of a request to load or unload, if that path is one.
pub(crate) async fn told(
    kind: Kind,
    path: &str,
    body: &Value,
    models: &Models,
) -> Option<(u16, Value)> {
    let model = body["model"].as_str().unwrap_or_default();
    let is_there = |key: &str| models.loaded().instances.iter().any(|it| it.key == key);
    match (kind, path) {
        (Kind::Ollama, "/api/generate") => Some(ollama(model, body, models).await),
        (Kind::LmStudio, "/api/v1/models/load") => {
            let context = context(&body["context_length"]);
            Some(match models.load(model, context).await {
                Ok(id) => (
                    200,
                    json!({"type": "llm", "instance_id": id, "status": "loaded", "load_time_seconds": 0.1}),
                ),
                Err(_) => (
                    500,
                    json!({"error": {"type": "model_load_failed", "message": "Error loading model. (Exit code: SIGABRT)"}}),
                ),
            })
        }
        (Kind::LmStudio, "/api/v1/models/unload") => {
            let id = body["instance_id"].as_str().unwrap_or_default();
            Some(match models.unload(id) {
                true => (200, json!({ "instance_id": id })),
                false => (
                    404,
                    json!({"error": {"type": "model_not_found", "message": format!("no instance {id}")}}),
                ),
            })
        }
        (Kind::Router, "/models/load") if ![MODEL, "other"].contains(&model) => {
            Some(kind.wrong_path())
        }
        (Kind::Router, "/models/load") if is_there(model) => {
            Some(refused("model is already running"))
        }
        (Kind::Router, "/models/load") => {
            // Its context stands in its command line.
            models.load_later(model, 8_192);
            Some((200, json!({"success": true})))
        }
        (Kind::Router, "/models/unload") => Some(match models.unload(model) {
            true => (200, json!({"success": true})),
            false => refused("model is not running"),
        }),
        _ => None,
    }
}

/// A chat with a model that is not loaded loads it.
pub(crate) async fn load_for_chat(kind: Kind, body: &Value, models: &Models) -> Result<(), ()> {
    let model = match kind {
        Kind::Ollama => tagged(body["model"].as_str().unwrap_or_default()),
        Kind::LmStudio | Kind::Router => body["model"].as_str().unwrap_or_default().to_owned(),
        Kind::LlamaServer | Kind::Vllm | Kind::Gemini => return Ok(()),
    };
    let context = match kind {
        Kind::Ollama => context(&body["options"]["num_ctx"]),
        Kind::Router => 8_192,
        _ => USUAL_CONTEXT,
    };
    let loaded = models.loaded();
    let mut of_it = loaded.instances.iter().filter(|it| it.key == model);
    match of_it.next() {
        // Another context loads it anew.
        Some(it) if kind == Kind::Ollama && it.context != context => {
            models.unload(&it.id);
            let id = it.id.clone();
            models
                .until(|now| now.instances.iter().all(|it| it.id != id))
                .await;
        }
        Some(it) if it.ready => return Ok(()),
        // LM Studio begins once more while it loads; the others wait.
        Some(it) if kind != Kind::LmStudio => {
            let id = it.id.clone();
            let is_done = |now: &crate::models::Loaded| {
                now.instances.iter().all(|it| it.id != id || it.ready)
            };
            models.until(is_done).await;
            return Ok(());
        }
        _ => {}
    }
    models.load(&model, context).await.map(drop).map_err(drop)
}

async fn ollama(model: &str, body: &Value, models: &Models) -> (u16, Value) {
    let model = tagged(model);
    if model != tagged(MODEL) {
        return (404, json!({"error": format!("model '{model}' not found")}));
    }
    let done =
        |reason: &str| json!({"model": model, "response": "", "done": true, "done_reason": reason});
    if body["keep_alive"] == 0 {
        models.unload(&model);
        return (200, done("unload"));
    }
    let asked = json!({"model": model, "options": body["options"]});
    match load_for_chat(Kind::Ollama, &asked, models).await {
        Ok(()) => (200, done("load")),
        Err(()) => (
            500,
            json!({"error": "llama runner process has terminated: cudaMalloc failed: out of memory"}),
        ),
    }
}

fn refused(message: &str) -> (u16, Value) {
    (
        400,
        json!({"error": {"code": 400, "message": message, "type": "invalid_request_error"}}),
    )
}

fn tagged(model: &str) -> String {
    match model.contains(':') {
        true => model.to_owned(),
        false => format!("{model}:latest"),
    }
}

fn context(value: &Value) -> u32 {
    let given = value.as_u64().and_then(|given| u32::try_from(given).ok());
    given.unwrap_or(USUAL_CONTEXT)
}
