//! The film pipeline: which jobs a film consists of, what each is given, and what follows when one is done. Pure.
//!
//! story → one keyframe per scene → one clip per keyframe → assembly of all clips.

use serde::{Deserialize, Serialize};
use shared::api::FilmStatus;
use shared::artifact::{Artifact, MediaType};
use shared::failure::{Failure, FailureKind};
use shared::film::{FilmRequest, SEED_MAX, Until};
use shared::ids::{FilmId, JobId, ProfileName, Take};
use shared::job::{
    AssemblyClip, AssemblyPayload, JobKind, JobStatus, KeyframePayload, Payload, Product,
    ScenePayload, StoryPayload,
};
use shared::story::{Scene, Story};
use shared::time::Timestamp;
use shared::trace::TraceContext;

use super::job::Job;

/// A film as the coordinator keeps it: what was asked for, made complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Film {
    /// Its id.
    pub id: FilmId,
    /// What was asked for; the seed is always there.
    pub request: FilmRequest,
    /// The film's seed.
    pub seed: u64,
    /// Which profile does each kind of job.
    pub profiles: Profiles,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Its place in its trace: what is done for it is a child of that span, whichever life of the coordinator sends it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

/// Which profile does each kind of job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    /// For the story.
    pub story: ProfileName,
    /// For keyframes.
    pub keyframe: ProfileName,
    /// For clips.
    pub scene: ProfileName,
    /// For the assembly.
    pub assembly: ProfileName,
}

impl Profiles {
    /// These, but for what the film-maker chose. A script that is finished needs no model, nor a turn at a card: it goes to
    /// the rule-based outline, whoever writes other stories.
    pub fn for_film(&self, request: &FilmRequest) -> Self {
        let choice = &request.profiles;
        let pick = |chosen: &Option<ProfileName>, usual: &ProfileName| {
            chosen.as_ref().unwrap_or(usual).clone()
        };
        Self {
            story: match request.script {
                Some(_) => ProfileName::outline(),
                None => pick(&choice.story, &self.story),
            },
            keyframe: pick(&choice.keyframe, &self.keyframe),
            scene: pick(&choice.scene, &self.scene),
            assembly: pick(&choice.assembly, &self.assembly),
        }
    }

    /// The profile for that kind.
    pub const fn of(&self, kind: JobKind) -> &ProfileName {
        match kind {
            JobKind::Story => &self.story,
            JobKind::Keyframe => &self.keyframe,
            JobKind::Scene => &self.scene,
            JobKind::Assembly => &self.assembly,
        }
    }
}

/// The jobs that a film begins with.
pub fn first_jobs(film: &Film, new_id: &mut impl FnMut() -> JobId) -> Vec<Job> {
    vec![new_job(film, JobKind::Story, None, new_id)]
}

/// The jobs that follow from the film's story.
pub fn jobs_of_story(film: &Film, story: &Story, new_id: &mut impl FnMut() -> JobId) -> Vec<Job> {
    match film.request.until {
        Until::Story => Vec::new(),
        Until::Film => {
            let numbers = || story.scenes.iter().map(|scene| Some(scene.number));
            let mut jobs: Vec<Job> = numbers()
                .map(|number| new_job(film, JobKind::Keyframe, number, new_id))
                .collect();
            jobs.extend(numbers().map(|number| new_job(film, JobKind::Scene, number, new_id)));
            jobs.push(new_job(film, JobKind::Assembly, None, new_id));
            jobs
        }
    }
}

/// The kinds of job that a film under way needs still, those included that are not planned yet.
pub fn wants(film: &Film, jobs: &[Job]) -> Vec<JobKind> {
    let is_part = |kind: &JobKind| film.request.until == Until::Film || *kind == JobKind::Story;
    let is_open = |kind: &JobKind| {
        let mut of_kind = jobs.iter().filter(|job| job.kind == *kind).peekable();
        of_kind.peek().is_none() || of_kind.any(|job| !job.status().is_final())
    };
    let kinds = JobKind::ALL.into_iter();
    kinds.filter(is_part).filter(is_open).collect()
}

fn new_job(
    film: &Film,
    kind: JobKind,
    scene: Option<u32>,
    new_id: &mut impl FnMut() -> JobId,
) -> Job {
    Job::new(
        new_id(),
        film.id,
        kind,
        scene,
        film.profiles.of(kind).clone(),
    )
}

/// In which order the scenes of a film are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// A clip as soon as its keyframe is there.
    Streaming,
    /// All keyframes before the first clip: both need the same card, and each change from one to the other costs a model's load.
    KeyframesFirst,
}

