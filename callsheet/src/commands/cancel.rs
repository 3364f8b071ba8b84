//! `callsheet cancel`

use clap::Args;
use shared::ids::FilmId;

use crate::cli::Coordinator;
use crate::error::CommandError;
use crate::{Context, term};

/// Cancel a film: nothing of it starts any more, and what runs is stopped
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The film
    id: FilmId,
    #[command(flatten)]
    pub(crate) coordinator: Coordinator,
}

impl Cancel {
    /// Cancels it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        let film = context.client()?.cancel(self.id).await?;
        term::say(&format!(
            "film {}: {}",
            self.id,
            super::status(film.summary.status)
        ));
        Ok(())
    }
}
