//! What the programs are told, and where their files are.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use comfyui_double::process::{Process, Settings};
use nvml_double::install::Double as Nvml;
use nvml_double::state::{Device, State};
use shared::broker::rights::Role;
use shared::byte_size::ByteSize;
use support::programs::Program;
use support::users::Users;
use support::workflow::{self, Needs};

use crate::camera::{Camera, METRICS_PORT};
use crate::network::Host;

/// The workflow, which needs a card here.
pub(crate) const PROFILE: &str = "moving";
/// GiB of each card. Two renders at a time do not fit.
const CARD_GIB: u64 = 24;
const LOAD: ByteSize = ByteSize::gib(12);
const PEAK: ByteSize = ByteSize::gib(16);
/// The secret that shows who may be told of metrics.
const METRICS_TOKEN: &str = "token-worker";
/// Steps of a render.
const STEPS: u32 = 20;

/// A folder with the workflow. Of the host it needs too little for its gate to be asked.
pub(crate) fn workflow_for_cards(folder: &Path) -> Result<PathBuf> {
    let workflows = folder.join("workflows");
    fs::create_dir(&workflows)?;
    let needs = Needs {
        load: LOAD,
        peak: PEAK,
        ram: ByteSize::mib(100),
    };
    workflow::write(&workflows, PROFILE, needs)?;
    Ok(workflows)
}

/// What the programs are told, and where their files are. All in one folder, of which no two hosts use the same part.
pub(crate) struct Files<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) users: &'a Users,
    pub(crate) coordinator: &'a str,
}

impl Files<'_> {
    /// Starts a program on a host with the secrets of its role.
    pub(crate) fn start(
        &self,
        host: &Host,
        program: &'static str,
        role: Role,
        more: &str,
    ) -> Result<Program> {
        let secret = |name: &str| self.users.file(name).display().to_string();
        let data = self.folder.join(host.name);
        let files = match role {
            Role::Coordinator => format!(
                "[artifacts]\nurl = '{}'\n\
                 [access]\nsubmit_token_file = '{}'\noperate_token_file = '{}'\nworker_token_file = '{}'\n",
                data.join("artifacts").display(),
                secret("token-submit"),
                secret("token-operate"),
                secret("token-worker"),
            ),
            _ => format!(
                "[artifacts]\nurl = '{}'\ntoken_file = '{}'\n[worker]\nworker = '{}'\n",
                self.coordinator,
                secret("token-worker"),
                host.name,
            ),
        };
        let broker = secret(&format!("broker-url-{role}"));
        let settings = format!("[broker]\nurl_file = '{broker}'\n{files}{more}");
        let file = self.folder.join(format!("{}.toml", host.name));
        fs::write(&file, settings)?;
        let arguments = ["--config".into(), file.into_os_string()]
            .into_iter()
            .chain(["--data-dir".into(), data.into_os_string()]);
        let place = host.place.clone();
        Program::start_at(place, program, host.name, arguments, self.folder)
    }

    /// Starts a ComfyUI and a worker on a host, with a card of their own, of which each step takes that long.
    pub(crate) fn camera(
        &self,
        host: Host,
        step: Duration,
        clip: &Path,
        workflows: &Path,
    ) -> Result<Camera> {
        let name = host.name;
        let uuid = format!("GPU-of-{name}");
        let driver = self.folder.join(format!("{name}-driver"));
        fs::create_dir(&driver)?;
        let nvml = Nvml::install(&driver, &State::with([Device::idle(&uuid, CARD_GIB)]))?;
        let card = simulated_gpu::Card::new(nvml.state_file(), &uuid);
        let settings = Settings {
            card: card.clone(),
            memory: ByteSize::gib(CARD_GIB),
            load: LOAD,
            peak: PEAK,
            steps: STEPS,
            step,
            clip: clip.to_owned(),
            models: workflow::MODELS
                .map(|(folder, file)| (folder.to_owned(), vec![file.to_owned()]))
                .into(),
        };
        let mut program = host.place.command(env!("CARGO_BIN_EXE_render-double"));
        let comfyui = Process::start(&mut program, &settings)?;
        let more = format!(
            "[telemetry]\nmetrics_listen = '{}:{METRICS_PORT}'\nmetrics_token_file = '{}'\n\
             [gpu]\ndevice = '{uuid}'\nlibrary = '{}'\nledger = '{}'\n\
             [comfyui]\nurl = '{}'\nworkflows = '{}'\n",
            host.place.address(),
            self.users.file(METRICS_TOKEN).display(),
            nvml.library().display(),
            self.folder.join(format!("{name}-ledger")).display(),
            comfyui.url(),
            workflows.display(),
        );
        let worker = self.start(&host, "video-worker", Role::Worker, &more)?;
        Ok(Camera {
            name,
            worker,
            comfyui,
            card,
            host,
            token: fs::read_to_string(self.users.file(METRICS_TOKEN))?,
        })
    }
}
