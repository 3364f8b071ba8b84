//! `callsheet show`

use clap::Args;
use shared::api::{FilmView, JobView};
use shared::ids::FilmId;

use super::{jobs, status};
use crate::cli::Coordinator;
use crate::error::CommandError;
use crate::report::job_name;
use crate::table::table;
use crate::{Context, term};

/// Show everything about a film: its story, its jobs, and what they wait for
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The film
    id: FilmId,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) coordinator: Coordinator,
}

impl Show {
    /// Shows it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        let film = context.client()?.film(self.id).await?;
        match self.json {
            true => term::say_json(&film),
            false => term::say(&text(&film)),
        }
        Ok(())
    }
}

fn text(film: &FilmView) -> String {
    let request = &film.request;
    let seed = request
        .seed
        .map(|seed| format!(", seed {seed}"))
        .unwrap_or_default();
    let mut facts = vec![
        ("film", film.summary.id.to_string()),
        (
            "status",
            format!(
                "{}, {} jobs",
                status(film.summary.status),
                jobs(&film.summary)
            ),
        ),
        (
            "picture",
            format!(
                "{}, {} frames per second{seed}",
                request.frame_size(),
                request.frame_rate()
            ),
        ),
    ];
    facts.extend(film.summary.title.clone().map(|title| ("title", title)));
    facts.extend(request.premise.clone().map(|premise| ("premise", premise)));
    facts.extend(
        film.story
            .as_ref()
            .map(|story| ("logline", story.logline.clone())),
    );
    facts.extend(
        film.story
            .as_ref()
            .map(|story| ("look", story.look.clone())),
    );
    facts.extend(
        film.seconds
            .map(|seconds| ("length", format!("{seconds:.2} s"))),
    );
    facts.extend(
        film.fallbacks
            .iter()
            .map(|fallback| ("fallback", fallback.clone())),
    );
    facts.extend(film.unserved.iter().map(|line| ("lacks", line.clone())));
    let facts: Vec<_> = facts
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), term::plain(&value)])
        .collect();
    let scenes = film
        .story
        .iter()
        .flat_map(|story| &story.scenes)
        .map(|scene| {
            let about = format!("{} ({}, {} s)", scene.title, scene.camera, scene.seconds);
            vec![
                scene.number.to_string(),
                term::plain(&about),
                term::plain(&scene.action),
            ]
        });
    let jobs = film.jobs.iter().map(job);
    let sections = [facts, scenes.collect(), jobs.collect::<Vec<_>>()];
    let shown = sections
        .iter()
        .filter(|rows| !rows.is_empty())
        .map(|rows| table(rows));
    shown.collect::<Vec<_>>().join("\n\n")
}

fn job(job: &JobView) -> Vec<String> {
    let worker = job
        .worker
        .as_ref()
        .map_or("-".to_owned(), ToString::to_string);
    let failure = job.failure.as_ref().map(ToString::to_string);
    let progress = job.progress.as_ref().map(|progress| match progress.steps {
        0 => progress.phase.clone(),
        steps => format!("{} {}/{steps}", progress.phase, progress.step),
    });
    let note = job
        .waiting
        .clone()
        .or(progress)
        .or(failure)
        .unwrap_or_default();
    vec![
        job_name(job),
        job.status.to_string(),
        job.profile.to_string(),
        format!("attempt {}", job.attempt),
        worker,
        term::plain(&note),
    ]
}
