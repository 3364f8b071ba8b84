//! For a pipe or a log: one plain line for each thing that matters.

use shared::api::{FilmEvent, Happening, JobView};
use shared::job::JobStatus;

use super::{Report, job_name};
use crate::term;

/// Writes lines.
#[derive(Debug, Default)]
pub(crate) struct Lines;

impl Report for Lines {
    fn event(&mut self, event: &FilmEvent) {
        if let Some(line) = line(event) {
            term::say(&line);
        }
    }

    fn note(&mut self, text: &str) {
        term::complain(text);
    }

    fn close(&mut self) {}
}

/// The line for an event, if it is worth one.
pub(super) fn line(event: &FilmEvent) -> Option<String> {
    match &event.what {
        Happening::FilmAccepted => Some(format!("film {}", event.film)),
        Happening::StoryWritten { title, scenes } => Some(format!(
            "story: \"{}\", {scenes} scenes",
            term::plain(title)
        )),
        Happening::JobChanged { job } => job_line(job),
        Happening::JobProgressed { .. }
        | Happening::FilmCompleted
        | Happening::FilmFailed { .. }
        | Happening::FilmCancelled => None,
    }
}

fn job_line(job: &JobView) -> Option<String> {
    let name = job_name(job);
    let failure = || {
        job.failure
            .as_ref()
            .map_or("no reason given".to_owned(), |failure| {
                term::plain(&failure.to_string())
            })
    };
    match job.status {
        JobStatus::Running => {
            let worker = job
                .worker
                .as_ref()
                .map(|worker| format!(" at {worker}"))
                .unwrap_or_default();
            let again = match job.attempt.number() {
                1 => String::new(),
                attempt => format!(", attempt {attempt}"),
            };
            Some(format!("{name}: running{worker}{again}"))
        }
        JobStatus::Completed => {
            let seconds = job
                .started_at
                .zip(job.finished_at)
                .map(|(start, end)| end.since(start).as_secs_f64());
            let took = seconds
                .map(|seconds| format!(" in {seconds:.1} s"))
                .unwrap_or_default();
            Some(format!("{name}: done{took}"))
        }
        JobStatus::Retryable => Some(format!(
            "{name}: failed and will be tried again: {}",
            failure()
        )),
        JobStatus::Failed => Some(format!("{name}: failed: {}", failure())),
        JobStatus::Blocked | JobStatus::Queued | JobStatus::Cancelled => None,
    }
}

#[cfg(test)]
mod tests {
    use shared::failure::{Failure, FailureKind};
    use shared::ids::{Attempt, FilmId, JobId, Take};
    use shared::job::JobKind;
    use shared::time::Timestamp;

    use super::*;

    fn job(kind: JobKind, status: JobStatus) -> JobView {
        JobView {
            id: JobId::from_u128(1),
            film: FilmId::from_u128(2),
            kind,
            scene: Some(3),
            profile: "animatic".parse().unwrap(),
            status,
            attempt: Attempt::FIRST,
            take: Take::FIRST,
            failures: 0,
            worker: Some("studio-1".parse().unwrap()),
            progress: None,
            failure: Some(Failure::new(
                FailureKind::RejectedContent,
                "the clip is\nblank",
            )),
            retry_at: None,
            queued_at: None,
            started_at: Some(Timestamp::from_millis(1_000)),
            finished_at: Some(Timestamp::from_millis(2_540)),
            artifact: None,
            waiting: None,
        }
    }

    fn told(what: Happening) -> Option<String> {
        line(&FilmEvent {
            film: FilmId::from_u128(2),
            at: Timestamp::from_millis(0),
            what,
        })
    }

    fn told_of(job: JobView) -> Option<String> {
        told(Happening::JobChanged { job: Box::new(job) })
    }

    #[test]
    fn each_thing_that_matters_has_its_line() {
        let changed = |kind, status| told_of(job(kind, status));
        assert_eq!(
            told(Happening::FilmAccepted).unwrap(),
            "film 00000000-0000-0000-0000-000000000002"
        );
        let written = Happening::StoryWritten {
            title: "The \u{1b}Storm".to_owned(),
            scenes: 6,
        };
        assert_eq!(
            told(written).unwrap(),
            "story: \"The \u{fffd}Storm\", 6 scenes"
        );
        assert_eq!(
            changed(JobKind::Keyframe, JobStatus::Running).unwrap(),
            "keyframe 3: running at studio-1"
        );
        assert_eq!(
            changed(JobKind::Scene, JobStatus::Completed).unwrap(),
            "scene 3: done in 1.5 s"
        );
        assert_eq!(
            changed(JobKind::Scene, JobStatus::Retryable).unwrap(),
            "scene 3: failed and will be tried again: rejected content: the clip is blank"
        );
        assert_eq!(
            changed(JobKind::Assembly, JobStatus::Failed).unwrap(),
            "assembly: failed: rejected content: the clip is blank"
        );
        let second = JobView {
            attempt: Attempt::new(2),
            worker: None,
            ..job(JobKind::Story, JobStatus::Running)
        };
        assert_eq!(told_of(second).unwrap(), "story: running, attempt 2");
    }

    #[test]
    fn waiting_progress_and_the_end_have_no_line() {
        for status in [JobStatus::Blocked, JobStatus::Queued, JobStatus::Cancelled] {
            assert_eq!(told_of(job(JobKind::Scene, status)), None);
        }
        assert_eq!(told(Happening::FilmCompleted), None);
        assert_eq!(
            told(Happening::FilmFailed {
                reasons: Vec::new()
            }),
            None
        );
    }
}
