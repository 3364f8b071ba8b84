//! What the coordinator's HTTP API answers, and what its clients read: views of films, jobs and workers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::failure::Failure;
use crate::film::{FilmRequest, Mistake, Quality, Size};
use crate::ids::{Attempt, FilmId, JobId, ProfileName, Take, WorkerId};
use crate::job::{JobKind, JobStatus};
use crate::protocol::WorkerState;
use crate::story::{Character, Scene, Story};
use crate::time::Timestamp;

/// Where a film stands; derived from its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilmStatus {
    /// Some job can still get on.
    Running,
    /// Everything that was asked for is there.
    Completed,
    /// A job failed for good, and all that does not depend on it is done.
    Failed,
    /// Someone cancelled it.
    Cancelled,
}

impl FilmStatus {
    /// Whether nothing more will happen to it by itself.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Running => false,
            Self::Completed | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// The answer to a submission, over HTTP (201, or 200 for a repeat) and over AMQP: the film, or every mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SubmitAnswer {
    /// Accepted; it will be finished or end with a reason.
    Accepted {
        /// The film's id.
        film: FilmId,
    },
    /// Not accepted.
    Mistaken {
        /// What is wrong with it.
        mistakes: Vec<Mistake>,
    },
}

/// A film in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FilmSummary {
    /// Its id.
    pub id: FilmId,
    /// Its title, as soon as it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is about, if it began with a premise; shortened to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub premise: Option<String>,
    /// Where it stands.
    pub status: FilmStatus,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its last job ended, if all have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How many jobs it has so far.
    #[serde(rename = "jobs_total")]
    pub jobs: u32,
    /// Jobs completed.
    pub jobs_completed: u32,
    /// Jobs failed.
    pub jobs_failed: u32,
}

/// A page of films, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FilmList {
    /// The films.
    pub films: Vec<FilmSummary>,
    /// Value of `before` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<FilmId>,
}

/// Everything about a film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FilmView {
    /// What the list shows too.
    #[serde(flatten)]
    pub summary: FilmSummary,
    /// What was asked for, with the seed that was drawn.
    pub request: FilmRequest,
    /// Its story, as soon as it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story: Option<Story>,
    /// Its jobs, in the order of the film.
    pub jobs: Vec<JobView>,
    /// What there is to see of each scene so far.
    pub scenes: Vec<SceneView>,
    /// The film's file, once it is there, at `/v1/films/{id}/film.mp4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub film: Option<Artifact>,
    /// Running time in seconds, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Everything that is not as it was asked for.
    #[serde(default)]
    pub fallbacks: Vec<String>,
    /// What it needs and no worker that is there does, one line each: it cannot be finished until one comes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unserved: Vec<String>,
}

/// What there is to see of a scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SceneView {
    /// Its number, from 1.
    pub number: u32,
    /// Its title.
    pub title: String,
    /// Its still image, once it is there, at `/v1/films/{id}/scenes/{number}/keyframe.png`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyframe: Option<Artifact>,
    /// Its clip, once it is there, at `/v1/films/{id}/scenes/{number}/clip.mp4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<Artifact>,
}

/// A job as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// Its film.
    pub film: FilmId,
    /// Its kind.
    pub kind: JobKind,
    /// Number of its scene, for keyframes and scenes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<u32>,
    /// The profile it runs on.
    pub profile: ProfileName,
    /// Where it stands.
    pub status: JobStatus,
    /// Number of its latest attempt.
    pub attempt: Attempt,
    /// Number of its latest take.
    pub take: Take,
    /// How many attempts failed.
    pub failures: u32,
    /// The worker that runs it, or ran it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// How far its run is, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    /// Why its latest failed attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// When it was queued last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<Timestamp>,
    /// When its latest run was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The file it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// Why it has not started yet, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProgressView {
    /// What it is doing.
    pub phase: String,
    /// Steps done.
    pub step: u32,
    /// Steps in all; 0 while unknown.
    pub steps: u32,
    /// Number of the newest picture of it, which is at `/v1/jobs/{id}/preview`; a new picture has a higher one. Absent while
    /// there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<u64>,
}

/// Something that happened to a film: one server-sent event, whose `event:` line is the tag and whose `data:` is this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FilmEvent {
    /// The film.
    pub film: FilmId,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// The film was accepted.
    FilmAccepted,
    /// Its story is written.
    StoryWritten {
        /// Its title.
        title: String,
        /// How many scenes it has.
        scenes: u32,
    },
    /// A job has another status, attempt or worker than before.
    JobChanged {
        /// The job as it is now.
        job: Box<JobView>,
    },
    /// A run got on. Not kept: a client that comes later does not see it.
    JobProgressed {
        /// The job.
        job: JobId,
        /// How far it is.
        progress: ProgressView,
    },
    /// Everything that was asked for is there.
    FilmCompleted,
    /// A job failed for good, and all that does not depend on it is done.
    FilmFailed {
        /// Why, one line for each failed job.
        reasons: Vec<String>,
    },
    /// Someone cancelled it.
    FilmCancelled,
}

