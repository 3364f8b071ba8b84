//! Who looks on: Prometheus, as it sees the programs, and the traces that have come to the collector.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use shared::byte_size::ByteSize;
use shared::ids::FilmId;
use support::http::client;
use support::wait::{SOON, try_until};

use crate::project::Project;

/// Longest wait for what Prometheus does in its own time: it looks every 15 s, and goes through its rules every minute.
const ITS_TIME: Duration = Duration::from_secs(90);

/// The Prometheus of an installation.
pub(crate) struct Prometheus {
    url: String,
}

impl Prometheus {
    pub(crate) fn of(project: &Project) -> Self {
        Self {
            url: project.prometheus(),
        }
    }

    /// Waits until it sees so many programs of each job, all of them up and nobody else, and has found no fault in a rule.
    pub(crate) async fn sees(&self, jobs: &[(&str, usize)]) -> Result<()> {
        let expected: BTreeMap<String, usize> = jobs
            .iter()
            .map(|(job, count)| ((*job).to_owned(), *count))
            .collect();
        try_until("Prometheus to see all", ITS_TIME, async || {
            let answer = self.ask("/api/v1/targets?state=active").await?;
            let targets = list(&answer["data"]["activeTargets"])?;
            let down = targets.iter().filter(|it| it["health"] != "up");
            let down: Vec<_> = down
                .map(|it| (&it["scrapeUrl"], &it["lastError"]))
                .collect();
            ensure!(down.is_empty(), "not up: {down:?}");
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            for target in targets {
                let job = target["labels"]["job"].as_str().context("a job")?;
                *seen.entry(job.to_owned()).or_default() += 1;
            }
            ensure!(seen == expected, "{seen:?} and not {expected:?}");
            Ok(())
        })
        .await?;
        try_until("Prometheus to go through its rules", ITS_TIME, async || {
            let answer = self.ask("/api/v1/rules").await?;
            let groups = list(&answer["data"]["groups"])?;
            let mut rules = Vec::new();
            for group in groups {
                rules.extend(list(&group["rules"])?);
            }
            let unwell = rules.iter().filter(|rule| rule["health"] != "ok");
            let unwell: Vec<_> = unwell.map(|it| (&it["name"], &it["lastError"])).collect();
            ensure!(!rules.is_empty() && unwell.is_empty(), "{unwell:?}");
            Ok(())
        })
        .await
    }

    async fn ask(&self, path: &str) -> Result<Value> {
        let answer = client().get(format!("{}{path}", self.url)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().context("a list")
}

/// Waits until spans of a film have come to the collector from each of the three programs. Its trace is called like the film.
pub(crate) async fn is_traced(project: &Project, film: FilmId) -> Result<()> {
    let trace = film.to_string().replace('-', "");
    try_until("the spans of a film", SOON, async || {
        let printed = project.printed("otel-collector")?;
        for program in ["coordinator", "llm-worker", "video-worker"] {
            let begin = format!("callsheet-{program} {trace} ");
            let spans = printed.lines().filter(|line| line.starts_with(&begin));
            ensure!(spans.count() > 0, "none of {program}");
        }
        Ok(())
    })
    .await
}

/// What a program tells of its metrics to who shows that token, and to nobody else.
pub(crate) async fn page(url: &str, token: &str) -> Result<String> {
    let refused = client().get(url).send().await?.status();
    ensure!(refused == 401, "{url} answers everybody: {refused}");
    let answer = client().get(url).bearer_auth(token).send().await?;
    Ok(answer.error_for_status()?.text().await?)
}

/// What such a page says of the memory of a card, by the name of the metric; to some bytes.
pub(crate) fn of_card(page: &str, metric: &str, card: &str) -> Result<ByteSize> {
    let begin = format!("{metric}{{device=\"{card}\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&begin));
    let value = value.with_context(|| format!("{metric} of {card}"))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no card has so much, or less than nothing"
    )]
    Ok(ByteSize::bytes(value.parse::<f64>()? as u64))
}
