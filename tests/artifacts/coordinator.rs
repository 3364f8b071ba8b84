//! A coordinator in this process that keeps artifacts and asks for tokens.

use std::path::PathBuf;
use std::sync::Arc;

use coordinator::access::AccessSettings;
use coordinator::{CoordinatorSettings, Running};
use serde_json::json;
use shared::artifacts::ArtifactStore;
use shared::broker::embedded::EmbeddedBroker;
use shared::settings::{ArtifactSettings, Secret};
use tempfile::TempDir;

/// The token of workers.
pub(crate) const WORKER: &str = "worker-0123456789abcdef0123";
/// The token of operators.
pub(crate) const OPERATE: &str = "operate-0123456789abcdef0123";

pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) folder: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_at("127.0.0.1:0", folder).await
    }

    /// With that folder, at that address.
    pub(crate) async fn start_at(listen: &str, folder: TempDir) -> Self {
        let settings = json!({
            "listen": listen,
            "data_dir": folder.path(),
            "lease_ms": 180_000,
            "takeover_ms": 45_000,
            "redispatch_ms": 600_000,
            "retry": {"max_failures": 1, "base_ms": 1, "cap_ms": 1},
            "time_limits": {"story_ms": 60_000, "keyframe_ms": 60_000, "scene_ms": 60_000, "assembly_ms": 60_000},
            "profiles": {"story": "p", "keyframe": "p", "scene": "p", "assembly": "p"},
            "retention": {"film_days": 0, "file_hours": 24},
        });
        let settings: CoordinatorSettings = serde_json::from_value(settings).unwrap();
        let access = AccessSettings {
            operate_token: Some(Secret::new(OPERATE)),
            worker_token: Some(Secret::new(WORKER)),
            submit_token: None,
        };
        let artifacts = ArtifactStore::open_folder(&folder.path().join("artifacts")).unwrap();
        let broker = Arc::new(EmbeddedBroker::new());
        let running = coordinator::start(settings.asking(access), broker, artifacts).await;
        Self {
            running: running.unwrap(),
            folder,
        }
    }

    /// Where it keeps the files.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("artifacts")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// The store as a worker has it that shows this token.
    pub(crate) fn store(&self, token: Option<&str>) -> ArtifactStore {
        let settings = ArtifactSettings {
            token: token.map(Secret::new),
            ..ArtifactSettings::at(&self.url())
        };
        ArtifactStore::connect(&settings).unwrap()
    }
}