impl Happening {
    /// The tag.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FilmAccepted => "film_accepted",
            Self::StoryWritten { .. } => "story_written",
            Self::JobChanged { .. } => "job_changed",
            Self::JobProgressed { .. } => "job_progressed",
            Self::FilmCompleted => "film_completed",
            Self::FilmFailed { .. } => "film_failed",
            Self::FilmCancelled => "film_cancelled",
        }
    }

    /// Whether the film has ended.
    pub const fn is_end(&self) -> bool {
        match self {
            Self::FilmCompleted | Self::FilmFailed { .. } | Self::FilmCancelled => true,
            Self::FilmAccepted
            | Self::StoryWritten { .. }
            | Self::JobChanged { .. }
            | Self::JobProgressed { .. } => false,
        }
    }
}

/// The workers that the coordinator has heard of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerList {
    /// The workers, by name.
    pub workers: Vec<WorkerView>,
}

/// A worker as the coordinator sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerView {
    /// What it said last.
    #[serde(flatten)]
    pub state: WorkerState,
    /// When it was heard of last.
    pub seen_at: Timestamp,
    /// Whether it was heard of lately.
    pub online: bool,
    /// Whether someone asked it to stand still.
    pub pause_wanted: bool,
}

/// Why a job is not starting: the job, with the reason in one line, and what each worker says that could do it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobExplanation {
    /// The job. `waiting` is the reason in one line.
    pub job: JobView,
    /// Every worker that offers its kind and profile: those that are there first, then by name.
    pub workers: Vec<WorkerExplanation>,
}

/// Why one worker does not begin a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerExplanation {
    /// The worker.
    pub worker: WorkerId,
    /// Name of its host.
    pub host: String,
    /// Whether it was heard of lately.
    pub online: bool,
    /// Whether it would take such a job now, if one of its slots were free.
    pub takes: bool,
    /// Whether no time will change that it does not.
    pub never: bool,
    /// The reason in one line, with the numbers.
    pub reason: String,
}

/// An error, as RFC 9457 describes it (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What sort of problem: a URI reference.
    #[serde(rename = "type")]
    pub kind: String,
    /// The sort of problem, for a person.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened here and what to do.
    pub detail: String,
    /// The fields that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
}

/// Version of the manifest's format that this program writes.
pub const MANIFEST_VERSION: u16 = 1;

/// The manifest that lies beside a finished film as `film.json`: how it was made, down to each seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// Version of this format.
    pub manifest_version: u16,
    /// Version of the program.
    pub program_version: String,
    /// The film.
    pub film: FilmId,
    /// Its title.
    pub title: String,
    /// Its premise, if it began with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub premise: Option<String>,
    /// The story in a sentence.
    pub logline: String,
    /// How the film looks.
    pub look: String,
    /// Who appears in it.
    pub characters: Vec<Character>,
    /// The film's seed.
    pub seed: u64,
    /// Size in pixels.
    pub size: Size,
    /// Frames per second.
    pub fps: u32,
    /// How well it was to be made; `final` if absent.
    #[serde(default, skip_serializing_if = "Quality::is_final")]
    pub quality: Quality,
    /// Running time in seconds.
    pub seconds: f64,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it was finished.
    pub completed_at: Timestamp,
    /// Its file.
    pub file: Artifact,
    /// How the story was written.
    pub story: Making,
    /// Its scenes.
    pub scenes: Vec<SceneMaking>,
    /// How it was put together.
    pub assembly: Making,
    /// Everything that is not as it was asked for; empty if nothing.
    pub fallbacks: Vec<String>,
}

/// How a scene was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SceneMaking {
    /// The scene, with its prompts.
    #[serde(flatten)]
    pub scene: Scene,
    /// How its still image was made.
    pub keyframe: Making,
    /// How its clip was made.
    pub clip: Making,
}

/// How one job was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Making {
    /// The job.
    pub job: JobId,
    /// The profile it ran on.
    pub profile: ProfileName,
    /// The worker that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// How many attempts it took.
    pub attempts: u32,
    /// Which take was used.
    pub take: Take,
    /// Seed of that take.
    pub seed: u64,
    /// How long the run took, in seconds.
    pub seconds: f64,
    /// The file it made; a story has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Artifact>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_survives_the_journey_with_what_its_summary_says() {
        let id = FilmId::from_u128(7);
        let film = FilmView {
            summary: FilmSummary {
                id,
                title: None,
                premise: Some("A storm".to_owned()),
                status: FilmStatus::Running,
                created_at: Timestamp::from_millis(5),
                finished_at: None,
                jobs: 1,
                jobs_completed: 0,
                jobs_failed: 0,
            },
            request: FilmRequest::default(),
            story: None,
            jobs: Vec::new(),
            scenes: Vec::new(),
            film: None,
            seconds: None,
            fallbacks: Vec::new(),
            unserved: Vec::new(),
        };
        let json = serde_json::to_string(&film).unwrap();
        assert_eq!(serde_json::from_str::<FilmView>(&json).unwrap(), film);
    }
}
