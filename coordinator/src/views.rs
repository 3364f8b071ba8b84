//! What clients see of films and jobs, made from what is stored. Pure.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use shared::api::{
    FilmStatus, FilmSummary, FilmView, Happening, JobView, MANIFEST_VERSION, Making, Manifest,
    SceneMaking, SceneView,
};
use shared::artifact::Artifact;
use shared::job::{JobKind, JobStatus, Product};

use crate::core::job::{Completion, Job, JobState};
use crate::core::plan::{self, Film};
use crate::store::FilmRow;

const PREMISE_SHOWN: usize = 200;

/// A job, but for its progress and what it waits for, which only the living know.
pub(crate) fn job(job: &Job) -> JobView {
    let latest = job.current().or(job.grants.last());
    let completion = job.completion();
    JobView {
        id: job.id,
        film: job.film,
        kind: job.kind,
        scene: job.scene,
        profile: job.profile.clone(),
        status: job.status(),
        attempt: job.attempt,
        take: completion.map_or(job.take, |done| done.take),
        failures: job.failures,
        worker: completion
            .map(|done| done.worker.worker.clone())
            .or_else(|| latest.map(|grant| grant.worker.worker.clone())),
        progress: None,
        failure: job.failure.clone(),
        retry_at: match job.state {
            JobState::Retryable { retry_at } => Some(retry_at),
            JobState::Blocked
            | JobState::Queued
            | JobState::Running { .. }
            | JobState::Completed(_)
            | JobState::Failed
            | JobState::Cancelled => None,
        },
        queued_at: job.queued_at,
        started_at: latest.map(|grant| grant.at),
        finished_at: job.finished_at,
        artifact: completion
            .and_then(|done| done.outcome.product.artifact())
            .cloned(),
        waiting: None,
    }
}

/// A film in a list.
pub(crate) fn summary(row: &FilmRow) -> FilmSummary {
    let count = |status| {
        u32::try_from(row.jobs.iter().filter(|(s, _)| *s == status).count()).unwrap_or(u32::MAX)
    };
    let status = plan::status_of(row.jobs.iter().map(|(status, _)| *status));
    FilmSummary {
        id: row.film.id,
        title: row.title.clone().or_else(|| row.film.request.title.clone()),
        premise: row
            .film
            .request
            .premise
            .as_ref()
            .map(|text| text.chars().take(PREMISE_SHOWN).collect()),
        status,
        created_at: row.film.created_at,
        finished_at: row
            .jobs
            .iter()
            .filter_map(|(_, end)| *end)
            .max()
            .filter(|_| status.is_final()),
        jobs: u32::try_from(row.jobs.len()).unwrap_or(u32::MAX),
        jobs_completed: count(JobStatus::Completed),
        jobs_failed: count(JobStatus::Failed),
    }
}

/// Everything about a film, with its jobs as `views`.
pub(crate) fn film(film: &Film, jobs: &[Job], views: Vec<JobView>) -> FilmView {
    let story = plan::story(jobs);
    let row = FilmRow {
        film: film.clone(),
        title: story.map(|story| story.title.clone()),
        jobs: jobs
            .iter()
            .map(|job| (job.status(), job.finished_at))
            .collect(),
    };
    let file = |kind, scene| {
        product(jobs, kind, scene)
            .and_then(|done| done.outcome.product.artifact())
            .cloned()
    };
    let scenes = story.map_or_else(Vec::new, |story| {
        let shown = story.scenes.iter().map(|scene| SceneView {
            number: scene.number,
            title: scene.title.clone(),
            keyframe: file(JobKind::Keyframe, Some(scene.number)),
            clip: file(JobKind::Scene, Some(scene.number)),
        });
        shown.collect()
    });
    FilmView {
        summary: summary(&row),
        request: film.request.clone(),
        story: story.cloned(),
        jobs: views,
        scenes,
        film: file(JobKind::Assembly, None),
        seconds: running_time(jobs),
        fallbacks: fallbacks(jobs),
        unserved: Vec::new(),
    }
}

fn product(jobs: &[Job], kind: JobKind, scene: Option<u32>) -> Option<&Completion> {
    jobs.iter()
        .find(|job| job.kind == kind && job.scene == scene)?
        .completion()
}

