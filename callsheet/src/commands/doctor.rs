//! `callsheet doctor`

use clap::Args;
use video_worker::workflows::Library;

use super::workflows::check::look_at;
use crate::doctor::{self, Check, Verdict};
use crate::error::CommandError;
use crate::settings::Settings;
use crate::{Context, term};

/// Look at everything that films need here, and say what is missing and what to do
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
        let broker = Settings::broker_url(context.config.as_deref());
        let (ffmpeg, broker, servers) = tokio::join!(
            doctor::ffmpeg(&settings.ffmpeg),
            doctor::broker(broker),
            look_at(urls),
        );
        let mut checks = vec![
            ffmpeg,
            doctor::data_dir(&settings.coordinator.data_dir),
            broker,
            doctor::workflows(folder, &library),
        ];
        let server = |server| doctor::comfyui(server, library.as_ref().ok());
        checks.extend(servers.iter().map(server));
        if servers.is_empty() {
            checks.push(doctor::no_comfyui());
        }
        Ok(checks)
    }
}
