//! The sections that several programs share.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use url::Url;

use super::Secret;
use crate::film::Mistake;

/// Section `[broker]`: where RabbitMQ is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerSettings {
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://` for TLS.
    pub url: Secret,
}

impl BrokerSettings {
    /// What is wrong with them. Shows nothing of the URL.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let problem = match Url::parse(self.url.expose()) {
            Ok(url) if matches!(url.scheme(), "amqp" | "amqps") && url.has_host() => {
                return Vec::new();
            }
            Ok(_) => "it must be written as amqp://USER:PASSWORD@HOST:PORT/VHOST".to_owned(),
            Err(error) => {
                format!("{error}; it is written as amqp://USER:PASSWORD@HOST:PORT/VHOST")
            }
        };
        vec![Mistake::new("broker.url", problem)]
    }
}

/// Section `[artifacts]`: where the files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactSettings {
    /// What [`ArtifactStore::open`](crate::artifacts::ArtifactStore::open) takes.
    pub url: String,
}

/// Section `[log]`: what is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// Levels, as `info,coordinator=debug`.
    pub filter: String,
}

impl LogSettings {
    /// What is wrong with them.
    pub fn mistakes(&self) -> Vec<Mistake> {
        match EnvFilter::builder().parse(&self.filter) {
            Ok(_) => Vec::new(),
            Err(error) => {
                let problem = format!("{error}; write it as in info,coordinator=debug");
                vec![Mistake::new("log.filter", problem)]
            }
        }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is no log format; choose human or json")),
        }
    }
}
