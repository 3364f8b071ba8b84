//! LM Studio, by its own API (0.4.0 and newer): the OpenAI-like one can neither load nor unload.

use serde_json::{Value, json};

use super::{Held, HeldState, Lifecycle, Wanted, list_of, number, text};
use crate::provider::{Call, OpenAi, Provider as _, ProviderError, Reply, speaks_of_memory};

/// LM Studio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LmStudio;

impl Lifecycle for LmStudio {
    fn name(&self) -> &'static str {
        "LM Studio"
    }

    fn program(&self) -> &'static str {
        "lm-studio"
    }

    fn list(&self) -> Call {
        Call::get("/api/v1/models")
    }

    fn held(&self, reply: &Reply) -> Result<Vec<Held>, ProviderError> {
        let models = list_of(reply, "models")?;
        let lists_instances = |model: &Value| model["loaded_instances"].is_array();
        if !models.iter().all(lists_instances) {
            let problem = "its list does not tell what is loaded";
            return Err(ProviderError::WrongServer(problem.to_owned()));
        }
        let instances = models.iter().flat_map(|model| {
            let instances = model["loaded_instances"].as_array();
            instances.into_iter().flatten().map(|instance| Held {
                model: text(&model["key"]),
                instance: text(&instance["id"]),
                state: HeldState::Ready,
                context: number(&instance["config"]["context_length"]),
                memory: None,
            })
        });
        Ok(instances.collect())
    }

    // What of the model goes to the card cannot be said here: that is LM Studio's own setting. Its context can.
    fn load(&self, wanted: &Wanted) -> Call {
        let body = json!({
            "model": wanted.model,
            "context_length": wanted.context,
            "offload_kv_cache_to_gpu": !wanted.on_processor,
            "echo_load_config": true,
        });
        Call::post("/api/v1/models/load", &body)
    }

    fn judge_load(&self, reply: &Reply) -> Result<(), ProviderError> {
        let json = reply.json().unwrap_or_default();
        if reply.is_success() && json["instance_id"].is_string() {
            return Ok(());
        }
        // Its engine dies where another program has filled the card, and then it says no more than this.
        let said = reply.message();
        let broke = ["model_load_failed", "SIGABRT"];
        match broke.iter().any(|sign| reply.body.contains(sign)) || speaks_of_memory(&said) {
            true => Err(ProviderError::OutOfMemory(said)),
            false => Err(refusal(reply)),
        }
    }

    fn unload(&self, held: &Held) -> Call {
        let body = json!({ "instance_id": held.instance });
        Call::post("/api/v1/models/unload", &body)
    }

    fn judge_unload(&self, reply: &Reply) -> Result<(), ProviderError> {
        // It answers 200 to a path that it does not know, too.
        match reply.is_success() && reply.json().unwrap_or_default()["instance_id"].is_string() {
            true => Ok(()),
            false => Err(refusal(reply)),
        }
    }
}

fn refusal(reply: &Reply) -> ProviderError {
    let model = String::new();
    OpenAi { model }.refusal(reply)
}