/// Which blocked jobs of a film have all they wait for.
pub fn unblocked(jobs: &[Job], order: Order) -> Vec<JobId> {
    let done = |kind: JobKind, scene: Option<u32>| {
        jobs.iter()
            .any(|job| job.kind == kind && job.scene == scene && job.completion().is_some())
    };
    let all_clips = || {
        jobs.iter()
            .filter(|job| job.kind == JobKind::Scene)
            .all(|job| job.completion().is_some())
            && done(JobKind::Story, None)
    };
    let is_free = |job: &&Job| match job.kind {
        JobKind::Story => true,
        JobKind::Keyframe => done(JobKind::Story, None),
        JobKind::Scene => done(JobKind::Keyframe, job.scene) && !waits_for_others(jobs, job, order),
        JobKind::Assembly => all_clips(),
    };
    let blocked = jobs.iter().filter(|job| job.status() == JobStatus::Blocked);
    blocked.filter(is_free).map(|job| job.id).collect()
}

/// Whether a clip whose own keyframe is there waits for those of other scenes. One that has failed for good holds up nothing.
fn waits_for_others(jobs: &[Job], job: &Job, order: Order) -> bool {
    let is_to_come = |other: &Job| {
        other.kind == JobKind::Keyframe && other.scene != job.scene && !other.status().is_final()
    };
    match order {
        Order::Streaming => false,
        Order::KeyframesFirst => jobs.iter().any(is_to_come),
    }
}

/// What a blocked job waits for, told with the other jobs of its film where these are known.
pub fn waits_for(jobs: &[Job], job: &Job) -> &'static str {
    match job.kind {
        JobKind::Scene if completed(jobs, JobKind::Keyframe, job.scene).is_some() => {
            "waits for the other keyframes of its film, which need the same card"
        }
        JobKind::Story => "waits for nothing",
        JobKind::Keyframe => "waits for the story",
        JobKind::Scene => "waits for its keyframe",
        JobKind::Assembly => "waits for all clips",
    }
}

/// The film's story, once its job is done.
pub fn story(jobs: &[Job]) -> Option<&Story> {
    jobs.iter()
        .find_map(|job| match &job.completion()?.outcome.product {
            Product::Story { story } => Some(story),
            Product::Keyframe { .. } | Product::Scene { .. } | Product::Assembly { .. } => None,
        })
}

/// What a job is given for that take, made from the film and what its other jobs have produced; `None` while something that
/// it needs is missing.
pub fn payload(film: &Film, jobs: &[Job], job: &Job) -> Option<Payload> {
    let request = &film.request;
    let (size, fps) = (request.frame_size(), request.frame_rate());
    if job.kind == JobKind::Story {
        return Some(Payload::Story(StoryPayload {
            premise: request.premise.clone(),
            script: request.script.clone(),
            title: request.title.clone(),
            scenes: request.scene_count(),
            seconds: request.scene_seconds(),
            seed: seed(film, job, job.take),
        }));
    }
    let story = story(jobs)?;
    let scene = || {
        story
            .scenes
            .iter()
            .find(|scene| Some(scene.number) == job.scene)
            .cloned()
    };
    Some(match job.kind {
        JobKind::Story => return None,
        JobKind::Keyframe => Payload::Keyframe(KeyframePayload {
            title: story.title.clone(),
            look: story.look.clone(),
            scene: scene()?,
            scenes: u32::try_from(story.scenes.len()).ok()?,
            size,
            quality: request.quality,
            seed: seed(film, job, job.take),
        }),
        JobKind::Scene => {
            let scene = scene()?;
            Payload::Scene(ScenePayload {
                keyframe: file_of(jobs, JobKind::Keyframe, job.scene)?,
                size,
                fps,
                frames: frames(&scene, fps),
                quality: request.quality,
                seed: seed(film, job, job.take),
                scene,
            })
        }
        JobKind::Assembly => {
            let clip = |scene: &Scene| {
                let made = completed(jobs, JobKind::Scene, Some(scene.number))?;
                match &made.completion()?.outcome.product {
                    Product::Scene { clip, frames } => Some(AssemblyClip {
                        number: scene.number,
                        title: scene.title.clone(),
                        clip: clip.clone(),
                        frames: *frames,
                    }),
                    Product::Story { .. } | Product::Keyframe { .. } | Product::Assembly { .. } => {
                        None
                    }
                }
            };
            Payload::Assembly(AssemblyPayload {
                title: story.title.clone(),
                logline: story.logline.clone(),
                clips: story.scenes.iter().map(clip).collect::<Option<_>>()?,
                size,
                fps,
            })
        }
    })
}

fn completed(jobs: &[Job], kind: JobKind, scene: Option<u32>) -> Option<&Job> {
    jobs.iter()
        .find(|job| job.kind == kind && job.scene == scene && job.completion().is_some())
}

fn file_of(jobs: &[Job], kind: JobKind, scene: Option<u32>) -> Option<Artifact> {
    completed(jobs, kind, scene)?
        .completion()?
        .outcome
        .product
        .artifact()
        .cloned()
}

