//! What can be set about the command and about everything it runs in its own process.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use coordinator::access::AccessSettings;
use coordinator::settings::CoordinatorSettings;
use llm_worker::settings::LlmSettings;
use serde::Deserialize;
use shared::film::Mistake;
use shared::settings::{
    ArtifactSettings, BrokerSettings, LogSettings, Secret, SettingsError, TelemetrySettings,
};
use url::Url;
use video_worker::comfyui::ComfyUiSettings;
use video_worker::ffmpeg::FfmpegPrograms;
use worker_runtime::settings::{GpuSettings, WorkerConfig};

/// The defaults that differ from those of the single programs.
const DEFAULTS: &str = include_str!("../config.default.toml");

/// The settings of the command.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Settings {
    /// Section `[client]`.
    #[serde(default)]
    pub(crate) client: ClientSettings,
    /// Section `[coordinator]`, for one in this process.
    pub(crate) coordinator: CoordinatorSettings,
    /// Section `[access]`, for one in this process.
    #[serde(default)]
    pub(crate) access: AccessSettings,
    /// Section `[ffmpeg]`, for a worker in this process.
    pub(crate) ffmpeg: FfmpegPrograms,
    /// Section `[comfyui]`, for a worker in this process.
    #[serde(default)]
    pub(crate) comfyui: ComfyUiSettings,
    /// Section `[gpu]`, for a worker in this process.
    pub(crate) gpu: GpuSettings,
    /// Section `[log]`.
    pub(crate) log: LogSettings,
    /// Section `[telemetry]`.
    pub(crate) telemetry: TelemetrySettings,
    /// Section `[llm]`, for a worker in this process.
    pub(crate) llm: LlmSettings,
}

/// Section `[client]`: where the coordinator is that commands speak to.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ClientSettings {
    /// Its URL.
    pub(crate) coordinator: Option<String>,
    /// The token that it is shown.
    pub(crate) token: Option<Secret>,
}

impl shared::settings::Settings for Settings {
    fn mistakes(&self) -> Vec<Mistake> {
        [
            self.mistakes_of_others(),
            self.coordinator.mistakes(),
            self.access.mistakes(self.coordinator.listen),
        ]
        .concat()
    }
}

/// The settings of the command where no coordinator is to run: what would keep one from starting is no mistake.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct WithoutCoordinator(Settings);

impl shared::settings::Settings for WithoutCoordinator {
    fn mistakes(&self) -> Vec<Mistake> {
        self.0.mistakes_of_others()
    }
}

/// Why settings cannot be used, and which ones a command goes on with that goes on nevertheless.
#[derive(Debug)]
pub(crate) struct Unusable {
    /// Every mistake.
    pub(crate) error: SettingsError,
    /// They are those of where nobody has set anything. Else they are as they stand there, and would only keep a coordinator from starting.
    pub(crate) is_usual: bool,
}

