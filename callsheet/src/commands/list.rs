//! `callsheet list`

use clap::Args;
use shared::api::FilmSummary;
use shared::ids::FilmId;

use super::{jobs, status};
use crate::cli::Coordinator;
use crate::error::CommandError;
use crate::table::table;
use crate::{Context, term};

/// Longest title or premise in a line, in characters.
const TITLE_MAX: usize = 50;

/// List films, newest first
#[derive(Debug, Args)]
pub(crate) struct List {
    /// How many at most, 1 to 200
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    /// Only films older than this one
    #[arg(long, value_name = "ID")]
    before: Option<FilmId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) coordinator: Coordinator,
}

impl List {
    /// Lists them.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        let list = context.client()?.films(self.limit, self.before).await?;
        if self.json {
            term::say_json(&list);
            return Ok(());
        }
        if list.films.is_empty() {
            let premise = "A lighthouse keeper befriends a storm";
            let submit = context.again.line("submit", &[premise]);
            term::say(&format!("no films yet; make one with: {submit}"));
            return Ok(());
        }
        let head = ["FILM", "STATUS", "JOBS", "ACCEPTED", "TITLE"]
            .map(str::to_owned)
            .to_vec();
        let rows = std::iter::once(head).chain(list.films.iter().map(row));
        term::say(&table(&rows.collect::<Vec<_>>()));
        if let Some(next) = list.next {
            let (limit, next) = (self.limit.to_string(), next.to_string());
            let flags = ["--limit", &limit, "--before", &next];
            let older = context.again.line("list", &flags);
            term::say(&format!("older films: {older}"));
        }
        Ok(())
    }
}

fn row(film: &FilmSummary) -> Vec<String> {
    let title = film.title.as_ref().or(film.premise.as_ref());
    let title = term::plain(title.map_or("", String::as_str));
    let shown: String = title.chars().take(TITLE_MAX).collect();
    let cut = if shown.len() < title.len() { "…" } else { "" };
    let accepted = film.created_at.to_string();
    vec![
        film.id.to_string(),
        status(film.status).to_owned(),
        jobs(film),
        // To the second, without the fraction and the zone, which is always UTC.
        accepted
            .chars()
            .take(19)
            .collect::<String>()
            .replace('T', " "),
        format!("{shown}{cut}"),
    ]
}
