//! Follows a film to its end, over lost connections and restarts of the coordinator.

use std::time::Duration;

use futures::StreamExt;
use shared::api::{FilmView, JobView};
use shared::ids::FilmId;
use shared::job::JobStatus;

use crate::client::{Client, ClientError};
use crate::report::Report;
use crate::term;

/// First pause before a lost connection is made again; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest pause.
const PAUSE_CAP: Duration = Duration::from_secs(5);

/// Tells everything that happens to a film until it has ended; answers how it stands then.
///
/// # Errors
/// What the coordinator refused. A coordinator that cannot be reached is waited for, as the film goes on when it is back.
pub(crate) async fn follow(
    client: &Client,
    film: FilmId,
    report: &mut dyn Report,
) -> Result<FilmView, ClientError> {
    let mut last_id: Option<String> = None;
    let mut pause = PAUSE;
    let mut is_lost = false;
    loop {
        let lost = match listen(client, film, &mut last_id, report).await {
            Ok(heard) => {
                if heard {
                    (pause, is_lost) = (PAUSE, false);
                }
                // The stream ends with the film; it also ends with the coordinator.
                match client.film(film).await {
                    Ok(view) if view.summary.status.is_final() => return Ok(view),
                    Ok(_) => None,
                    Err(error) => Some(error),
                }
            }
            Err(error) => Some(error),
        };
        match lost {
            Some(error) if !error.may_pass() => return Err(error),
            Some(error) if !is_lost => {
                is_lost = true;
                report.note(&format!(
                    "lost the coordinator, trying again: {}",
                    shared::failure::chain(&error)
                ));
            }
            _ => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_CAP);
    }
}

/// Tells events until the stream ends; whether there was any.
async fn listen(
    client: &Client,
    film: FilmId,
    last_id: &mut Option<String>,
    report: &mut dyn Report,
) -> Result<bool, ClientError> {
    let mut events = std::pin::pin!(client.events(film, last_id.as_deref()).await?);
    let mut heard = false;
    while let Some(event) = events.next().await {
        let event = event?;
        heard = true;
        report.event(&event.event);
        if event.id.is_some() {
            *last_id = event.id;
        }
    }
    Ok(heard)
}

/// Why a film failed, one line for each failed job.
pub(crate) fn reasons(film: &FilmView) -> Vec<String> {
    let failed = |job: &&JobView| job.status == JobStatus::Failed;
    film.jobs
        .iter()
        .filter(failed)
        .map(|job| {
            let why = job
                .failure
                .as_ref()
                .map_or("no reason given".to_owned(), ToString::to_string);
            format!("{}: {}", crate::report::job_name(job), term::plain(&why))
        })
        .collect()
}
