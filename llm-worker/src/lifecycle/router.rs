//! llama-server as a router: each model is a process of its own.

use serde_json::{Value, json};

use super::{Held, HeldState, Lifecycle, Wanted, list_of, number, text};
use crate::provider::{Call, OpenAi, Provider as _, ProviderError, Reply};

/// llama-server as a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Router;

impl Lifecycle for Router {
    fn name(&self) -> &'static str {
        "llama-server's router"
    }

    fn program(&self) -> &'static str {
        "llama-server"
    }

    fn list(&self) -> Call {
        Call::get("/models")
    }

    fn held(&self, reply: &Reply) -> Result<Vec<Held>, ProviderError> {
        let models = list_of(reply, "data")?;
        if !models.iter().all(|it| it["status"]["value"].is_string()) {
            let problem = "its list does not tell what is loaded";
            return Err(ProviderError::WrongServer(problem.to_owned()));
        }
        let held = models.iter().filter_map(|model| {
            Some(Held {
                model: text(&model["id"]),
                instance: text(&model["id"]),
                state: state(&model["status"])?,
                context: number(&model["meta"]["n_ctx"]),
                memory: None,
            })
        });
        Ok(held.collect())
    }

    // Its context and what of it goes to the card are set where the router is started.
    fn load(&self, wanted: &Wanted) -> Call {
        Call::post("/models/load", &json!({ "model": wanted.model }))
    }

    fn judge_load(&self, reply: &Reply) -> Result<(), ProviderError> {
        already(reply, "already running")
    }

    fn unload(&self, held: &Held) -> Call {
        Call::post("/models/unload", &json!({ "model": held.instance }))
    }

    fn judge_unload(&self, reply: &Reply) -> Result<(), ProviderError> {
        already(reply, "not running")
    }
}

/// Success, or a refusal that means that it was so before.
fn already(reply: &Reply, words: &str) -> Result<(), ProviderError> {
    let done = reply.is_success() && reply.json().unwrap_or_default()["success"] == true;
    if done || (reply.status == 400 && reply.message().contains(words)) {
        return Ok(());
    }
    let provider = OpenAi {
        model: String::new(),
    };
    match provider.refusal(reply) {
        // It answers 404 to a model that it does not know, like to a path.
        ProviderError::WrongServer(said) if reply.status == 404 => {
            Err(ProviderError::UnknownModel(said))
        }
        other => Err(other),
    }
}

fn state(status: &Value) -> Option<HeldState> {
    match status["value"].as_str()? {
        "loading" => Some(HeldState::Loading),
        "loaded" => Some(HeldState::Ready),
        "sleeping" => Some(HeldState::Asleep),
        _ if status["failed"] == true => {
            let code = &status["exit_code"];
            Some(HeldState::Failed(format!(
                "its process ended with {code}; the router's log tells why"
            )))
        }
        _ => None,
    }
}
