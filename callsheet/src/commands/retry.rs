//! `callsheet retry`

use clap::Args;
use shared::ids::FilmId;

use crate::cli::Coordinator;
use crate::error::CommandError;
use crate::{Context, term};

/// Give the failed jobs of a film new tries
#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// The film
    id: FilmId,
    #[command(flatten)]
    pub(crate) coordinator: Coordinator,
}

impl Retry {
    /// Gives them.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        let film = context.client()?.retry(self.id).await?;
        term::say(&format!(
            "film {}: {}",
            self.id,
            super::status(film.summary.status)
        ));
        Ok(())
    }
}
