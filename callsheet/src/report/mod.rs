//! Tells how a film gets on: bars on a terminal, lines in a pipe, JSON for programs.

mod bars;
mod json;
mod lines;

use shared::api::{FilmEvent, JobView};
use shared::job::JobKind;

pub(crate) use bars::Bars;
pub(crate) use json::Json;
pub(crate) use lines::Lines;

/// Where progress goes. How the film ended is said by the command, not here.
pub(crate) trait Report: Send {
    /// Something happened to the film.
    fn event(&mut self, event: &FilmEvent);

    /// Something happened on the way to us, as a lost connection.
    fn note(&mut self, text: &str);

    /// No more comes.
    fn close(&mut self);
}

/// What a person calls a job.
pub(crate) fn job_name(job: &JobView) -> String {
    match (job.kind, job.scene) {
        (JobKind::Keyframe, Some(number)) => format!("keyframe {number}"),
        (JobKind::Scene, Some(number)) => format!("scene {number}"),
        (kind, _) => kind.to_string(),
    }
}
