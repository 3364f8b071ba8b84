//! `callsheet submit`

use clap::Args;
use shared::ids::MessageId;

use crate::cli::Coordinator;
use crate::error::CommandError;
use crate::film_args::FilmArgs;
use crate::{Context, term};

/// Submit a film to a coordinator and print its id, without waiting for it
#[derive(Debug, Args)]
pub(crate) struct Submit {
    #[command(flatten)]
    film: FilmArgs,
    /// Key that makes a repeat of this command harmless: the same key, the same film
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) coordinator: Coordinator,
}

impl Submit {
    /// Submits it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        let request = self.film.request()?;
        let key = self
            .key
            .clone()
            .unwrap_or_else(|| MessageId::generate().to_string());
        let client = context.client()?;
        let film = client.submit(&request, &key).await?;
        // The film is accepted, whatever becomes of this question.
        for unserved in client.film(film).await.map_or(Vec::new(), |it| it.unserved) {
            term::complain(&format!("callsheet: {}", term::plain(&unserved)));
        }
        match self.json {
            true => term::say_json(&shared::api::SubmitAnswer::Accepted { film }),
            false => term::say(&film.to_string()),
        }
        Ok(())
    }
}
