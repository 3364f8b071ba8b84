//! `callsheet film`

use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use shared::api::{FilmStatus, FilmView};
use shared::film::FilmRequest;
use shared::ids::{FilmId, MessageId};
use shared::shutdown::shutdown_on_signals;
use tokio_util::sync::CancellationToken;

use crate::all_in_one::AllInOne;
use crate::cli::{Coordinator, DataDir};
use crate::client::Client;
use crate::error::CommandError;
use crate::film_args::FilmArgs;
use crate::follow::{follow, reasons};
use crate::report::Report;
use crate::save::Destination;
use crate::{Context, term};

/// Make a film: wait for it, and write it here with its manifest beside it
///
/// Without --coordinator everything runs in this process, and what is finished is kept in the data folder: a film that was
/// interrupted goes on with --resume, and nothing is made twice.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Film {
    #[command(flatten)]
    film: FilmArgs,

    /// Where the film goes: a file ending in .mp4, or a folder [default: named after the title, here]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Go on with a film that was interrupted; a failed one gets new tries
    #[arg(long, value_name = "ID", conflicts_with_all = ["premise", "script", "scenes", "seconds", "size", "fps", "seed", "title"])]
    resume: Option<FilmId>,

    /// Print each event as a line of JSON; the last line tells how it ended
    #[arg(long)]
    json: bool,

    /// Let this coordinator and its workers make the film, instead of this process
    #[command(flatten)]
    pub(crate) coordinator: Coordinator,

    #[command(flatten)]
    pub(crate) data_dir: DataDir,
}

const AFTER: &str = "Examples:
  callsheet film \"A lighthouse keeper befriends a storm\"
  callsheet film \"Two robots learn to dance\" --scenes 12 --seconds 3 --size 1280x720 --seed 7
  callsheet film --script examples/last-ferry.toml --out ferry.mp4
  callsheet film --resume 0199c1a4-7a3e-7b52-8d5f-3f6f2c7b9a10
  callsheet film \"A fox\" --coordinator http://studio:7420

Nothing is overwritten: if the file is there, another name is chosen and told.";

impl Film {
    /// Makes it.
    pub(crate) async fn run(self, context: Context) -> Result<(), CommandError> {
        let stop = shutdown_on_signals();
        let order = match self.resume {
            Some(film) => Order::Resume(film),
            None => Order::New(Box::new(self.film.request()?)),
        };
        let destination = Destination::check(self.out.as_deref())?;
        let report = context.report(self.json);
        let mut shoot = Shoot {
            order,
            destination,
            report,
            film: None,
        };
        let is_here = context.settings.client.coordinator.is_none();
        let made = match is_here {
            true => shoot.here(&context, stop).await,
            false => shoot.there(&context.client()?, stop).await,
        };
        shoot.report.close();
        let made = made.map_err(|error| shoot.explain(error, is_here));
        if let (true, Some(film)) = (self.json, shoot.film) {
            Ending::of(film, &made).say();
        } else if let Ok(Ending::Completed {
            path: Some(path), ..
        }) = &made
        {
            term::say(&path.display().to_string());
        }
        made.map(drop)
    }
}

/// What is to be made.
#[derive(Debug)]
enum Order {
    New(Box<FilmRequest>),
    Resume(FilmId),
}

/// One film on its way.
struct Shoot {
    order: Order,
    destination: Destination,
    report: Box<dyn Report>,
    /// The film, as soon as it is known.
    film: Option<FilmId>,
}

impl Shoot {
    /// Everything in this process.
    async fn here(
        &mut self,
        context: &Context,
        stop: CancellationToken,
    ) -> Result<Ending, CommandError> {
        let mut all = AllInOne::start(&context.settings).await?;
        let made = match Client::new(&all.url()) {
            Ok(client) => self.unless_broken(&client, &mut all, stop).await,
            Err(error) => Err(error.into()),
        };
        all.shutdown().await;
        made
    }

