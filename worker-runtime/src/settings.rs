//! Settings of one worker.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::film::Mistake;
use shared::ids::WorkerId;
use shared::settings::Secret;
use shared::time::millis;

pub use crate::pace::Pace;

/// Most attempts that one worker runs at once.
const MAX_SLOTS: u32 = 1024;
/// Shortest pause between two tries of anything: less would be a busy loop.
const MIN_PAUSE: Duration = Duration::from_millis(10);

/// Settings of one worker, without those of its backends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerConfig {
    /// The worker's name: unique among all workers, and the same after a restart.
    pub worker: WorkerId,
    /// Folder for the journal and the scratch files; made if it is not there. No other worker may use it.
    pub data_dir: PathBuf,
    /// Attempts that run at once. Default 1.
    #[serde(default = "defaults::slots")]
    pub slots: u32,
    /// How long a worker that is told to stop waits for what runs before it hands it back. Default 30 s.
    #[serde(
        default = "defaults::drain_timeout",
        rename = "drain_timeout_ms",
        with = "millis"
    )]
    pub drain_timeout: Duration,
    /// How long a backend has to stop an attempt that is not wanted any more before it is dropped. Default 1 s.
    #[serde(
        default = "defaults::stop_timeout",
        rename = "stop_timeout_ms",
        with = "millis"
    )]
    pub stop_timeout: Duration,
    /// First pause before an unanswered question for a grant is asked again; it doubles. Default 1 s.
    #[serde(
        default = "defaults::ask_interval",
        rename = "ask_interval_ms",
        with = "millis"
    )]
    pub ask_interval: Duration,
    /// Longest pause between two such questions. Default 5 s.
    #[serde(
        default = "defaults::ask_interval_cap",
        rename = "ask_interval_cap_ms",
        with = "millis"
    )]
    pub ask_interval_cap: Duration,
    /// How often the worker says how it is when nothing changes. Default 5 s.
    #[serde(
        default = "defaults::state_interval",
        rename = "state_interval_ms",
        with = "millis"
    )]
    pub state_interval: Duration,
    /// Pause before a backend that is not ready is asked again. Default 10 s.
    #[serde(
        default = "defaults::prepare_interval",
        rename = "prepare_interval_ms",
        with = "millis"
    )]
    pub prepare_interval: Duration,
    /// Section `[gpu]`.
    #[serde(skip)]
    pub gpu: GpuSettings,
    /// How fast time goes for the work on a card. Not to be set by users: it makes nothing faster.
    #[serde(skip)]
    pub pace: Pace,
    /// Where metrics, `/healthz` and `/readyz` are told; nowhere if absent. Section `[telemetry]`.
    #[serde(skip)]
    pub metrics_listen: Option<SocketAddr>,
    /// What must be shown there to be told of the metrics.
    #[serde(skip)]
    pub metrics_token: Option<Secret>,
    /// What the program is called that this worker is part of, in its metrics.
    #[serde(skip, default = "defaults::program")]
    pub program: String,
}

/// Section `[gpu]`: the card that a worker's backends run on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuSettings {
    /// Which card.
    pub device: DeviceChoice,
    /// NVIDIA's management library; the system's own if absent.
    #[serde(default)]
    pub library: Option<PathBuf>,
    /// Folder of the ledger; [`default_place`](crate::gpu::ledger::default_place) if absent.
    #[serde(default)]
    pub ledger: Option<PathBuf>,
    /// Folder of what jobs were seen to need; one in the worker's own folder if absent.
    #[serde(default)]
    pub footprints: Option<PathBuf>,
    /// Whose memory is the host's, for work that needs some beside the card's.
    #[serde(default)]
    pub host_memory: HostMemory,
}

/// Whose memory is the host's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostMemory {
    /// What this process may use: in a container, its limit.
    #[default]
    Ours,
    /// All of the machine: the servers that need it are outside of this process's container.
    Machine,
}

