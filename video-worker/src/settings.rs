//! What can be set about the video worker. `config.default.toml` describes each with its default.

use serde::Deserialize;
use shared::film::Mistake;
use shared::settings::{ArtifactSettings, BrokerSettings, LogSettings, TelemetrySettings};
use worker_runtime::settings::{GpuSettings, WorkerConfig};

use crate::comfyui::ComfyUiSettings;
use crate::ffmpeg::FfmpegPrograms;

/// What the backends must be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VideoSettings {
    /// Section `[ffmpeg]`: where the programs are.
    pub ffmpeg: FfmpegPrograms,
    /// Section `[comfyui]`: the server to render on.
    pub comfyui: ComfyUiSettings,
}

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
    /// Section `[ffmpeg]`.
    pub ffmpeg: FfmpegPrograms,
    /// Section `[comfyui]`.
    #[serde(default)]
    pub comfyui: ComfyUiSettings,
}

impl Settings {
    /// Those that the backends must be told.
    pub fn video(&self) -> VideoSettings {
        VideoSettings {
            ffmpeg: self.ffmpeg.clone(),
            comfyui: self.comfyui.clone(),
        }
    }
}

impl shared::settings::Settings for Settings {
    fn mistakes(&self) -> Vec<Mistake> {
        [
            self.broker.mistakes(),
            self.artifacts.mistakes(),
            self.log.mistakes(),
            self.telemetry.mistakes(),
            self.worker.mistakes(),
            self.ffmpeg.mistakes(),
            self.comfyui.mistakes(),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_used_and_a_wrong_value_names_its_key() {
        let load = |flags: Vec<(&'static str, String)>| {
            shared::settings::load::<Settings>(crate::DEFAULT_SETTINGS, None, [], flags)
        };
        let settings = load(Vec::new()).unwrap();
        assert_eq!(
            (settings.worker.worker.as_str(), settings.worker.slots),
            ("video-worker", 2)
        );
        assert_eq!(settings.video(), VideoSettings::default());
        let set = load(vec![("ffmpeg.ffmpeg", "/opt/ffmpeg/bin/ffmpeg".to_owned())]).unwrap();
        assert_eq!(set.ffmpeg.ffmpeg.to_str(), Some("/opt/ffmpeg/bin/ffmpeg"));
        let error = load(vec![("ffmpeg.ffprobe", String::new())]).unwrap_err();
        assert!(error.to_string().contains("ffmpeg.ffprobe"), "{error}");
    }
}
