//! `callsheet film`

use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use shared::api::FilmStatus;
use shared::film::FilmRequest;
use shared::ids::{FilmId, MessageId};
use shared::job::JobKind;
use shared::profile::Profile;
use shared::shutdown::shutdown_on_signals;
use tokio_util::sync::CancellationToken;
use worker_runtime::backend::NotReady;

use super::ending::Ending;
use crate::again::Again;
use crate::all_in_one::AllInOne;
use crate::cli::{Coordinator, DataDir};
use crate::client::Client;
use crate::error::CommandError;
use crate::film_args::FilmArgs;
use crate::follow::follow;
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
    pub(crate) out: Option<PathBuf>,

    /// Go on with a film that was interrupted; a failed one gets new tries
    #[arg(long, value_name = "ID", conflicts_with = "FilmArgs")]
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

Nothing is overwritten: if the file is there, another name is chosen and told.

With --json the last line is one of
  {\"event\":\"film_completed\",\"film\":ID,\"path\":FILE,\"scenes\":N}   and \"fallbacks\":[...] if not all is as asked for
  {\"event\":\"film_failed\",\"film\":ID,\"reasons\":[...]}
  {\"event\":\"film_cancelled\",\"film\":ID}
  {\"event\":\"film_stopped\",\"film\":ID,\"reason\":TEXT}   it has not failed: --resume ID goes on, or fetches it
  {\"event\":\"interrupted\",\"film\":ID}
and there is none if no film was accepted.";

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
            again: context.again.clone(),
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
            term::say(path);
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
    again: Again,
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
        let client = Client::new(&all.url(), context.settings.own_token());
        let made = match client.map(|client| client.part_of(context.part_of)) {
            Ok(client) => {
                let missing = all.missing(&self.wants(context));
                self.unless_broken(&client, &mut all, missing, stop).await
            }
            Err(error) => Err(error.into()),
        };
        all.shutdown().await;
        made
    }

    /// Whether a profile does a job of this film; of one that was begun before, as far as the settings tell. A model or a server that
    /// other films would be made with may be absent.
    fn wants(&self, context: &Context) -> impl Fn(&Profile) -> bool + use<> {
        let usual = &context.settings.coordinator.profiles;
        let (chosen, is_new) = match &self.order {
            Order::New(request) => (usual.for_film(request), true),
            Order::Resume(_) => (usual.clone(), false),
        };
        move |profile| {
            let is_known = is_new || profile.kind != JobKind::Story;
            is_known && *chosen.of(profile.kind) == profile.name
        }
    }

    async fn unless_broken(
        &mut self,
        client: &Client,
        all: &mut AllInOne,
        missing: impl Future<Output = Result<(), NotReady>>,
        stop: CancellationToken,
    ) -> Result<Ending, CommandError> {
        // What is missing is looked for while the film begins: a film must not wait for what will not come.
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
        let completed = Ending::completed(&view, &self.again.resume(film))?;
        let title = view.summary.title.as_deref().unwrap_or_default();
        let path = self.destination.save(client, film, title).await?;
        Ok(completed.at(&path))
    }

    /// Says what to type next.
    fn explain(&self, error: CommandError, is_here: bool) -> CommandError {
        let stopped = |error: CommandError, hint| CommandError::Stopped {
            source: Box::new(error),
            hint,
        };
        match (error, self.film) {
            (CommandError::Client(error), _) if error.is_not_found() => CommandError::Usage(match is_here {
                true => "there is no such film in this data folder; name the one it was begun in with --data-dir".to_owned(),
                false => "there is no such film at this coordinator; if it was begun without one, leave --coordinator out".to_owned(),
            }),
            (CommandError::Interrupted(_), Some(film)) => {
                let resume = self.again.resume(film);
                CommandError::Interrupted(match is_here {
                    true => format!("interrupted; go on with: {resume}"),
                    false => format!("interrupted; the film goes on there, fetch it with: {resume}"),
                })
            }
            (error @ CommandError::Save(_), Some(film)) => {
                let elsewhere = self.again.resume_elsewhere(film);
                stopped(error, format!("The film is made and kept. Write it elsewhere with: {elsewhere}"))
            }
            (error @ (CommandError::AllInOne(_) | CommandError::Client(_)), Some(film)) => {
                let resume = self.again.resume(film);
                stopped(error, format!("When that is put right, go on with: {resume}"))
            }
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
