//! Servers that run language models, behind one trait. What each of them wants to be sent and how it answers is told by
//! pure functions ([`Provider`]); one adapter, [`Server`], carries the bytes for all of them.
//!
//! Every answer is streamed, bounded in tokens and time, and counts only with its final reason. What the text says is judged
//! elsewhere.

mod answer;
mod ask;
mod error;
mod framing;
mod gemini;
mod key;
mod ollama;
mod openai;
mod reply;
mod server;

pub use self::answer::{Answer, Finish, Heard};
pub use self::ask::{Ask, Turn};
pub(crate) use self::error::speaks_of_memory;
pub use self::error::{ProviderError, Quota};
pub use self::framing::Framing;
pub use self::gemini::Gemini;
pub use self::key::Key;
pub use self::ollama::Ollama;
pub(crate) use self::ollama::{KEEP_ALIVE, options};
pub use self::openai::OpenAi;
pub use self::reply::{Call, Reply};
pub use self::server::{Limit, Server, SetUpError};

use std::fmt;

/// What one kind of server wants to be sent, and what its answers mean. Nothing here does I/O.
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// The name that settings and reports use.
    fn name(&self) -> &'static str;

    /// How a stream of it is cut into pieces.
    fn framing(&self) -> Framing;

    /// The header that carries a key, and what stands before the key there.
    fn key_header(&self) -> (&'static str, &'static str) {
        ("authorization", "Bearer ")
    }

    /// The path of its API that users like to give with the URL, and that is cut off again.
    fn api_root(&self) -> &'static str;

    /// The request for a streamed answer.
    fn chat(&self, ask: &Ask) -> Call;

    /// Takes in one piece of a stream.
    ///
    /// # Errors
    /// If the piece is an error, or nothing that this server would say.
    fn read(&self, piece: &str, heard: &mut Heard) -> Result<(), ProviderError>;

    /// What an answer means that is no stream.
    fn refusal(&self, reply: &Reply) -> ProviderError;

    /// What is asked to see whether it can work, cheap and without loading or waking a model.
    fn probes(&self) -> Vec<Call>;

    /// What the answer to the probe of that number says.
    ///
    /// # Errors
    /// Why no job should be taken now.
    fn judge(&self, probe: usize, reply: &Reply) -> Result<(), ProviderError>;
}
