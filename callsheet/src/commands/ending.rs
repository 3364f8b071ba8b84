//! How a film ended: for the exit code, and for programs as the last line.

use std::path::Path;

use serde::Serialize;
use shared::api::{FilmStatus, FilmView};
use shared::ids::FilmId;

use crate::error::CommandError;
use crate::follow::reasons;
use crate::term;

/// The last line for programs. `callsheet film --help` documents it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Ending {
    /// The film is there.
    #[serde(rename = "film_completed")]
    Completed {
        film: FilmId,
        /// Its file, if it was written here. A name that is no text is told as well as can be.
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        scenes: usize,
        /// Everything that is not as it was asked for.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        fallbacks: Vec<String>,
    },
    /// It is not, and will not be by itself.
    #[serde(rename = "film_failed")]
    Failed { film: FilmId, reasons: Vec<String> },
    /// Someone cancelled it.
    #[serde(rename = "film_cancelled")]
    Cancelled { film: FilmId },
    /// It has not failed, and this command cannot go on with it.
    #[serde(rename = "film_stopped")]
    Stopped { film: FilmId, reason: String },
    /// Someone pressed Ctrl-C.
    Interrupted { film: FilmId },
}

impl Ending {
    /// That of a film that has ended. `again` is what to type if it failed.
    ///
    /// # Errors
    /// If it was not completed.
    pub(super) fn completed(film: &FilmView, again: &str) -> Result<Self, CommandError> {
        match film.summary.status {
            FilmStatus::Completed => Ok(Self::Completed {
                film: film.summary.id,
                path: None,
                scenes: film.scenes.len(),
                fallbacks: film.fallbacks.clone(),
            }),
            FilmStatus::Cancelled => Err(CommandError::FilmCancelled(film.summary.id)),
            FilmStatus::Failed | FilmStatus::Running => Err(CommandError::FilmFailed {
                film: film.summary.id,
                reasons: reasons(film),
                again: again.to_owned(),
            }),
        }
    }

    /// With the place it was written to.
    pub(super) fn at(mut self, file: &Path) -> Self {
        if let Self::Completed { path, .. } = &mut self {
            *path = Some(file.display().to_string());
        }
        self
    }

    /// How it ended, whatever happened.
    pub(super) fn of(film: FilmId, made: &Result<Self, CommandError>) -> Self {
        match made {
            Ok(ending) => ending.clone(),
            Err(CommandError::FilmCancelled(film)) => Self::Cancelled { film: *film },
            Err(CommandError::Interrupted(_)) => Self::Interrupted { film },
            Err(CommandError::FilmFailed { reasons, .. }) => Self::Failed {
                film,
                reasons: reasons.clone(),
            },
            Err(error) => Self::Stopped {
                film,
                reason: error.reason(),
            },
        }
    }

    /// Prints it.
    pub(super) fn say(&self) {
        term::say_json(self);
    }
}

#[cfg(test)]
mod tests {
    use worker_runtime::backend::NotReady;

    use super::*;
    use crate::all_in_one::AllInOneError;

    fn shown(made: &Result<Ending, CommandError>) -> String {
        serde_json::to_string(&Ending::of(FilmId::from_u128(1), made)).unwrap()
    }

    #[test]
    fn the_last_line_is_the_one_that_was_promised() {
        let film = FilmId::from_u128(1);
        let id = "00000000-0000-0000-0000-000000000001";
        let done = |fallbacks| Ending::Completed {
            film,
            path: Some("storm.mp4".to_owned()),
            scenes: 6,
            fallbacks,
        };
        assert_eq!(
            shown(&Ok(done(Vec::new()))),
            format!(r#"{{"event":"film_completed","film":"{id}","path":"storm.mp4","scenes":6}}"#)
        );
        assert_eq!(
            shown(&Ok(done(vec!["scene 3: slower".to_owned()]))),
            format!(
                r#"{{"event":"film_completed","film":"{id}","path":"storm.mp4","scenes":6,"fallbacks":["scene 3: slower"]}}"#
            )
        );
        let failed = CommandError::FilmFailed {
            film,
            reasons: vec!["scene 3: blank".to_owned()],
            again: String::new(),
        };
        assert_eq!(
            shown(&Err(failed)),
            format!(r#"{{"event":"film_failed","film":"{id}","reasons":["scene 3: blank"]}}"#)
        );
        let missing = AllInOneError::NotReady(NotReady("install ffmpeg".to_owned()));
        let stopped = CommandError::Stopped {
            source: Box::new(missing.into()),
            hint: format!("go on with: callsheet film --resume {id}"),
        };
        assert_eq!(
            shown(&Err(stopped)),
            format!(r#"{{"event":"film_stopped","film":"{id}","reason":"install ffmpeg"}}"#)
        );
        assert_eq!(
            shown(&Err(CommandError::Interrupted(String::new()))),
            format!(r#"{{"event":"interrupted","film":"{id}"}}"#)
        );
        assert_eq!(
            shown(&Err(CommandError::FilmCancelled(film))),
            format!(r#"{{"event":"film_cancelled","film":"{id}"}}"#)
        );
    }
}
