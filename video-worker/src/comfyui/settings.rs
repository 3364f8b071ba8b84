//! Section `[comfyui]`: the server to render on.

use std::time::Duration;

use serde::Deserialize;
use shared::film::Mistake;
use shared::time::millis;

use super::client::Client;

/// Section `[comfyui]`. A worker has one server at most: several cards have a worker and a server each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ComfyUiSettings {
    /// Where the server is; empty: there is none.
    #[serde(default)]
    pub url: String,
    /// How long a render waits for a server that is away.
    #[serde(
        default = "defaults::patience",
        rename = "patience_ms",
        with = "millis"
    )]
    pub patience: Duration,
    /// The command that starts the server anew, program and arguments; empty: it is not this worker's to start.
    #[serde(default)]
    pub restart: Vec<String>,
}

mod defaults {
    use std::time::Duration;

    pub(super) const fn patience() -> Duration {
        Duration::from_secs(120)
    }
}

impl Default for ComfyUiSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            patience: defaults::patience(),
            restart: Vec::new(),
        }
    }
}

impl ComfyUiSettings {
    /// Whether there is a server.
    pub fn is_set(&self) -> bool {
        !self.url.is_empty()
    }

    /// What is wrong with them.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        if self.is_set()
            && let Err(error) = Client::new(&self.url)
        {
            found.push(Mistake::new("comfyui.url", error.to_string()));
        }
        if self
            .restart
            .first()
            .is_some_and(|program| program.trim().is_empty())
        {
            found.push(Mistake::new(
                "comfyui.restart",
                "give a program and its arguments, as [\"systemctl\", \"--user\", \"restart\", \"comfyui\"]",
            ));
        }
        found
    }
}