/// How many frames a scene has at that rate: the nearest whole number, at least one.
fn frames(scene: &Scene, fps: u32) -> u32 {
    let exact = (scene.seconds * f64::from(fps))
        .round()
        .clamp(1.0, f64::from(u32::MAX));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what fits just before"
    )]
    let frames = exact as u32;
    frames
}

/// The seed of a take. A story's first take has the film's own seed; every other job and take has one that follows from it,
/// so that a scene can be made again without the others.
pub fn seed(film: &Film, job: &Job, take: Take) -> u64 {
    let kind = match job.kind {
        JobKind::Story => 0,
        JobKind::Keyframe => 1,
        JobKind::Scene => 2,
        JobKind::Assembly => 3,
    };
    let place = (kind << 32) | u64::from(job.scene.unwrap_or(0));
    let retake = u64::from(take.number().saturating_sub(1));
    if place == 0 && retake == 0 {
        return film.seed;
    }
    // Weyl steps (golden ratio) spread neighbours apart; the mask keeps the number exact in JSON.
    let mixed = film
        .seed
        .wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(retake.wrapping_mul(0xd1b5_4a32_d192_ed03));
    (mixed ^ (mixed >> 29)) & SEED_MAX
}

/// Where a film stands.
pub fn status(jobs: &[Job]) -> FilmStatus {
    status_of(jobs.iter().map(Job::status))
}

/// Where a film stands whose jobs stand there.
pub fn status_of(jobs: impl IntoIterator<Item = JobStatus>) -> FilmStatus {
    let jobs: Vec<JobStatus> = jobs.into_iter().collect();
    let has = |status: JobStatus| jobs.contains(&status);
    if has(JobStatus::Cancelled) {
        FilmStatus::Cancelled
    } else if has(JobStatus::Queued) || has(JobStatus::Running) || has(JobStatus::Retryable) {
        FilmStatus::Running
    } else if has(JobStatus::Failed) {
        FilmStatus::Failed
    } else if has(JobStatus::Blocked) {
        FilmStatus::Running
    } else {
        FilmStatus::Completed
    }
}

/// Whether a job's product is what was asked for; the reason why it is none, if not. `story` is the film's, for a clip.
///
/// # Errors
/// A failure that names what does not fit.
pub fn check(
    film: &Film,
    story: Option<&Story>,
    job: &Job,
    product: &Product,
) -> Result<(), Failure> {
    if product.kind() != job.kind {
        let message = format!(
            "the worker sent a {} product for a {} job",
            product.kind(),
            job.kind
        );
        return Err(Failure::new(FailureKind::Permanent, message));
    }
    match product {
        Product::Story { story } => check_story(film, story),
        Product::Keyframe { image } => check_type(image, MediaType::Png),
        Product::Scene { clip, frames } => {
            check_type(clip, MediaType::Mp4)?;
            check_length(film, story, job, *frames)
        }
        Product::Assembly { film, .. } => check_type(film, MediaType::Mp4),
    }
}

fn check_type(file: &Artifact, wanted: MediaType) -> Result<(), Failure> {
    if file.media_type == wanted {
        return Ok(());
    }
    let message = format!(
        "the worker sent {}; {} was asked for",
        file.media_type.name(),
        wanted.name()
    );
    Err(Failure::new(FailureKind::Permanent, message))
}

/// A clip may be one frame off: backends count their frames in steps of their own.
fn check_length(film: &Film, story: Option<&Story>, job: &Job, made: u32) -> Result<(), Failure> {
    let mut scenes = story.into_iter().flat_map(|story| &story.scenes);
    let Some(scene) = scenes.find(|scene| Some(scene.number) == job.scene) else {
        return Ok(());
    };
    let wanted = frames(scene, film.request.frame_rate());
    if made.abs_diff(wanted) <= 1 {
        return Ok(());
    }
    let message = format!("the clip has {made} frames; {wanted} were asked for");
    Err(Failure::new(FailureKind::RejectedContent, message))
}

fn check_story(film: &Film, story: &Story) -> Result<(), Failure> {
    let reject = |message: String| Err(Failure::new(FailureKind::RejectedContent, message));
    let wanted = film.request.scene_count();
    if story.scenes.len() != wanted as usize {
        return reject(format!(
            "the story has {} scenes; {wanted} were asked for",
            story.scenes.len()
        ));
    }
    for (scene, number) in story.scenes.iter().zip(1..) {
        if scene.number != number {
            return reject(format!(
                "scene {number} of the story is numbered {}",
                scene.number
            ));
        }
        if !shared::film::SECONDS.contains(&scene.seconds) {
            return reject(format!(
                "scene {number} of the story lasts {} s",
                scene.seconds
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
