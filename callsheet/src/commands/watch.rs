//! `callsheet watch`

use clap::Args;
use shared::ids::FilmId;
use shared::shutdown::shutdown_on_signals;

use super::film::{Ending, ended};
use crate::cli::Coordinator;
use crate::error::CommandError;
use crate::follow::follow;
use crate::{Context, term};

/// Follow a film until it has ended
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The film
    id: FilmId,
    /// Print each event as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) coordinator: Coordinator,
}

impl Watch {
    /// Follows it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        // A film that is not there, or a coordinator that is not there, is said at once.
        client.film(self.id).await?;
        let stop = shutdown_on_signals();
        let mut report = context.report(self.json);
        let followed = stop
            .run_until_cancelled(follow(&client, self.id, report.as_mut()))
            .await;
        report.close();
        let Some(film) = followed else {
            return Err(CommandError::Interrupted(format!(
                "film {} goes on",
                self.id
            )));
        };
        let again = format!("callsheet retry {}", self.id);
        let ending = ended(&film?, &again).map(|scenes| Ending::Completed {
            film: self.id,
            path: None,
            scenes,
        });
        if self.json {
            Ending::of(self.id, &ending).say();
        } else if ending.is_ok() {
            term::say(&format!(
                "film {} is done: {}v1/films/{0}/film.mp4",
                self.id,
                client.url()
            ));
        }
        ending.map(drop)
    }
}
