//! What can be set about the coordinator. `config.default.toml` describes each with its default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use shared::film::Mistake;
use shared::job::JobKind;
use shared::retry::RetryPolicy;
use shared::settings::{self, ArtifactSettings, BrokerSettings, LogSettings, TelemetrySettings};
use shared::time::millis;

use crate::access::AccessSettings;
use crate::core::plan::Profiles;
use crate::tls::TlsSettings;

/// The section `[coordinator]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoordinatorSettings {
    /// Where the HTTP API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Folder of the database and its lock.
    pub data_dir: PathBuf,
    /// How long a silent run is believed alive.
    #[serde(rename = "lease_ms", with = "millis")]
    pub lease: Duration,
    /// How long to wait for another coordinator on the same virtual host to let go, before giving up.
    #[serde(rename = "takeover_ms", with = "millis")]
    pub takeover: Duration,
    /// How long a queued job waits before its attempt is published again.
    #[serde(rename = "redispatch_ms", with = "millis")]
    pub redispatch: Duration,
    /// How often workers are told what waits.
    #[serde(default = "hint", rename = "hint_ms", with = "millis")]
    pub hint: Duration,
    /// Retries.
    pub retry: RetryPolicy,
    /// Longest run by kind.
    pub time_limits: TimeLimits,
    /// Which profile does each kind of job, where a film does not say.
    pub profiles: Profiles,
    /// What is kept for how long.
    pub retention: Retention,
    /// Largest file that a worker may send, in MiB.
    #[serde(default = "upload_max_mib")]
    pub upload_max_mib: u64,
    /// Section `[coordinator.tls]`.
    #[serde(default)]
    pub tls: TlsSettings,
    /// Section `[access]`.
    #[serde(skip)]
    pub access: AccessSettings,
}

/// Default of `upload_max_mib`: two hours of film at 18 Mbit/s.
const fn upload_max_mib() -> u64 {
    16 << 10
}

/// Default of `hint_ms`. Half a minute would cost nothing but a swap's delay on a small host.
const fn hint() -> Duration {
    Duration::from_secs(3)
}

/// Longest run by kind, from grant to report.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeLimits {
    /// A story.
    #[serde(rename = "story_ms", with = "millis")]
    pub story: Duration,
    /// A keyframe.
    #[serde(rename = "keyframe_ms", with = "millis")]
    pub keyframe: Duration,
    /// A clip.
    #[serde(rename = "scene_ms", with = "millis")]
    pub scene: Duration,
    /// An assembly.
    #[serde(rename = "assembly_ms", with = "millis")]
    pub assembly: Duration,
}

impl TimeLimits {
    /// For that kind.
    pub const fn of(&self, kind: JobKind) -> Duration {
        match kind {
            JobKind::Story => self.story,
            JobKind::Keyframe => self.keyframe,
            JobKind::Scene => self.scene,
            JobKind::Assembly => self.assembly,
        }
    }
}

/// What is kept for how long.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Days after which a film that has ended is forgotten; 0 keeps films for ever.
    pub film_days: u32,
    /// Hours for which a file stays that no film has any more; at least 24.
    pub file_hours: u32,
}

impl CoordinatorSettings {
    /// The same with these tokens.
    #[must_use]
    pub fn asking(self, access: AccessSettings) -> Self {
        Self { access, ..self }
    }

