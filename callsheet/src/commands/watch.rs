//! `callsheet watch`

use clap::Args;
use shared::ids::FilmId;
use shared::shutdown::shutdown_on_signals;

use super::ending::Ending;
use crate::cli::Coordinator;
use crate::error::CommandError;
use crate::follow::follow;
use crate::{Context, term};

/// Follow a film until it has ended
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The film
    id: FilmId,
    /// Print each event as a line of JSON; the last line tells how it ended
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
        let ending = match followed {
            Some(film) => {
                let again = context.again.line("retry", &[&self.id.to_string()]);
                Ending::completed(&film?, &again)
            }
            None => {
                let goes_on = format!("film {} goes on", self.id);
                Err(CommandError::Interrupted(goes_on))
            }
        };
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
