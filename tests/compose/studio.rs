//! A host with a card, where there is none: NVIDIA's library is a double, and so are the servers that use the card. They run on the
//! host and not in containers, as ComfyUI and LM Studio do, and listen on 127.0.0.1.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use llm_double::{Behaviour, Kind};
use nvml_double::install::Double as Nvml;
use nvml_double::state::{Device, Process as Listed, State};
use shared::byte_size::ByteSize;
use simulated_gpu::Card;
use support::clip;
use support::programs::path;
use support::workflow::{self, Needs};
use tempfile::TempDir;

use crate::parts::Parts;
use crate::project::{Project, root};
use crate::reservation;
use crate::secrets::Secrets;

/// The card. A language model and a render do not fit there together.
const CARD: ByteSize = ByteSize::gib(24);
/// What the language model holds of it.
pub(crate) const MODEL: ByteSize = ByteSize::gib(10);
/// What the video model holds of it, idle and while it renders.
pub(crate) const LOADED: ByteSize = ByteSize::gib(12);
const PEAK: ByteSize = ByteSize::gib(16);
/// What the video model takes of the host: more than the container of its worker may have.
const RAM: ByteSize = ByteSize::mib(5_000);
/// Steps of a render, and how long each takes.
const STEPS: u32 = 5;
const STEP: Duration = Duration::from_millis(100);

/// The profile of the language model.
pub(crate) const STORY: &str = "mistral";
/// What its server is called here.
const LM_STUDIO: &str = "lm-studio";

pub(crate) struct Studio {
    name: &'static str,
    uuid: String,
    comfyui: comfyui_double::process::Process,
    language: Option<llm_double::process::Process>,
    card: Card,
    nvml: Nvml,
    folder: TempDir,
}

impl Studio {
    /// One with ComfyUI, which has that workflow.
    pub(crate) fn open(name: &'static str, workflow: &str) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("callsheet-studio-")
            .tempdir()?;
        let at = |name: &str| folder.path().join(name);
        for part in ["driver", "workflows"] {
            fs::create_dir(at(part))?;
        }
        let needs = Needs {
            load: LOADED,
            peak: PEAK,
            ram: RAM,
        };
        workflow::write(&at("workflows"), workflow, needs)?;
        let uuid = format!("GPU-of-{name}");
        let card = Device::idle(&uuid, CARD.as_bytes() >> 30);
        let nvml = Nvml::install(&at("driver"), &State::with([card]))?;
        let card = Card::new(nvml.state_file(), &uuid);
        fs::write(at("clip.mp4"), clip::small())?;
        let settings = comfyui_double::process::Settings {
            card: card.clone(),
            memory: CARD,
            load: LOADED,
            peak: PEAK,
            steps: STEPS,
            step: STEP,
            clip: at("clip.mp4"),
            models: workflow::MODELS
                .map(|(folder, file)| (folder.to_owned(), vec![file.to_owned()]))
                .into(),
        };
        let mut program = Command::new(path("render-double")?);
        let comfyui = comfyui_double::process::Process::start(&mut program, &settings)?;
        let studio = Self {
            name,
            uuid,
            comfyui,
            language: None,
            card,
            nvml,
            folder,
        };
        studio.set("[comfyui]\nworkflows = '/etc/callsheet/workflows'\n")?;
        Ok(studio)
    }

    /// The same with LM Studio, which has its model loaded; films are made with both.
    pub(crate) fn with_lm_studio(mut self, scene: &str) -> Result<Self> {
        // A server of another user is told from the rest by the name of its program.
        let program = self.folder.path().join(LM_STUDIO);
        fs::copy(path("language-double")?, &program)?;
        let settings = llm_double::process::Settings {
            kind: Kind::LmStudio,
            card: self.card.clone(),
            behaviour: Behaviour {
                size: MODEL,
                ..Behaviour::default()
            },
            loaded: true,
        };
        let started = llm_double::process::Process::start(&mut Command::new(program), &settings);
        let server = self.language.insert(started?);
        let (url, mib) = (server.url().to_owned(), MODEL.as_bytes() >> 20);
        self.set(&format!(
            "[comfyui]\nworkflows = '/etc/callsheet/workflows'\n\
             [coordinator.profiles]\nstory = '{STORY}'\nscene = '{scene}'\n\
             [[llm.models]]\nprofile = '{STORY}'\nprovider = 'openai'\nurl = '{url}'\nmodel = 'story'\ngpu_mib = {mib}\n"
        ))?;
        Ok(self)
    }

    /// Writes the settings of its programs, and lets these read what is here, whoever they are.
    fn set(&self, settings: &str) -> Result<()> {
        let folder = self.folder.path();
        fs::write(folder.join("callsheet.toml"), settings)?;
        let shipped = fs::read_to_string(root().join("docker-compose.yml"))?;
        let without = reservation::without(&shipped)?;
        fs::write(folder.join("docker-compose.yml"), without)?;
        for part in ["", "driver", "workflows"] {
            fs::set_permissions(folder.join(part), Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Its containers: the compose file as it is, but for the reservation of a card.
    pub(crate) fn project(
        &self,
        parts: &Parts,
        profiles: &str,
        secrets: &Secrets,
    ) -> Result<Project> {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let files = format!("{}:tests/compose/card.yml", at("docker-compose.yml"));
        let project = Project::new(parts, profiles, self.name, secrets)?
            .with("COMPOSE_FILE", files)
            .with("NVML_DOUBLE", at("driver"))
            .with("WORKFLOWS", at("workflows"))
            .with("CALLSHEET_CONFIG", at("callsheet.toml"))
            .with("CALLSHEET_COMFYUI_URL", self.comfyui.url())
            // That the double lacks what other workflows need would be all that a failed test shows.
            .with(
                "CALLSHEET_LOG_FILTER",
                "info,worker_runtime::readiness=error",
            );
        Ok(project)
    }

    /// A folder that goes with it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The name of its card.
    pub(crate) fn uuid(&self) -> &str {
        &self.uuid
    }

    /// This process holds so much of the card, and has nothing to do with films.
    pub(crate) fn we_hold(&self, memory: ByteSize) -> Result<()> {
        let listed = Listed::computing(std::process::id(), Some(memory.as_bytes()));
        let held = self.nvml.update(|cards| {
            let card = cards.device_mut(&self.uuid)?;
            card.used += memory.as_bytes();
            card.processes.push(listed);
            Some(())
        });
        held?.context("its card")
    }

    /// How often the language model was loaded and was told to leave, and whether it is there.
    pub(crate) async fn language(&self) -> Result<(u32, u32, bool)> {
        let loaded = self.language.as_ref().context("it has one")?.loaded().await;
        Ok((loaded.loads, loaded.unloads, !loaded.instances.is_empty()))
    }

    /// How many clips its ComfyUI has rendered.
    pub(crate) fn rendered(&self) -> Result<usize> {
        Ok(self.comfyui.standing()?.rendered.len())
    }

    /// How often memory of the card was asked for that was not there.
    pub(crate) fn refusals(&self) -> Result<usize> {
        Ok(self.card.refusals()?.len())
    }
}
