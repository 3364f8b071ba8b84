//! Ollama's models. A request with nothing to say loads; the same with a time to stay of nothing unloads.

use serde_json::json;
use shared::byte_size::ByteSize;

use super::{Held, HeldState, Lifecycle, Wanted, list_of, number, text};
use crate::provider::{Call, KEEP_ALIVE, Ollama, Provider as _, ProviderError, Reply, options};

/// The models at Ollama.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OllamaModels;

impl Lifecycle for OllamaModels {
    fn name(&self) -> &'static str {
        "Ollama"
    }

    fn program(&self) -> &'static str {
        "ollama"
    }

    fn list(&self) -> Call {
        Call::get("/api/ps")
    }

    fn held(&self, reply: &Reply) -> Result<Vec<Held>, ProviderError> {
        let models = list_of(reply, "models")?;
        let held = models.iter().map(|model| {
            let bytes = |name: &str| model[name].as_u64().map(ByteSize::bytes);
            Held {
                model: text(&model["name"]),
                instance: text(&model["name"]),
                state: HeldState::Ready,
                context: number(&model["context_length"]),
                memory: bytes("size").zip(bytes("size_vram")),
            }
        });
        Ok(held.collect())
    }

    // A name without a tag means `latest`.
    fn is(&self, held: &Held, model: &str) -> bool {
        held.model == model || held.model.strip_suffix(":latest") == Some(model)
    }

    fn tells_memory(&self) -> bool {
        true
    }

    // With the options of every later request: with others it would be loaded anew.
    fn load(&self, wanted: &Wanted) -> Call {
        let body = json!({
            "model": wanted.model,
            "keep_alive": KEEP_ALIVE,
            "stream": false,
            "options": options(wanted.context, wanted.on_processor),
        });
        Call::post("/api/generate", &body)
    }

    fn judge_load(&self, reply: &Reply) -> Result<(), ProviderError> {
        answered(reply)
    }

    fn unload(&self, held: &Held) -> Call {
        let body = json!({"model": held.instance, "keep_alive": 0, "stream": false});
        Call::post("/api/generate", &body)
    }

    fn judge_unload(&self, reply: &Reply) -> Result<(), ProviderError> {
        answered(reply)
    }
}

fn answered(reply: &Reply) -> Result<(), ProviderError> {
    if reply.is_success() && reply.json().unwrap_or_default()["done"] == true {
        return Ok(());
    }
    let provider = Ollama {
        model: String::new(),
        context: 0,
        on_processor: false,
    };
    Err(provider.refusal(reply))
}