    async fn unless_broken(
        &mut self,
        client: &Client,
        all: &mut AllInOne,
        stop: CancellationToken,
    ) -> Result<Ending, CommandError> {
        // What is missing is looked for while the film begins: a film must not wait for what will not come.
        let missing = all.missing();
        let missing = async {
            match missing.await {
                Err(missing) => missing,
                Ok(()) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            missing = missing => Err(CommandError::AllInOne(missing.into())),
            made = unless_stopped(self.make(client), stop) => made,
            error = all.failed() => Err(error.into()),
        }
    }

    /// A coordinator elsewhere.
    async fn there(
        &mut self,
        client: &Client,
        stop: CancellationToken,
    ) -> Result<Ending, CommandError> {
        unless_stopped(self.make(client), stop).await
    }

    /// Submits or finds the film, follows it and writes it down.
    async fn make(&mut self, client: &Client) -> Result<Ending, CommandError> {
        let film = match &self.order {
            Order::New(request) => {
                client
                    .submit(request, &MessageId::generate().to_string())
                    .await?
            }
            Order::Resume(film) => {
                let view = client.film(*film).await?;
                if view.summary.status == FilmStatus::Failed {
                    client.retry(*film).await?;
                }
                *film
            }
        };
        self.film = Some(film);
        let view = follow(client, film, self.report.as_mut()).await?;
        let scenes = ended(&view, &format!("callsheet film --resume {film}"))?;
        let title = view.summary.title.as_deref().unwrap_or_default();
        let path = self.destination.save(client, film, title).await?;
        Ok(Ending::Completed {
            film,
            path: Some(path),
            scenes,
        })
    }

    /// Says what to type next.
    fn explain(&self, error: CommandError, is_here: bool) -> CommandError {
        match (error, self.film) {
            (CommandError::Interrupted(_), Some(film)) => CommandError::Interrupted(match is_here {
                true => format!("interrupted; go on with: callsheet film --resume {film}"),
                false => format!("film {film} goes on there; fetch it with the same --coordinator and --resume {film}"),
            }),
            (CommandError::AllInOne(source), Some(film)) => CommandError::Held { film, source },
            (CommandError::Client(error), _) if error.is_not_found() => CommandError::Usage(match is_here {
                true => "there is no such film in this data folder; name the one it was begun in with --data-dir".to_owned(),
                false => "there is no such film at this coordinator; if it was begun without one, leave --coordinator out".to_owned(),
            }),
            (error, _) => error,
        }
    }
}

async fn unless_stopped(
    made: impl Future<Output = Result<Ending, CommandError>>,
    stop: CancellationToken,
) -> Result<Ending, CommandError> {
    let interrupted =
        || CommandError::Interrupted("interrupted before the film was accepted".to_owned());
    stop.run_until_cancelled(made)
        .await
        .unwrap_or_else(|| Err(interrupted()))
}

/// The number of scenes of a completed film; otherwise why it is none.
pub(super) fn ended(film: &FilmView, again: &str) -> Result<usize, CommandError> {
    match film.summary.status {
        FilmStatus::Completed => Ok(film.scenes.len()),
        FilmStatus::Cancelled => Err(CommandError::FilmCancelled(film.summary.id)),
        FilmStatus::Failed | FilmStatus::Running => Err(CommandError::FilmFailed {
            film: film.summary.id,
            reasons: reasons(film),
            again: again.to_owned(),
        }),
    }
}

/// The last line for programs.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Ending {
    /// The film is there.
    #[serde(rename = "film_completed")]
    Completed {
        film: FilmId,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<PathBuf>,
        scenes: usize,
    },
    /// It is not, and will not be by itself.
    #[serde(rename = "film_failed")]
    Failed { film: FilmId, reasons: Vec<String> },
    /// Someone cancelled it.
    #[serde(rename = "film_cancelled")]
    Cancelled { film: FilmId },
    /// Someone pressed Ctrl-C.
    Interrupted { film: FilmId },
}

impl Ending {
    /// How it ended.
    pub(super) fn of(film: FilmId, made: &Result<Self, CommandError>) -> Self {
        match made {
            Ok(Self::Completed { film, path, scenes }) => Self::Completed {
                film: *film,
                path: path.clone(),
                scenes: *scenes,
            },
            Err(CommandError::FilmCancelled(film)) | Ok(Self::Cancelled { film }) => {
                Self::Cancelled { film: *film }
            }
            Err(CommandError::Interrupted(_)) | Ok(Self::Interrupted { .. }) => {
                Self::Interrupted { film }
            }
            Err(CommandError::FilmFailed { reasons, .. }) | Ok(Self::Failed { reasons, .. }) => {
                Self::Failed {
                    film,
                    reasons: reasons.clone(),
                }
            }
            Err(error) => Self::Failed {
                film,
                reasons: vec![error.message()],
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
    use super::*;

    fn shown(made: &Result<Ending, CommandError>) -> String {
        serde_json::to_string(&Ending::of(FilmId::from_u128(1), made)).unwrap()
    }

    #[test]
    fn the_last_line_is_the_one_that_was_promised() {
        let film = FilmId::from_u128(1);
        let id = "00000000-0000-0000-0000-000000000001";
        let done = Ending::Completed {
            film,
            path: Some("storm.mp4".into()),
            scenes: 6,
        };
        assert_eq!(
            shown(&Ok(done)),
            format!(r#"{{"event":"film_completed","film":"{id}","path":"storm.mp4","scenes":6}}"#)
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
