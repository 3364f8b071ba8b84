//! The sections that several programs share.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use url::Url;

use super::Secret;
use crate::film::Mistake;
use crate::http;

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
    /// What [`ArtifactStore::connect`](crate::artifacts::ArtifactStore::connect) takes.
    pub url: String,
    /// The token of workers, where a coordinator keeps the files.
    #[serde(default)]
    pub token: Option<Secret>,
    /// Where the bucket's service is, if it is not Amazon's.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The bucket's region.
    #[serde(default = "region")]
    pub region: String,
    /// Who uses the bucket; the role of this machine if absent.
    #[serde(default)]
    pub access_key_id: Option<Secret>,
    /// The key that goes with it.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
}

/// What Amazon's kin take for a region unless they are told otherwise.
fn region() -> String {
    "us-east-1".to_owned()
}

impl ArtifactSettings {
    /// The store at that URL, without credentials.
    pub fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            token: None,
            endpoint: None,
            region: region(),
            access_key_id: None,
            secret_access_key: None,
        }
    }

    /// What is wrong with them, beside the URL, which opening the store finds. Shows nothing of a secret.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        let mut add = |key: &str, problem: String| {
            found.push(Mistake::new(format!("artifacts.{key}"), problem));
        };
        if let Some(token) = &self.token
            && let Err(problem) = http::check_token(token)
        {
            add("token", problem);
        }
        if let Some(endpoint) = &self.endpoint {
            let is_good = Url::parse(endpoint).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https") && url.password().is_none()
            });
            if !is_good {
                add(
                    "endpoint",
                    "write it as https://s3.example:9000, without credentials".to_owned(),
                );
            }
        }
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            add(
                "secret_access_key",
                "it goes with access_key_id: give both, or neither to use the role of this machine"
                    .to_owned(),
            );
        }
        found
    }
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
