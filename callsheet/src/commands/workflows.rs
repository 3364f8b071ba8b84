//! `callsheet workflows list`, `check` and `export`

mod at_workers;
pub(crate) mod check;
mod export;
mod list;

use clap::{Args, Subcommand};
use url::Url;
use video_worker::comfyui::server_url;
use video_worker::workflows::Library;

use crate::Context;
use crate::error::CommandError;

/// Look at the workflows that ComfyUI servers are given, and at what they need
#[derive(Debug, Args)]
pub(crate) struct Workflows {
    #[command(subcommand)]
    asked: Asked,
}

#[derive(Debug, Subcommand)]
enum Asked {
    List(list::List),
    Check(check::Check),
    Export(export::Export),
}

impl Workflows {
    /// Does what is asked for.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        match &self.asked {
            Asked::List(list) => list.run(context),
            Asked::Check(check) => check.run(context).await,
            Asked::Export(export) => export.run(),
        }
    }
}

impl Context {
    /// The workflows that come with the program, and those of the folder in the settings.
    fn workflows(&self) -> Result<Library, CommandError> {
        let folder = self.settings.comfyui.folder();
        Ok(Library::load(folder)?)
    }

    /// The ComfyUI servers that were typed, or else the one in the settings.
    pub(super) fn comfyui(&self, typed: &[String]) -> Result<Vec<Url>, CommandError> {
        if typed.is_empty() {
            return Ok(self.settings.comfyui_url().into_iter().collect());
        }
        let urls = typed.iter().map(|text| server_url(text));
        urls.collect::<Result<_, _>>().map_err(CommandError::Usage)
    }
}