    /// What is wrong with them.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        let mut need = |is_good: bool, key: &str, problem: &str| {
            if !is_good {
                found.push(Mistake::new(format!("coordinator.{key}"), problem));
            }
        };
        let second = Duration::from_secs(1);
        need(
            self.lease >= second,
            "lease_ms",
            "at least 1000: workers speak four times in a lease",
        );
        need(self.takeover >= second, "takeover_ms", "at least 1000");
        need(self.redispatch >= second, "redispatch_ms", "at least 1000");
        let hints = Duration::from_millis(20)..=Duration::from_secs(15);
        need(
            hints.contains(&self.hint),
            "hint_ms",
            "20 to 15000: what is older than 30 s counts for nothing",
        );
        need(
            self.retry.max_failures >= 1,
            "retry.max_failures",
            "at least 1",
        );
        need(
            self.retry.base <= self.retry.cap,
            "retry.base_ms",
            "at most retry.cap_ms",
        );
        for kind in JobKind::ALL {
            let key = format!("time_limits.{kind}_ms");
            need(self.time_limits.of(kind) >= second, &key, "at least 1000");
        }
        need(
            (1..=1 << 30).contains(&self.upload_max_mib),
            "upload_max_mib",
            "at least 1",
        );
        let hours = self.retention.file_hours;
        need(
            hours >= 24,
            "retention.file_hours",
            "at least 24: a film to come may use a file that lies there",
        );
        found.extend(self.tls.mistakes());
        found
    }
}

/// All sections that the coordinator reads.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// `[broker]`.
    pub broker: BrokerSettings,
    /// `[artifacts]`.
    pub artifacts: ArtifactSettings,
    /// `[log]`.
    pub log: LogSettings,
    /// `[telemetry]`.
    pub telemetry: TelemetrySettings,
    /// `[coordinator]`.
    pub coordinator: CoordinatorSettings,
    /// `[access]`.
    #[serde(default)]
    pub access: AccessSettings,
}

impl settings::Settings for Settings {
    fn mistakes(&self) -> Vec<Mistake> {
        let url = &self.artifacts.url;
        let is_coordinator = url.starts_with("http://") || url.starts_with("https://");
        let nowhere = is_coordinator.then(|| {
            let problem = "it is the coordinator that keeps files for those who name one: name a folder or a bucket here";
            Mistake::new("artifacts.url", problem)
        });
        [
            self.broker.mistakes(),
            self.artifacts.mistakes(),
            nowhere.into_iter().collect(),
            self.log.mistakes(),
            self.telemetry.mistakes(),
            self.coordinator.mistakes(),
            self.access.mistakes(self.coordinator.listen),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(overrides: Vec<(&'static str, String)>) -> Result<Settings, settings::SettingsError> {
        settings::load(crate::DEFAULT_SETTINGS, None, [], overrides)
    }

    #[test]
    fn the_defaults_are_good() {
        let settings = load(Vec::new()).unwrap().coordinator;
        assert!(settings.listen.ip().is_loopback());
        assert_eq!(settings.lease, Duration::from_secs(180));
        assert_eq!(settings.profiles.of(JobKind::Scene).as_str(), "animatic");
    }

    #[test]
    fn who_lets_others_in_without_tokens_is_told_what_to_do() {
        let open = ("coordinator.listen", "0.0.0.0:7420".to_owned());
        let error = load(vec![open.clone()]).unwrap_err().to_string();
        assert!(error.contains("access.operate_token: "), "{error}");
        let token = (
            "access.operate_token",
            "0123456789abcdef01234567".to_owned(),
        );
        load(vec![open, token]).unwrap();
    }

    #[test]
    fn a_coordinator_is_no_store_for_itself() {
        let url = ("artifacts.url", "http://127.0.0.1:7420".to_owned());
        let error = load(vec![url]).unwrap_err().to_string();
        assert!(error.contains("artifacts.url: "), "{error}");
    }

    #[test]
    fn every_mistake_is_named_by_its_key() {
        let wrong = [
            ("lease_ms", "5"),
            ("retry.max_failures", "0"),
            ("retention.file_hours", "1"),
        ];
        let keys = [
            "coordinator.lease_ms",
            "coordinator.retry.max_failures",
            "coordinator.retention.file_hours",
        ];
        let overrides = keys
            .into_iter()
            .zip(wrong)
            .map(|(key, (_, value))| (key, value.to_owned()))
            .collect();
        let error = load(overrides).unwrap_err().to_string();
        for key in keys {
            assert!(error.contains(key), "{error}");
        }
    }
}
