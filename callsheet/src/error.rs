//! How a command ends when it does not end well, and with which exit code.

use shared::failure::chain;
use shared::ids::FilmId;

use crate::all_in_one::AllInOneError;
use crate::client::ClientError;
use crate::film_args::RequestError;
use crate::save::SaveError;

/// Exit code of a failed film, and of everything else that went wrong on the way.
const FAILED: u8 = 1;
/// Exit code of what the person who typed can put right: usage, settings, what is not installed or not reachable.
const USAGE: u8 = 2;
/// Exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// What was typed does not fit.
    #[error("{0}")]
    Usage(String),
    /// The film that was asked for cannot be.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] shared::settings::SettingsError),
    /// The log cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] shared::telemetry::TelemetryError),
    /// Something in this process cannot start or go on.
    #[error(transparent)]
    AllInOne(#[from] AllInOneError),
    /// Something in this process cannot go on, and a film is under way.
    #[error("{source}\nWhen that is put right, go on with: callsheet film --resume {film}")]
    Held {
        /// The film.
        film: FilmId,
        /// Why.
        source: AllInOneError,
    },
    /// The coordinator did not do it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The film cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The film failed.
    #[error(
        "film {film} failed:{}\nGive its failed jobs new tries with: {again}",
        listed(reasons)
    )]
    FilmFailed {
        /// The film.
        film: FilmId,
        /// One line for each failed job.
        reasons: Vec<String>,
        /// What to type.
        again: String,
    },
    /// The film was cancelled.
    #[error("film {0} was cancelled")]
    FilmCancelled(FilmId),
    /// Someone pressed Ctrl-C.
    #[error("{0}")]
    Interrupted(String),
}

fn listed(reasons: &[String]) -> String {
    reasons
        .iter()
        .map(|reason| format!("\n  {reason}"))
        .collect()
}

impl CommandError {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Request(_) | Self::Settings(_) | Self::Telemetry(_) => USAGE,
            Self::AllInOne(error) | Self::Held { source: error, .. } => match error {
                AllInOneError::Start(_)
                | AllInOneError::DataDir { .. }
                | AllInOneError::NotReady(_) => USAGE,
                AllInOneError::Worker(_) | AllInOneError::Another(_) | AllInOneError::Died(_) => {
                    FAILED
                }
            },
            Self::Client(_) => USAGE,
            Self::Save(SaveError::Extension(_) | SaveError::Folder { .. }) => USAGE,
            Self::Save(_) | Self::FilmFailed { .. } | Self::FilmCancelled(_) => FAILED,
            Self::Interrupted(_) => INTERRUPTED,
        }
    }

    /// What to tell a person.
    pub(crate) fn message(&self) -> String {
        chain(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_that_were_promised() {
        let film = FilmId::from_u128(1);
        let failed = CommandError::FilmFailed {
            film,
            reasons: vec!["scene 3: blank".to_owned()],
            again: "callsheet film --resume ID".to_owned(),
        };
        assert!(
            failed.message().contains("\n  scene 3: blank\n"),
            "{}",
            failed.message()
        );
        assert_eq!(failed.code(), 1);
        assert_eq!(CommandError::FilmCancelled(film).code(), 1);
        assert_eq!(CommandError::Usage(String::new()).code(), 2);
        assert_eq!(
            CommandError::Client(ClientError::Url("x".to_owned())).code(),
            2
        );
        assert_eq!(CommandError::Interrupted(String::new()).code(), 130);
    }
}