impl Settings {
    /// Reads the settings: defaults ← file ← environment ← flags.
    ///
    /// # Errors
    /// If the file cannot be read, or with every mistake.
    pub(crate) fn load(
        file: Option<&PathBuf>,
        flags: Vec<(&'static str, String)>,
    ) -> Result<Self, SettingsError> {
        shared::settings::load(
            &defaults(),
            file.map(PathBuf::as_path),
            std::env::vars_os(),
            flags,
        )
    }

    /// The same for a command that goes on whatever they are, as far as they can be used.
    ///
    /// # Errors
    /// None: a test loads what is used in the worst case.
    pub(crate) fn load_whatever(
        file: Option<&PathBuf>,
        flags: Vec<(&'static str, String)>,
    ) -> Result<(Self, Option<Unusable>), SettingsError> {
        let error = match Self::load(file, flags.clone()) {
            Ok(settings) => return Ok((settings, None)),
            Err(error) => error,
        };
        let file = file.map(PathBuf::as_path);
        let environment = std::env::vars_os();
        let tried = shared::settings::load(&defaults(), file, environment, flags);
        let (settings, is_usual) = match tried {
            Ok(WithoutCoordinator(settings)) => (settings, false),
            Err(_) => (Self::usual()?, true),
        };
        Ok((settings, Some(Unusable { error, is_usual })))
    }

    fn mistakes_of_others(&self) -> Vec<Mistake> {
        [
            self.log.mistakes(),
            self.telemetry.mistakes(),
            self.ffmpeg.mistakes(),
            self.comfyui.mistakes(),
            self.llm.mistakes(),
        ]
        .concat()
    }

    /// The URL of the broker that programs on several machines share.
    ///
    /// # Errors
    /// If it cannot be one.
    pub(crate) fn broker_url(file: Option<&Path>) -> Result<Secret, SettingsError> {
        let alone: BrokerAlone = shared::settings::load("", file, std::env::vars_os(), [])?;
        Ok(alone.broker.url)
    }

    /// Where files lie that several machines share.
    ///
    /// # Errors
    /// If the settings cannot be read.
    pub(crate) fn artifacts(file: Option<&Path>) -> Result<ArtifactSettings, SettingsError> {
        let alone: ArtifactsAlone = shared::settings::load("", file, std::env::vars_os(), [])?;
        Ok(alone.artifacts)
    }

    /// The folder of a worker on this machine.
    ///
    /// # Errors
    /// If the settings cannot be read.
    pub(crate) fn worker_data_dir(file: Option<&Path>) -> Result<PathBuf, SettingsError> {
        let defaults = video_worker::DEFAULT_SETTINGS;
        let alone: WorkerAlone = shared::settings::load(defaults, file, std::env::vars_os(), [])?;
        Ok(alone.worker.data_dir)
    }

    /// The settings as they are where nobody has set anything.
    ///
    /// # Errors
    /// None: a test loads them.
    fn usual() -> Result<Self, SettingsError> {
        shared::settings::load(&defaults(), None, [], [])
    }

    /// The ComfyUI server that is named, if any.
    pub(crate) fn comfyui_url(&self) -> Option<Url> {
        // One with a mistake was refused when the settings were read.
        self.comfyui.server()?.ok()
    }

    /// The coordinator that was named, or the one that `callsheet up` starts with these settings.
    pub(crate) fn coordinator_url(&self) -> String {
        self.client
            .coordinator
            .clone()
            .unwrap_or_else(|| url_of(&self.coordinator))
    }

    /// The token for the coordinator at [`Self::coordinator_url`]. One of the settings for `callsheet up` is for that one alone.
    pub(crate) fn token(&self) -> Option<&Secret> {
        let own = || self.client.coordinator.is_none().then(|| self.own_token());
        self.client.token.as_ref().or_else(|| own().flatten())
    }

    /// The token that was given for whatever coordinator is named.
    pub(crate) const fn given_token(&self) -> Option<&Secret> {
        self.client.token.as_ref()
    }

    /// The token for a coordinator in this process, or one that `callsheet up` starts with these settings.
    pub(crate) const fn own_token(&self) -> Option<&Secret> {
        self.access.operate_token.as_ref()
    }
}

/// Section `[broker]` alone: no other command needs it, and a mistake in it must not keep a film from being made.
#[derive(Debug, Deserialize)]
struct BrokerAlone {
    broker: BrokerSettings,
}

impl shared::settings::Settings for BrokerAlone {
    fn mistakes(&self) -> Vec<Mistake> {
        self.broker.mistakes()
    }
}

/// Section `[artifacts]` alone.
#[derive(Debug, Deserialize)]
struct ArtifactsAlone {
    artifacts: ArtifactSettings,
}

impl shared::settings::Settings for ArtifactsAlone {}

/// Section `[worker]` alone.
#[derive(Debug, Deserialize)]
struct WorkerAlone {
    worker: WorkerConfig,
}

impl shared::settings::Settings for WorkerAlone {}

/// The defaults of all the parts, and those that are different here.
fn defaults() -> String {
    [
        coordinator::DEFAULT_SETTINGS,
        video_worker::DEFAULT_SETTINGS,
        DEFAULTS,
        llm_worker::LLM_DEFAULT_SETTINGS,
    ]
    .join("\n")
}

/// How a program on this machine reaches a coordinator with these settings.
fn url_of(settings: &CoordinatorSettings) -> String {
    let is_https = settings.tls.files().is_some();
    coordinator::url_of(is_https, near(settings.listen))
}

/// How a program on this machine reaches what listens there.
pub(crate) fn near(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_used_and_a_named_coordinator_goes_first() {
        let load = |flags| shared::settings::load::<Settings>(&defaults(), None, [], flags);
        let settings = load(Vec::new()).unwrap();
        assert_eq!(settings.coordinator_url(), "http://127.0.0.1:7420");
        assert!(settings.log.filter.starts_with("warn,"));
        let settings = load(vec![(
            "client.coordinator",
            "http://studio:7420".to_owned(),
        )])
        .unwrap();
        assert_eq!(settings.coordinator_url(), "http://studio:7420");
        let files = ["certificate_file", "key_file"];
        let tls = [
            "coordinator.tls.certificate_file",
            "coordinator.tls.key_file",
        ];
        let tls = tls.into_iter().zip(files.map(str::to_owned)).collect();
        let settings = load(tls).unwrap();
        assert_eq!(settings.coordinator_url(), "https://127.0.0.1:7420");
    }

    #[test]
    fn a_token_is_shown_to_the_coordinator_that_it_is_for() {
        let load = |flags: &[(&'static str, &str)]| {
            let flags = flags.iter().map(|(key, value)| (*key, (*value).to_owned()));
            shared::settings::load::<Settings>(&defaults(), None, [], flags).unwrap()
        };
        let given = ("client.token", "given-0123456789abcdef0123");
        let own = ("access.operate_token", "own-0123456789abcdef0123");
        let there = ("client.coordinator", "http://studio:7420");
        let shown = |settings: &Settings| settings.token().map(|it| it.expose().to_owned());
        assert_eq!(shown(&load(&[])), None);
        assert_eq!(shown(&load(&[own])).as_deref(), Some(own.1));
        assert_eq!(shown(&load(&[own, there])), None);
        assert_eq!(shown(&load(&[own, given])).as_deref(), Some(given.1));
        assert_eq!(shown(&load(&[given, there])).as_deref(), Some(given.1));
    }

    #[test]
    fn an_address_that_means_every_network_is_reached_on_this_machine() {
        for (listen, reached) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(near(listen.parse().unwrap()).to_string(), reached);
        }
    }
}