/// Which card a worker's backends run on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum DeviceChoice {
    /// The only one.
    #[default]
    Auto,
    /// None: it is not looked for.
    None,
    /// The one of that number, from 0, as NVML counts them.
    Index(usize),
    /// The one whose UUID begins like that.
    Uuid(String),
}

impl From<String> for DeviceChoice {
    fn from(text: String) -> Self {
        match text.as_str() {
            "auto" | "" => Self::Auto,
            "none" => Self::None,
            _ => text.parse().map_or(Self::Uuid(text), Self::Index),
        }
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        match choice {
            DeviceChoice::Auto => "auto".to_owned(),
            DeviceChoice::None => "none".to_owned(),
            DeviceChoice::Index(index) => index.to_string(),
            DeviceChoice::Uuid(uuid) => uuid,
        }
    }
}

mod defaults {
    use std::time::Duration;

    pub(super) fn program() -> String {
        "worker".to_owned()
    }
    pub(super) const fn slots() -> u32 {
        1
    }
    pub(super) const fn drain_timeout() -> Duration {
        Duration::from_secs(30)
    }
    pub(super) const fn stop_timeout() -> Duration {
        Duration::from_secs(1)
    }
    pub(super) const fn ask_interval() -> Duration {
        Duration::from_secs(1)
    }
    pub(super) const fn ask_interval_cap() -> Duration {
        Duration::from_secs(5)
    }
    pub(super) const fn state_interval() -> Duration {
        Duration::from_secs(5)
    }
    pub(super) const fn prepare_interval() -> Duration {
        Duration::from_secs(10)
    }
}

impl WorkerConfig {
    /// The names of all settings.
    pub const KEYS: [&str; 9] = [
        "worker",
        "data_dir",
        "slots",
        "drain_timeout_ms",
        "stop_timeout_ms",
        "ask_interval_ms",
        "ask_interval_cap_ms",
        "state_interval_ms",
        "prepare_interval_ms",
    ];

