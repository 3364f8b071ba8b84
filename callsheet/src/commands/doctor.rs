//! `callsheet doctor`

use clap::Args;
use video_worker::workflows::Library;

use super::workflows::check::look_at;
use crate::doctor::{self, Check, Verdict};
use crate::error::CommandError;
use crate::settings::Settings;
use crate::{Context, term};

/// Look at everything that films need here, and say what is missing and what to do
///
/// Looked at are the settings of all programs, the coordinator with its certificate and its database, the broker with what is declared there and what its
/// user may do, room on the disks, the clocks, the store of files, ffmpeg, the card, and each server with its models and
/// workflows. The exit code is 0 if nothing is wrong, 1 if something is.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// A ComfyUI server to look at; may be given several times [default: the one in the settings]
    #[arg(long, value_name = "URL")]
    comfyui: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Looks.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        let checks = self.checks(context).await?;
        if self.json {
            term::say_json(&checks);
        } else {
            let width = checks
                .iter()
                .map(|check| check.what.chars().count())
                .max()
                .unwrap_or(0);
            for check in &checks {
                term::say(&check.text(width));
            }
        }
        match checks
            .iter()
            .filter(|check| check.verdict == Verdict::Bad)
            .count()
        {
            0 => Ok(()),
            bad => Err(CommandError::Unwell {
                bad,
                all: checks.len(),
            }),
        }
    }

    /// Everything, in the order in which it is told.
    async fn checks(&self, context: &Context) -> Result<Vec<Check>, CommandError> {
        let urls = context.comfyui(&self.comfyui)?;
        let settings = &context.settings;
        let folder = settings.comfyui.folder();
        let library = Library::load(folder);
        let file = context.config.as_deref();
        let data_dir = &settings.coordinator.data_dir;
        let coordinator = settings.coordinator_url();
        let is_named = settings.client.coordinator.is_some();
        let artifacts = Settings::artifacts(file);
        let mut disks = vec![data_dir.clone()];
        // Of a place elsewhere, who keeps it knows.
        disks.extend(artifacts.iter().filter_map(|it| doctor::folder_of(&it.url)));
        let (coordinator, certificate, store, broker, artifacts, ffmpeg, card, models, servers) = tokio::join!(
            doctor::coordinator(&coordinator, is_named),
            doctor::certificate(&settings.coordinator.tls),
            doctor::store(data_dir),
            doctor::broker(Settings::broker_url(file)),
            doctor::artifacts(artifacts),
            doctor::ffmpeg(&settings.ffmpeg),
            doctor::card(&settings.gpu),
            doctor::models(&settings.llm),
            look_at(urls),
        );
        let mut checks = vec![doctor::settings(file, context.unusable.as_ref())];
        checks.extend(coordinator);
        checks.extend(certificate);
        checks.extend([doctor::data_dir(data_dir), store, doctor::disk(&disks)]);
        checks.extend(broker);
        checks.extend([artifacts, ffmpeg, card, doctor::ledger(&settings.gpu)]);
        checks.extend(models);
        checks.push(doctor::workflows(folder, &library));
        let server = |server| doctor::comfyui(server, library.as_ref().ok());
        checks.extend(servers.iter().map(server));
        if servers.is_empty() {
            checks.push(doctor::no_comfyui());
        }
        Ok(checks)
    }
}
