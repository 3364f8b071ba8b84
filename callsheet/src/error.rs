//! How a command ends when it does not end well, and with which exit code.

use shared::failure::chain;
use shared::ids::FilmId;
use video_worker::workflows::{LibraryError, WorkflowError};

use crate::all_in_one::AllInOneError;
use crate::client::ClientError;
use crate::comfyui::LookError;
use crate::commands::probe::Unready;
use crate::film_args::RequestError;
use crate::save::SaveError;
use crate::secrets::FolderError;

/// Exit code of a failed film, and of everything else that went wrong on the way: a coordinator that broke off among it.
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
    /// The film is under way or even done, and this command cannot go on with it.
    #[error("{source}")]
    Stopped {
        /// Why.
        source: Box<Self>,
        /// How to go on. It is no part of the message, as it must come after all the reasons.
        hint: String,
    },
    /// The coordinator did not do it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The film cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The folder of workflows cannot be read.
    #[error(transparent)]
    Workflows(#[from] LibraryError),
    /// Files of workflows cannot be used.
    #[error("these workflows cannot be used:{}", listed(&texts(.0)))]
    BrokenWorkflows(Vec<WorkflowError>),
    /// A ComfyUI server could not be looked at.
    #[error(transparent)]
    Look(#[from] LookError),
    /// Workflows that no server could run.
    #[error("no server could run {}; what is missing stands above", .0.join(", "))]
    RunsNowhere(Vec<String>),
    /// Secrets cannot be made in a folder.
    #[error(transparent)]
    Secrets(#[from] FolderError),
    /// A program that was asked is not ready.
    #[error(transparent)]
    Unready(#[from] Unready),
    /// Workflows that no worker takes.
    #[error("no worker takes jobs for {} now; why stands above", .0.join(", "))]
    NobodyTakes(Vec<String>),
    /// Something on this machine is not as it should be.
    #[error("{bad} of {all} are not as they should be; what to do stands with each")]
    Unwell {
        /// How many.
        bad: usize,
        /// Of how many.
        all: usize,
    },
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

fn texts(errors: &[WorkflowError]) -> Vec<String> {
    // A workflow with several mistakes has a line for each.
    let lines = errors
        .iter()
        .map(|error| error.to_string().replace('\n', "\n  "));
    lines.collect()
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
            Self::Usage(_)
            | Self::Request(_)
            | Self::Settings(_)
            | Self::Telemetry(_)
            | Self::Workflows(_)
            | Self::Secrets(_) => USAGE,
            Self::Look(LookError::Unreachable { .. }) => USAGE,
            Self::Stopped { source, .. } => source.code(),
            Self::AllInOne(error) => match error {
                AllInOneError::Start(_)
                | AllInOneError::DataDir { .. }
                | AllInOneError::NotReady(_) => USAGE,
                AllInOneError::Worker(_) | AllInOneError::Another(_) | AllInOneError::Died(_) => {
                    FAILED
                }
            },
            Self::Client(error) if error.is_usage() => USAGE,
            Self::Save(SaveError::Extension(_) | SaveError::Folder { .. }) => USAGE,
            Self::Client(_)
            | Self::Save(_)
            | Self::Look(_)
            | Self::BrokenWorkflows(_)
            | Self::RunsNowhere(_)
            | Self::Unready(_)
            | Self::NobodyTakes(_)
            | Self::Unwell { .. }
            | Self::FilmFailed { .. }
            | Self::FilmCancelled(_) => FAILED,
            Self::Interrupted(_) => INTERRUPTED,
        }
    }

    /// What went wrong, with all its reasons.
    pub(crate) fn reason(&self) -> String {
        chain(self)
    }

    /// What to tell a person.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Stopped { hint, .. } => format!("{}\n{hint}", self.reason()),
            _ => self.reason(),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::api::Problem;

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
        for (status, code) in [(404, 2), (409, 2), (422, 2), (500, 1), (503, 1)] {
            let problem = Problem {
                kind: String::new(),
                title: String::new(),
                status,
                detail: String::new(),
                mistakes: Vec::new(),
            };
            let refused = CommandError::Client(ClientError::Refused(problem));
            assert_eq!(refused.code(), code, "status {status}");
        }
    }

    #[tokio::test]
    async fn who_is_not_there_and_who_hangs_up_have_codes_of_their_own() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = crate::client::Client::new(&url, None).unwrap();
        let hang_up = async { drop(listener.accept().await.unwrap()) };
        let (asked, ()) = tokio::join!(client.workers(), hang_up);
        let broken = CommandError::Client(asked.unwrap_err());
        assert_eq!(broken.code(), 1, "{}", broken.message());
        drop(listener);
        let unreachable = CommandError::Client(client.workers().await.unwrap_err());
        assert_eq!(unreachable.code(), 2, "{}", unreachable.message());
    }

    #[test]
    fn how_to_go_on_comes_after_every_reason() {
        let source = SaveError::Folder {
            folder: "films".into(),
            source: std::io::Error::other("the disk is full"),
        };
        let stopped = CommandError::Stopped {
            source: Box::new(source.into()),
            hint: "go on with: callsheet film --resume ID".to_owned(),
        };
        assert_eq!(stopped.code(), 2);
        assert!(
            stopped.reason().ends_with("--out: the disk is full"),
            "{}",
            stopped.reason()
        );
        assert!(
            stopped
                .message()
                .ends_with("--out: the disk is full\ngo on with: callsheet film --resume ID"),
            "{}",
            stopped.message()
        );
    }
}
