//! What a model is asked.

use crate::schema::Schema;

/// One request to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Who the model is to be.
    pub system: String,
    /// What was said so far; the last turn is the user's.
    pub turns: Vec<Turn>,
    /// A word for what is asked; servers want one with a schema.
    pub name: &'static str,
    /// What the answer must look like.
    pub schema: Schema,
    /// Most tokens of the answer. Always sent: without it some servers write until the context is full.
    pub max_tokens: u32,
    /// How free the model is in its choice of words.
    pub temperature: f64,
    /// Seed of that choice.
    pub seed: u32,
    /// Processor threads to keep to; absent: as many as the server likes. Only Ollama can be told.
    pub threads: Option<u32>,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Ours.
    User(String),
    /// The model's own.
    Model(String),
}

impl Turn {
    /// The text.
    pub fn text(&self) -> &str {
        match self {
            Self::User(text) | Self::Model(text) => text,
        }
    }
}
