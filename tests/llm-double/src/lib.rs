//! Servers of language models that answer as the real ones were seen to, with their traps.
//!
//! A [`Double`] is one of the [`Kind`]s: llama-server with one model or as a router, LM Studio, vLLM, Ollama, the Gemini API. What
//! it answers to a chat is told to it chat by chat ([`Act`]), misbehaviour included; how its models come and go is its
//! [`Behaviour`]. In a process of its own ([`process`]) it holds their memory on a simulated card, and makes its answers up.

#![expect(
    clippy::unwrap_used,
    reason = "a double that does not work fails its test"
)]

mod api;
mod author;
mod double;
mod kind;
mod models;
pub mod process;

pub use double::{Act, Asked, Double, KEY, MODEL, good};
pub use kind::{Kind, event};
pub use models::{Behaviour, Instance, Loaded, Models, NoRoom};
