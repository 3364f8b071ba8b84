//! What the backend needs of a workflow.

use std::fmt;

use serde_json::{Map, Value};
use shared::film::Size;
use shared::job::Payload;
use shared::profile::Profile;

use super::graph::Graph;
use crate::content_check::Expected;

/// A known graph that takes a job's parameters. No graph ever comes out of a message.
pub trait Template: fmt::Debug + Send + Sync + 'static {
    /// The profile that it offers.
    fn profile(&self) -> Profile;

    /// The sorts of node that it needs.
    fn classes(&self) -> Vec<String>;

    /// What that server lacks for it, by its answers about those sorts of node; for people.
    fn missing(&self, object_info: &Map<String, Value>) -> Vec<String>;

    /// Puts a job's parameters into the graph. The files that it saves are to begin with `prefix`; `start_image` is what the server
    /// calls the keyframe of a scene.
    ///
    /// # Errors
    /// Why such a job cannot be made with it, ever; for people.
    fn fill(
        &self,
        payload: &Payload,
        prefix: &str,
        start_image: Option<&str>,
    ) -> Result<Filled, String>;
}

/// A graph to send, and what to expect of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    /// The graph.
    pub graph: Graph,
    /// What its file should be.
    pub expects: Expects,
    /// Everything that is not as it was asked for.
    pub notes: Vec<String>,
}

/// What a file should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expects {
    /// An image of that size.
    Still(Size),
    /// A clip.
    Clip {
        /// As the server makes it.
        made: Expected,
        /// As the scene asked for it.
        wanted: Expected,
    },
}

impl Expects {
    /// A clip that the server makes as it was asked for.
    pub const fn clip(made: Expected) -> Self {
        Self::Clip { made, wanted: made }
    }
}