    /// The defaults, for a worker of that name with that folder.
    pub fn new(worker: WorkerId, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            worker,
            data_dir: data_dir.into(),
            slots: defaults::slots(),
            drain_timeout: defaults::drain_timeout(),
            stop_timeout: defaults::stop_timeout(),
            ask_interval: defaults::ask_interval(),
            ask_interval_cap: defaults::ask_interval_cap(),
            state_interval: defaults::state_interval(),
            prepare_interval: defaults::prepare_interval(),
            gpu: GpuSettings::default(),
            pace: Pace::default(),
            metrics_listen: None,
            metrics_token: None,
            program: defaults::program(),
        }
    }

    /// The same with that card.
    #[must_use]
    pub fn on(self, gpu: GpuSettings) -> Self {
        Self { gpu, ..self }
    }

    /// Everything that makes these settings unusable, by key as `worker.slots`.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut found = |key: &str, problem: String| {
            mistakes.push(Mistake::new(format!("worker.{key}"), problem));
        };
        if !(1..=MAX_SLOTS).contains(&self.slots) {
            found(
                "slots",
                format!("{} is not possible; 1 to {MAX_SLOTS} are", self.slots),
            );
        }
        if self.data_dir.as_os_str().is_empty() {
            found("data_dir", "it is empty; name a folder".to_owned());
        }
        let pauses = [
            ("ask_interval_ms", self.ask_interval),
            ("state_interval_ms", self.state_interval),
            ("prepare_interval_ms", self.prepare_interval),
        ];
        for (key, _) in pauses.iter().filter(|(_, pause)| *pause < MIN_PAUSE) {
            let least = MIN_PAUSE.as_millis();
            found(
                key,
                format!("it is too short; at least {least} is possible"),
            );
        }
        if self.ask_interval_cap < self.ask_interval {
            let problem = "it is shorter than ask_interval_ms; raise it";
            found("ask_interval_cap_ms", problem.to_owned());
        }
        mistakes
    }

    /// What is possible but risky, each with the reason.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.state_interval > Duration::from_secs(30) {
            warnings.push(
                "state_interval_ms is above 30000: the worker will be shown as silent".to_owned(),
            );
        }
        if self.stop_timeout > Duration::from_secs(2) {
            warnings.push(
                "stop_timeout_ms is above 2000: cancelled work may go on for longer than promised"
                    .to_owned(),
            );
        }
        if self.drain_timeout < self.stop_timeout {
            warnings.push(
                "drain_timeout_ms is below stop_timeout_ms: almost everything that runs is handed back"
                    .to_owned(),
            );
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> WorkerConfig {
        WorkerConfig::new("studio-3".parse().unwrap(), "data")
    }

    #[test]
    fn the_defaults_have_no_problems_and_raise_no_warnings() {
        assert_eq!(config().mistakes(), []);
        assert_eq!(config().warnings(), Vec::<String>::new());
    }

    #[test]
    fn a_file_with_the_two_needed_keys_gives_the_defaults() {
        let json = r#"{"worker": "studio-3", "data_dir": "data"}"#;
        assert_eq!(
            serde_json::from_str::<WorkerConfig>(json).unwrap(),
            config()
        );
    }

    #[test]
    fn every_setting_has_its_name_in_the_list() {
        let json = serde_json::to_value(config()).unwrap();
        let mut names: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        let mut listed = WorkerConfig::KEYS.map(str::to_owned).to_vec();
        names.sort();
        listed.sort();
        assert_eq!(names, listed);
    }

    #[test]
    fn a_card_is_named_by_number_or_by_uuid_or_left_to_be_found() {
        let choice = |text: &str| DeviceChoice::from(text.to_owned());
        assert_eq!(choice("auto"), DeviceChoice::Auto);
        assert_eq!(choice("none"), DeviceChoice::None);
        assert_eq!(choice("1"), DeviceChoice::Index(1));
        assert_eq!(
            choice("GPU-6f1e"),
            DeviceChoice::Uuid("GPU-6f1e".to_owned())
        );
        for text in ["auto", "none", "1", "MIG-0a"] {
            assert_eq!(String::from(choice(text)), text);
        }
    }

    #[derive(Debug, Deserialize)]
    struct Program {
        worker: WorkerConfig,
    }

    impl shared::settings::Settings for Program {
        fn mistakes(&self) -> Vec<Mistake> {
            self.worker.mistakes()
        }
    }

    #[test]
    fn a_key_that_is_none_is_told_with_its_origin_and_beside_every_other_mistake() {
        let defaults = "[worker]\nworker = \"w\"\ndata_dir = \"data\"\n";
        let variable = ("CALLSHEET__WORKER__SLOTT".into(), "2".into());
        let error = shared::settings::load::<Program>(
            defaults,
            None,
            [variable],
            [("worker.slots", "0".to_owned())],
        )
        .unwrap_err()
        .to_string();
        for said in [
            "worker.slott: there is no such setting",
            "CALLSHEET__WORKER__SLOTT",
            "worker.slots: 0 is not possible",
        ] {
            assert!(error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let bad = WorkerConfig {
            slots: 0,
            data_dir: PathBuf::new(),
            ask_interval: Duration::ZERO,
            prepare_interval: Duration::ZERO,
            ..config()
        };
        let problems = bad.mistakes();
        for key in [
            "slots",
            "data_dir",
            "ask_interval_ms",
            "prepare_interval_ms",
        ] {
            assert!(
                problems
                    .iter()
                    .any(|problem| problem.field == format!("worker.{key}")),
                "{key}: {problems:?}"
            );
        }
        assert_eq!(problems.len(), 4);
    }

    #[test]
    fn risky_pairs_are_warned_of() {
        let risky = WorkerConfig {
            stop_timeout: Duration::from_secs(60),
            ..config()
        };
        assert_eq!(risky.mistakes(), []);
        assert_eq!(risky.warnings().len(), 2, "{:?}", risky.warnings());
    }
}
