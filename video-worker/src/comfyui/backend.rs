//! The port to `worker_runtime`: one backend for each workflow, all of one server.

use std::sync::Arc;

use async_trait::async_trait;
use shared::byte_size::ByteSize;
use shared::failure::{Failure, FailureKind, chain};
use shared::ids::ProfileName;
use shared::job::Outcome;
use shared::profile::Profile;
use shared::protocol::{Resident, RunAttempt};
use worker_runtime::backend::{
    AttemptContext, Backend, BackendId, BackendKind, BackendSays, NotReady, OnCard,
};

use super::driver::{Driver, Ended};
use super::render::Trouble;
use super::server::Server;
use super::settings::ComfyUiSettings;
use super::template::Template;
use crate::ffmpeg::FfmpegPrograms;

/// What profiles call it.
const NAME: &str = "comfyui";
/// What CUDA and its libraries keep of a card while the process lives; some hundred MiB, by ComfyUI's own documents.
const RESIDUE: ByteSize = ByteSize::mib(512);

/// Renders one workflow on a ComfyUI server.
#[derive(Debug)]
pub struct ComfyUi {
    server: Arc<Server>,
    template: Box<dyn Template>,
    programs: FfmpegPrograms,
}

/// A backend for each of these workflows, on the server of those settings; none where no server is set.
///
/// # Panics
/// If the settings have mistakes, which loading them finds.
pub fn backends(
    settings: &ComfyUiSettings,
    templates: Vec<Box<dyn Template>>,
    programs: &FfmpegPrograms,
) -> Vec<Arc<dyn Backend>> {
    if !settings.is_set() {
        return Vec::new();
    }
    let server = Server::new(settings);
    let server = server.expect("the same client was made when the settings were checked");
    let backend = |template| -> Arc<dyn Backend> {
        Arc::new(ComfyUi::new(
            Arc::clone(&server),
            template,
            programs.clone(),
        ))
    };
    templates.into_iter().map(backend).collect()
}

impl ComfyUi {
    /// That workflow on that server; clips are checked with these programs.
    pub fn new(server: Arc<Server>, template: Box<dyn Template>, programs: FfmpegPrograms) -> Self {
        Self {
            server,
            template,
            programs,
        }
    }

    async fn render(
        &self,
        attempt: &RunAttempt,
        context: &AttemptContext,
    ) -> Result<Outcome, Ended> {
        let taken = self.server.turn.try_lock();
        let _turn = match taken {
            Ok(turn) => turn,
            Err(_) => {
                let phase = "waiting for another render of this worker";
                context.progress.tell(phase, 0, 0);
                tokio::select! {
                    turn = self.server.turn.lock() => turn,
                    () = context.cancelled.cancelled() => return Err(Ended::Trouble(Trouble::Unwanted)),
                }
            }
        };
        let template = self.template.as_ref();
        let mut driver = Driver::new(&self.server, template, attempt, context, &self.programs);
        driver.run().await
    }

    fn failure(&self, ended: Ended) -> Failure {
        let trouble = match ended {
            Ended::Failure(failure) => return failure,
            Ended::Trouble(trouble) => trouble,
        };
        if trouble.wants_a_restart() {
            self.server.suspect_of(trouble.to_string());
        }
        let Failure { kind, message } = trouble.failure();
        Failure::new(kind, format!("{}: {message}", self.who()))
    }

    fn who(&self) -> String {
        format!("ComfyUI at {}", self.server.client().url())
    }

    /// What the server lacks for this workflow.
    async fn missing(&self) -> Result<Vec<String>, String> {
        let info = self.server.object_info(&self.template.classes()).await;
        Ok(self.template.missing(&info.map_err(|error| chain(&error))?))
    }
}

#[async_trait]
impl Backend for ComfyUi {
    fn name(&self) -> &'static str {
        NAME
    }

    fn profiles(&self) -> Vec<Profile> {
        vec![self.template.profile()]
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        let not_ready = |why: String| NotReady(format!("{}: {why}", self.who()));
        self.server.check().await.map_err(not_ready)?;
        let missing = self.missing().await.map_err(not_ready)?;
        if !missing.is_empty() {
            return Err(not_ready(missing.join("; ")));
        }
        // Last: it starts three processes, and most servers lack the models of some workflows.
        let checked = self.programs.check().await;
        checked.map(drop).map_err(|error| NotReady(chain(&error)))
    }

    async fn run(
        &self,
        attempt: &RunAttempt,
        context: &AttemptContext,
    ) -> Result<Outcome, Failure> {
        let offered = self.template.profile();
        let given = attempt.payload.kind();
        if given != offered.kind {
            let problem = format!(
                "`{}` makes {} jobs and was given a {given} job",
                offered.name, offered.kind
            );
            return Err(Failure::new(FailureKind::Permanent, problem));
        }
        let ended = self.render(attempt, context).await;
        // What it holds now; if it does not say, the gate reads the card itself.
        let _ = self.server.look().await;
        ended.map_err(|ended| self.failure(ended))
    }

    fn residents(&self) -> Vec<Resident> {
        let profile = self.template.profile();
        let is_loaded = self.server.resident().as_ref() == Some(&profile.name);
        let stats = self.server.stats();
        let card = stats.as_ref().and_then(|stats| stats.card());
        let (true, Some(_), Some(card)) = (is_loaded, profile.needs.device, card) else {
            return Vec::new();
        };
        vec![Resident {
            profile: profile.name,
            backend: NAME.to_owned(),
            device: card.name.clone(),
            size: stats.as_ref().and_then(|stats| stats.holds()),
        }]
    }

    fn on_card(&self) -> OnCard {
        OnCard {
            id: Some(BackendId(format!(
                "{NAME}@{}",
                self.server.client().address()
            ))),
            kind: BackendKind::Replacing,
            pids: self.server.pids(),
            reported: self.server.stats().and_then(|stats| stats.holds()),
            residue: RESIDUE,
            pinned: false,
        }
    }

    async fn says(&self) -> BackendSays {
        self.server.says().await
    }

    async fn unload(&self, _: Option<&ProfileName>) -> Result<(), String> {
        // It frees when what runs has ended, and then all of it: there is no way to ask for one model.
        match self.server.says().await {
            BackendSays::Busy => Err("it is at work for somebody".to_owned()),
            _ => {
                let freed = self.server.client().free().await;
                freed.map_err(|error| chain(&error))?;
                self.server.set_resident(None);
                Ok(())
            }
        }
    }

    async fn restart(&self) -> bool {
        self.server.restart().await
    }
}
