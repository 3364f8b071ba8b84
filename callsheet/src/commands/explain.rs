//! `callsheet explain`

use std::collections::BTreeSet;

use clap::Args;
use shared::api::{JobExplanation, JobView};
use shared::ids::{FilmId, JobId};
use shared::job::JobStatus;

use crate::cli::Coordinator;
use crate::client::{Client, ClientError};
use crate::error::CommandError;
use crate::report::job_name;
use crate::table::table;
use crate::{Context, term};

/// Say why a film or a job is not getting on: in a line for each worker, with the numbers
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The film or the job
    #[arg(value_name = "FILM|JOB")]
    id: FilmId,
    /// Print JSON: an array with one explanation for each job that waits
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) coordinator: Coordinator,
}

impl Explain {
    /// Says it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        let (explained, others) = match client.film(self.id).await {
            Ok(film) => of_film(&client, &film.jobs).await?,
            Err(ClientError::Refused(problem)) if problem.status == 404 => {
                let job = JobId::from_u128(self.id.as_u128());
                (vec![client.explain(job).await?], Vec::new())
            }
            Err(error) => return Err(error.into()),
        };
        match self.json {
            true => term::say_json(&explained),
            false => term::say(&text(&explained, &others)),
        }
        Ok(())
    }
}

/// The jobs of a film that could begin; and of the others what they are about.
async fn of_film(
    client: &Client,
    jobs: &[JobView],
) -> Result<(Vec<JobExplanation>, Vec<String>), ClientError> {
    let mut explained = Vec::new();
    let mut asked = BTreeSet::new();
    for job in jobs.iter().filter(|job| job.status == JobStatus::Queued) {
        // The next job of the same sort waits for the same.
        if asked.insert((job.kind, job.profile.clone())) {
            explained.push(client.explain(job.id).await?);
        }
    }
    let told = jobs.iter().filter_map(|job| match job.status {
        JobStatus::Running | JobStatus::Retryable | JobStatus::Failed => Some(line(job)),
        JobStatus::Queued | JobStatus::Blocked | JobStatus::Completed | JobStatus::Cancelled => {
            None
        }
    });
    let mut others: Vec<_> = told.collect();
    let blocked = jobs.iter().filter(|job| job.status == JobStatus::Blocked);
    match blocked.count() {
        0 => {}
        1 => others.push("1 job waits for those before it".to_owned()),
        count => others.push(format!("{count} jobs wait for those before them")),
    }
    Ok((explained, others))
}

/// A job with its reason.
fn line(job: &JobView) -> String {
    let failure = job.failure.as_ref().map(ToString::to_string);
    let note = job.waiting.clone().or(failure);
    let note = note.map(|note| format!(": {note}")).unwrap_or_default();
    term::plain(&format!("{} is {}{note}", job_name(job), job.status))
}

fn text(explained: &[JobExplanation], others: &[String]) -> String {
    let mut parts: Vec<String> = explained.iter().map(job).collect();
    parts.extend(others.iter().cloned());
    match parts.is_empty() {
        true => "nothing waits".to_owned(),
        false => parts.join("\n"),
    }
}

fn job(explanation: &JobExplanation) -> String {
    let JobExplanation { job, workers } = explanation;
    if workers.is_empty() {
        return line(job);
    }
    let rows = workers.iter().map(|worker| {
        let never = if worker.never { "never: " } else { "" };
        vec![
            format!("  {}", worker.worker),
            worker.host.clone(),
            term::plain(&format!("{never}{}", worker.reason)),
        ]
    });
    let head = format!("{} on {} has not started:", job_name(job), job.profile);
    format!("{head}\n{}", table(&rows.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use shared::api::WorkerExplanation;
    use shared::ids::{Attempt, Take};
    use shared::job::JobKind;

    use super::*;

    fn queued() -> JobView {
        JobView {
            id: JobId::from_u128(2),
            film: FilmId::from_u128(1),
            kind: JobKind::Scene,
            scene: Some(2),
            profile: "wan".parse().unwrap(),
            status: JobStatus::Queued,
            attempt: Attempt::FIRST,
            take: Take::FIRST,
            failures: 0,
            worker: None,
            progress: None,
            failure: None,
            retry_at: None,
            queued_at: None,
            started_at: None,
            finished_at: None,
            artifact: None,
            waiting: Some("no worker offers scene on wan".to_owned()),
        }
    }

    #[test]
    fn there_is_a_line_for_each_worker_or_one_for_the_job() {
        let worker = |name: &str, never, reason: &str| WorkerExplanation {
            worker: name.parse().unwrap(),
            host: "studio".to_owned(),
            online: true,
            takes: false,
            never,
            reason: reason.to_owned(),
        };
        let none = JobExplanation {
            job: queued(),
            workers: Vec::new(),
        };
        assert_eq!(
            text(std::slice::from_ref(&none), &["2 jobs wait".to_owned()]),
            "scene 2 is queued: no worker offers scene on wan\n2 jobs wait"
        );
        let two = JobExplanation {
            workers: vec![
                worker(
                    "camera-1",
                    false,
                    "needs 21.9 GiB, 13.5 GiB free: 8.4 GiB short",
                ),
                worker("cam-2", true, "needs 21.5 GiB, and this card has 11.2 GiB"),
            ],
            ..none
        };
        assert_eq!(
            text(&[two], &[]),
            "scene 2 on wan has not started:\n\
             \x20 camera-1  studio  needs 21.9 GiB, 13.5 GiB free: 8.4 GiB short\n\
             \x20 cam-2     studio  never: needs 21.5 GiB, and this card has 11.2 GiB"
        );
        assert_eq!(text(&[], &[]), "nothing waits");
    }
}
