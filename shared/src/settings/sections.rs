//! The sections that several programs share.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use url::Url;

use super::Secret;
use crate::film::Mistake;
use crate::http;
use crate::time::millis;

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

/// Shortest pause between two pushes of metrics.
const SHORTEST_PUSH_INTERVAL: Duration = Duration::from_millis(100);

/// Section `[telemetry]`: where traces and metrics go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetrySettings {
    /// The collector of traces and metrics; empty: none.
    #[serde(default)]
    pub otlp_endpoint: String,
    /// How often metrics are pushed to it; 0: never. Default 0, where it is not read from a file.
    #[serde(default, rename = "otlp_metrics_interval_ms", with = "millis")]
    pub otlp_metrics_interval: Duration,
    /// What this program is called in traces and metrics; empty: as it is called.
    #[serde(default)]
    pub service_name: String,
    /// Where a worker tells its metrics; empty: nowhere.
    #[serde(default)]
    pub metrics_listen: String,
    /// What must be shown there to be told of the metrics; needed where others than this machine come in.
    #[serde(default)]
    pub metrics_token: Option<Secret>,
}

impl TelemetrySettings {
    /// What is wrong with them.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        let mut need = |is_good: bool, key: &str, problem: &str| {
            if !is_good {
                found.push(Mistake::new(format!("telemetry.{key}"), problem));
            }
        };
        need(
            self.otlp_endpoint.is_empty() || self.collector().is_some(),
            "otlp_endpoint",
            "it must be written as http://HOST:PORT, or be empty",
        );
        need(
            self.push_interval()
                .is_none_or(|it| it >= SHORTEST_PUSH_INTERVAL),
            "otlp_metrics_interval_ms",
            "it must be at least 100, or 0 for never",
        );
        need(
            self.metrics_listen.is_empty() || self.metrics_address().is_some(),
            "metrics_listen",
            "it must be written as ADDRESS:PORT, as in 127.0.0.1:9464, or be empty",
        );
        let lets_others_in = |address: SocketAddr| !address.ip().is_loopback();
        let is_open =
            self.metrics_token.is_none() && self.metrics_address().is_some_and(lets_others_in);
        need(
            !is_open,
            "metrics_token",
            "it is needed, as telemetry.metrics_listen lets others in: put the output of `openssl rand -hex 32` into a file and name it in \
             telemetry.metrics_token_file, or listen on 127.0.0.1",
        );
        if let Some(Err(problem)) = self.metrics_token.as_ref().map(http::check_token) {
            need(false, "metrics_token", &problem);
        }
        found
    }

    /// The collector, if there is one.
    pub fn collector(&self) -> Option<Url> {
        let url = Url::parse(&self.otlp_endpoint).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
    }

    /// How often metrics are pushed, if they are.
    pub fn push_interval(&self) -> Option<Duration> {
        Some(self.otlp_metrics_interval).filter(|interval| !interval.is_zero())
    }

    /// Where a worker tells its metrics, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_listen.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_telemetry_goes_is_an_address_or_nothing() {
        let telemetry = |otlp_endpoint: &str, metrics_listen: &str| TelemetrySettings {
            otlp_endpoint: otlp_endpoint.to_owned(),
            metrics_listen: metrics_listen.to_owned(),
            ..TelemetrySettings::default()
        };
        assert_eq!(telemetry("", "").mistakes(), []);
        assert_eq!(telemetry("", "127.0.0.1:9464").mistakes(), []);
        let wrong = telemetry("127.0.0.1:4318", "9464").mistakes();
        let fields: Vec<_> = wrong.iter().map(|mistake| &*mistake.field).collect();
        assert!(fields.contains(&"telemetry.otlp_endpoint"), "{fields:?}");
        assert!(fields.contains(&"telemetry.metrics_listen"), "{fields:?}");
        let named = telemetry("http://127.0.0.1:4318", "[::1]:9464");
        assert_eq!(named.mistakes(), []);
        assert!(named.collector().is_some() && named.metrics_address().is_some());
    }

    #[test]
    fn metrics_are_told_to_others_only_with_a_token() {
        let listening = |metrics_listen: &str, token: Option<&str>| TelemetrySettings {
            metrics_listen: metrics_listen.to_owned(),
            metrics_token: token.map(Secret::new),
            ..TelemetrySettings::default()
        };
        let good = "0123456789abcdef01234567";
        assert_eq!(listening("0.0.0.0:9464", Some(good)).mistakes(), []);
        assert_eq!(listening("127.0.0.1:9464", Some(good)).mistakes(), []);
        for wrong in [
            listening("0.0.0.0:9464", None),
            listening("[::]:9464", None),
            listening("10.0.0.7:9464", None),
            listening("127.0.0.1:9464", Some("too short")),
        ] {
            let mistakes = wrong.mistakes();
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert_eq!(mistakes[0].field, "telemetry.metrics_token");
            assert!(mistakes[0].problem.contains("openssl rand -hex 32"));
        }
    }

    #[test]
    fn metrics_are_pushed_at_an_interval_or_never() {
        let each = |millis| TelemetrySettings {
            otlp_metrics_interval: Duration::from_millis(millis),
            ..TelemetrySettings::default()
        };
        assert_eq!(
            (each(0).push_interval(), each(0).mistakes()),
            (None, vec![])
        );
        assert_eq!(each(100).push_interval(), Some(SHORTEST_PUSH_INTERVAL));
        assert_eq!(each(100).mistakes(), []);
        assert_eq!(
            &*each(99).mistakes()[0].field,
            "telemetry.otlp_metrics_interval_ms"
        );
    }
}
