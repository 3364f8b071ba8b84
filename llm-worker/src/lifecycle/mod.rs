//! Which models a server has in memory, and how it is told to load one or to let it go.
//!
//! What each kind of server wants to be sent for that, and what its answers mean, is told by pure functions ([`Lifecycle`]);
//! one adapter, [`ModelServer`], carries it out for all kinds. Whatever a server answers to a load or an unload, only its own
//! list of what is loaded counts, and for memory only the card.

mod lm_studio;
mod model_server;
mod ollama;
mod router;
mod tally;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;
use shared::byte_size::ByteSize;

pub use self::lm_studio::LmStudio;
pub use self::model_server::{Kept, ModelServer, Place};
pub use self::ollama::OllamaModels;
pub use self::router::Router;
use crate::provider::{Call, ProviderError, Reply};

/// What one kind of server wants to be sent to load and unload models, and what its answers mean. Nothing here does I/O.
pub trait Lifecycle: fmt::Debug + Send + Sync + 'static {
    /// The kind, for people.
    fn name(&self) -> &'static str;

    /// What its process is called, where the system tells of processes by name.
    fn program(&self) -> &'static str;

    /// The request for the list of what is loaded. It loads and wakes nothing.
    fn list(&self) -> Call;

    /// What is in memory by that list, or on its way there or from there.
    ///
    /// # Errors
    /// If that is no such list.
    fn held(&self, reply: &Reply) -> Result<Vec<Held>, ProviderError>;

    /// Whether that is the model that settings call so.
    fn is(&self, held: &Held, model: &str) -> bool {
        held.model == model || held.instance == model
    }

    /// Whether that list tells how much memory each model has.
    fn tells_memory(&self) -> bool {
        false
    }

    /// The request to load.
    fn load(&self, wanted: &Wanted) -> Call;

    /// What the answer to that means. That it was loaded already is success.
    ///
    /// # Errors
    /// Why it will not be loaded.
    fn judge_load(&self, reply: &Reply) -> Result<(), ProviderError>;

    /// The request to let it go.
    fn unload(&self, held: &Held) -> Call;

    /// What the answer to that means. That it was not loaded is success.
    ///
    /// # Errors
    /// Why it will not go.
    fn judge_unload(&self, reply: &Reply) -> Result<(), ProviderError>;
}

/// A model that is to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name at the server.
    pub model: String,
    /// Its context in tokens: no longer than the work needs, as memory goes with it.
    pub context: u32,
    /// Whether it is to run on the processor.
    pub on_processor: bool,
}

/// A model in a server's memory: one instance of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its name at the server.
    pub model: String,
    /// What unloading wants to be told; a server may hold one model several times.
    pub instance: String,
    /// How far it is.
    pub state: HeldState,
    /// Its context in tokens, where the server tells it.
    pub context: Option<u32>,
    /// Its memory, where the server tells it: all of it, and what of that is on the card.
    pub memory: Option<(ByteSize, ByteSize)>,
}

/// How far a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldState {
    /// On its way into memory.
    Loading,
    /// It can be asked.
    Ready,
    /// Its process is there and its memory is not; a request brings it back.
    Asleep,
    /// The last try to load it has failed: it is not in memory. Why, for a person.
    Failed(String),
}

impl Held {
    /// Whether it is, or comes to be, in memory.
    pub fn is_there(&self) -> bool {
        !matches!(self.state, HeldState::Failed(_))
    }
}

/// Whether an answer is that of a kind of server.
pub type Sign = fn(&Reply) -> Option<&'static dyn Lifecycle>;

/// How servers that speak OpenAI's API are told apart: what is asked, in this order, and what answers it.
pub fn recognised_by() -> [(Call, Sign); 2] {
    [
        (LmStudio.list(), |reply| {
            LmStudio.held(reply).is_ok().then_some(&LmStudio as _)
        }),
        // Without a model's name: with one, it would be loaded to answer.
        (Call::get("/props"), |reply| {
            let is_router =
                reply.is_success() && reply.json().unwrap_or_default()["role"] == "router";
            is_router.then_some(&Router as _)
        }),
    ]
}

/// The list of that name in an answer.
fn list_of(reply: &Reply, name: &str) -> Result<Vec<Value>, ProviderError> {
    match reply.json().map(|mut json| json[name].take()) {
        Some(Value::Array(list)) if reply.is_success() => Ok(list),
        _ => {
            let problem = format!("it does not list what is loaded; {}", reply.message());
            Err(ProviderError::WrongServer(problem))
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}