fn running_time(jobs: &[Job]) -> Option<f64> {
    match &product(jobs, JobKind::Assembly, None)?.outcome.product {
        Product::Assembly { seconds, .. } => Some(*seconds),
        Product::Story { .. } | Product::Keyframe { .. } | Product::Scene { .. } => None,
    }
}

fn fallbacks(jobs: &[Job]) -> Vec<String> {
    let told = |job: &Job| {
        let place = job.scene.map_or_else(
            || job.kind.to_string(),
            |scene| format!("{} {scene}", job.kind),
        );
        let outcome = &job.completion()?.outcome;
        Some(
            outcome
                .fallbacks
                .iter()
                .map(move |text| format!("{place}: {text}"))
                .collect::<Vec<_>>(),
        )
    };
    jobs.iter().filter_map(told).flatten().collect()
}

/// How a completed film was made; `None` while it is not.
pub(crate) fn manifest(film: &Film, jobs: &[Job]) -> Option<Manifest> {
    let story = plan::story(jobs)?;
    let making = |kind, scene| {
        let job = jobs
            .iter()
            .find(|job| job.kind == kind && job.scene == scene)?;
        let done = job.completion()?;
        Some(Making {
            job: job.id,
            profile: job.profile.clone(),
            worker: Some(done.worker.worker.clone()),
            attempts: job.attempt.number(),
            take: done.take,
            seed: plan::seed(film, job, done.take),
            seconds: done.took.as_secs_f64(),
            file: done.outcome.product.artifact().cloned(),
        })
    };
    let scenes = story.scenes.iter().map(|scene| {
        Some(SceneMaking {
            scene: scene.clone(),
            keyframe: making(JobKind::Keyframe, Some(scene.number))?,
            clip: making(JobKind::Scene, Some(scene.number))?,
        })
    });
    let assembly = making(JobKind::Assembly, None)?;
    let file: Artifact = assembly.file.clone()?;
    Some(Manifest {
        manifest_version: MANIFEST_VERSION,
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        film: film.id,
        title: story.title.clone(),
        premise: film.request.premise.clone(),
        logline: story.logline.clone(),
        look: story.look.clone(),
        characters: story.characters.clone(),
        seed: film.seed,
        size: film.request.frame_size(),
        fps: film.request.frame_rate(),
        quality: film.request.quality,
        seconds: running_time(jobs)?,
        created_at: film.created_at,
        completed_at: jobs.iter().filter_map(|job| job.finished_at).max()?,
        file,
        story: making(JobKind::Story, None)?,
        scenes: scenes.collect::<Option<_>>()?,
        assembly,
        fallbacks: fallbacks(jobs),
    })
}

/// What to tell when a film has come to its end; `None` while it has not.
pub(crate) fn end_of(jobs: &[Job]) -> Option<Happening> {
    match plan::status_of(jobs.iter().map(Job::status)) {
        FilmStatus::Running => None,
        FilmStatus::Completed => Some(Happening::FilmCompleted),
        FilmStatus::Cancelled => Some(Happening::FilmCancelled),
        FilmStatus::Failed => Some(Happening::FilmFailed {
            reasons: reasons(jobs),
        }),
    }
}

fn reasons(jobs: &[Job]) -> Vec<String> {
    let told = |job: &Job| {
        let place = job.scene.map_or_else(
            || job.kind.to_string(),
            |scene| format!("{} {scene}", job.kind),
        );
        let why = job
            .failure
            .as_ref()
            .map_or_else(|| "no reason was given".to_owned(), ToString::to_string);
        let tries = job.failures;
        format!(
            "{place} failed after {tries} {}: {why}",
            if tries == 1 { "attempt" } else { "attempts" }
        )
    };
    jobs.iter()
        .filter(|job| job.status() == JobStatus::Failed)
        .map(told)
        .collect()
}

/// Whether clients see a difference between these two.
pub(crate) fn is_visible(before: &Job, after: &Job) -> bool {
    before.status() != after.status()
        || before.attempt != after.attempt
        || before.current().map(|grant| grant.run) != after.current().map(|grant| grant.run)
}
