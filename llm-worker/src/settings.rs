//! What can be set about the story worker. `config.default.toml` describes each with its default.

mod llm;
mod size;

pub(crate) use self::llm::CONTEXT;
pub use self::llm::{LlmSettings, ModelSettings, ProviderKind, RunsOn};
pub use self::size::{CacheType, ModelSize};

use serde::Deserialize;
use shared::film::Mistake;
use shared::settings::{ArtifactSettings, BrokerSettings, LogSettings, TelemetrySettings};
use worker_runtime::settings::{GpuSettings, WorkerConfig};

/// The settings of the program.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// Section `[broker]`.
    pub broker: BrokerSettings,
    /// Section `[artifacts]`.
    pub artifacts: ArtifactSettings,
    /// Section `[log]`.
    pub log: LogSettings,
    /// Section `[telemetry]`.
    pub telemetry: TelemetrySettings,
    /// Section `[worker]`.
    pub worker: WorkerConfig,
    /// Section `[gpu]`.
    pub gpu: GpuSettings,
    /// Section `[llm]`.
    #[serde(default)]
    pub llm: LlmSettings,
}

impl shared::settings::Settings for Settings {
    fn mistakes(&self) -> Vec<Mistake> {
        [
            self.broker.mistakes(),
            self.artifacts.mistakes(),
            self.log.mistakes(),
            self.telemetry.mistakes(),
            self.worker.mistakes(),
            self.llm.mistakes(),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use worker_runtime::settings::DeviceChoice;

    use super::*;

    #[test]
    fn every_setting_of_a_worker_is_in_the_file_with_its_default() {
        let settings =
            shared::settings::load::<Settings>(crate::DEFAULT_SETTINGS, None, [], []).unwrap();
        let WorkerConfig {
            worker, data_dir, ..
        } = settings.worker.clone();
        assert_eq!(settings.worker, WorkerConfig::new(worker, data_dir));
        // The file says all of it, so that nothing has to be looked up in the program.
        let section = crate::DEFAULT_SETTINGS;
        for key in WorkerConfig::KEYS {
            assert!(section.contains(&format!("\n{key} = ")), "{key}");
        }
    }

    #[test]
    fn the_card_is_found_unless_it_is_named() {
        let load = |variables: &[(&str, &str)]| {
            let variables = variables
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()));
            let variables: Vec<_> = variables.collect();
            shared::settings::load::<Settings>(crate::DEFAULT_SETTINGS, None, variables, [])
        };
        assert_eq!(load(&[]).unwrap().gpu, GpuSettings::default());
        let named = load(&[
            ("CALLSHEET__GPU__DEVICE", "1"),
            ("CALLSHEET__GPU__LIBRARY", "/opt/nvml.so"),
            ("CALLSHEET__GPU__LEDGER", "/run/callsheet"),
        ]);
        let named = named.unwrap().gpu;
        assert_eq!(named.device, DeviceChoice::Index(1));
        assert_eq!(named.library, Some("/opt/nvml.so".into()));
        assert_eq!(named.ledger, Some("/run/callsheet".into()));
        let wrong = load(&[("CALLSHEET__GPU__DEVISE", "1")]).unwrap_err();
        assert!(wrong.to_string().contains("gpu.devise"), "{wrong}");
    }

    #[test]
    fn the_defaults_can_be_used_and_a_wrong_value_names_its_key() {
        let load = |flags: Vec<(&'static str, String)>| {
            shared::settings::load::<Settings>(crate::DEFAULT_SETTINGS, None, [], flags)
        };
        let settings = load(Vec::new()).unwrap();
        assert_eq!(
            (settings.worker.worker.as_str(), settings.worker.slots),
            ("llm-worker", 1)
        );
        let error = load(vec![("worker.slots", "0".to_owned())])
            .unwrap_err()
            .to_string();
        assert!(error.contains("worker.slots: 0"), "{error}");
        let error = load(vec![("worker.worker", "Not A Name".to_owned())])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("worker.worker") && error.contains("a-z"),
            "{error}"
        );
    }
}
