//! The commands, one file each.

pub(crate) mod cancel;
pub(crate) mod completions;
pub(crate) mod doctor;
mod ending;
pub(crate) mod explain;
pub(crate) mod film;
pub(crate) mod list;
pub(crate) mod probe;
pub(crate) mod retry;
pub(crate) mod secrets;
pub(crate) mod show;
pub(crate) mod submit;
pub(crate) mod up;
pub(crate) mod watch;
pub(crate) mod workers;
pub(crate) mod workflows;

use shared::api::{FilmStatus, FilmSummary};

use crate::Context;
use crate::client::{Client, ClientError};
use crate::report::{Bars, Json, Lines, Report};

impl Context {
    /// A client of the coordinator that was named, or of the one that `callsheet up` starts.
    fn client(&self) -> Result<Client, ClientError> {
        let client = Client::new(&self.settings.coordinator_url(), self.settings.token())?;
        Ok(client.part_of(self.part_of))
    }

    /// Where progress goes.
    fn report(&self, json: bool) -> Box<dyn Report> {
        match &self.screen {
            _ if json => Box::new(Json),
            Some(screen) => Box::new(Bars::new(screen.clone())),
            None => Box::new(Lines),
        }
    }
}

/// Where a film stands, in a word.
const fn status(status: FilmStatus) -> &'static str {
    match status {
        FilmStatus::Running => "running",
        FilmStatus::Completed => "completed",
        FilmStatus::Failed => "failed",
        FilmStatus::Cancelled => "cancelled",
    }
}

/// How many of a film's jobs are done, as `5/14`.
fn jobs(film: &FilmSummary) -> String {
    let failed = match film.jobs_failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    format!("{}/{}{failed}", film.jobs_completed, film.jobs)
}
