//! An hour of films on one card that has room for one of two models: what comes of it, in figures.

use std::fmt;
use std::io::{Write as _, stderr};
use std::time::Duration;

use shared::api::{FilmView, JobView};
use shared::ids::{FilmId, JobId};
use shared::job::JobKind;
use shared::time::Timestamp;
use simulated_gpu::Process;
use tokio::time::{Instant, sleep, sleep_until};
use worker_runtime::gpu::admit::Booked;
use worker_runtime::gpu::ledger::{Page, State};

use super::backend::{Done, Log};
use super::studio::{Sort, Studio, within};
use super::{CAMERA, MISTRAL, long_film, served};

/// So many times faster than with real models.
const PACE: u32 = 45;
/// When films come, in seconds of the hour, and how many scenes each has.
const FILMS: [(u64, u32); 6] = [
    (20, 8),
    (760, 12),
    (1100, 7),
    (1900, 11),
    (2150, 8),
    (3300, 9),
];
/// What a job whose turn it is may wait for the other model's jobs: as promised in `docs/design/gpu-admission.md`.
const WAIT_BOUND: Duration = Duration::from_secs(180);
/// How long the card must have been quiet before an idle model is put out.
const QUIET: Duration = Duration::from_millis(1500);
const UNLOAD: Duration = Duration::from_secs(2);
/// Looks, hints and messages; and what this machine takes for them, which goes no faster here than elsewhere.
const HOST: Duration = Duration::from_millis(1000);
/// Jobs for each change of models, at least.
const JOBS_A_SWAP: u32 = 4;

/// How long the work of a kind takes.
struct Times {
    load: Duration,
    run: Duration,
}

fn times(kind: JobKind) -> Times {
    let (load, run) = match kind {
        JobKind::Story => (10, 20),
        _ => (45, 52),
    };
    Times {
        load: Duration::from_secs(load),
        run: Duration::from_secs(run),
    }
}

/// That time of the hour, as it goes here.
fn here(time: Duration) -> Duration {
    time / PACE
}

/// What came of an hour.
struct Figures {
    stories: usize,
    scenes: usize,
    swaps: u32,
    /// For stories and scenes: the longest wait of a job whose turn it was in its own queue, and the bound.
    longest: [(Duration, Duration); 2],
    /// From the first story until it began, with the other model idle on the card.
    first: Duration,
    took: Duration,
}

impl Figures {
    fn jobs(&self) -> u32 {
        u32::try_from(self.stories + self.scenes).unwrap()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [story, scene] = self.longest.map(|(longest, bound)| {
            format!("{} s (bound {} s)", longest.as_secs(), bound.as_secs())
        });
        write!(
            f,
            "{} stories and {} scenes in {} min, {} swaps ({:.1} jobs a swap), longest turn of a story {story}, of a scene \
             {scene}, the idle model gave way within {} s",
            self.stories,
            self.scenes,
            self.took.as_secs() / 60,
            self.swaps,
            f64::from(self.jobs()) / f64::from(self.swaps),
            self.first.as_secs(),
        )
    }
}

/// The hour, with both kinds of work on one card. It begins with the video model idle on the card, of a film before.
async fn an_hour_of_films(hides_figures: bool) -> Figures {
    let sort = Sort {
        pace: PACE,
        hides_figures,
        ..Sort::default()
    };
    let mut studio = Studio::of(sort).await;
    let log = Log::default();
    let start = |kind| studio.backend_that_loads(here(times(kind).load), here(UNLOAD) / 2);
    let (ollama, comfy) = (start(JobKind::Story), start(JobKind::Scene));
    let writer = served("ollama", &ollama, &[MISTRAL]).slowly(here(times(JobKind::Story).run));
    let camera = served("comfyui", &comfy, &CAMERA).slowly(here(times(JobKind::Scene).run));
    studio.work("writer", writer.logging(&log));
    studio.work("camera", camera.logging(&log));
    let before = submit(&studio, 3).await;
    studio.film_is_done(before).await;
    until_idle(&studio, "wan").await;
    let (done_before, loads_before) = (log.read().len(), loads(&[&ollama, &comfy]));

    let begin = Instant::now();
    let mut films = Vec::new();
    for (at, scenes) in FILMS {
        sleep_until(begin + here(Duration::from_secs(at))).await;
        films.push(submit(&studio, scenes).await);
    }
    let mut jobs = Vec::new();
    for film in films {
        studio.film_is_done(film).await;
        jobs.extend(arrivals(&studio.coordinator().film(film).await.unwrap()));
    }
    let took = begin.elapsed() * PACE;
    let swaps = loads(&[&ollama, &comfy]) - loads_before;
    for backend in [&ollama, &comfy] {
        let state = backend.client().state().unwrap();
        assert_eq!((state.out_of_memory, state.deepest), (0, 1), "{state:?}");
    }
    studio.close().await;
    let done = log.read();
    let of_kind = |kind| {
        let done = done[done_before..].iter();
        done.filter(|it| it.kind == kind).count()
    };
    let waits = |kind| waits(kind, &done, &jobs);
    let (stories, scenes) = (waits(JobKind::Story), waits(JobKind::Scene));
    let longest = |waits: &[Duration], kind| (*waits.iter().max().unwrap(), bound(kind, &done));
    Figures {
        stories: of_kind(JobKind::Story),
        scenes: of_kind(JobKind::Scene),
        swaps,
        longest: [
            longest(&stories, JobKind::Story),
            longest(&scenes, JobKind::Scene),
        ],
        first: stories[0],
        took,
    }
}

async fn submit(studio: &Studio, scenes: u32) -> FilmId {
    let film = studio.coordinator().submit(long_film(scenes), None).await;
    film.unwrap().film
}

/// Waits until nothing runs on the card and that model alone is on it.
async fn until_idle(studio: &Studio, model: &str) {
    let is_idle = |page: &Page| match &page.entries[..] {
        [Booked { entry, .. }] => {
            let is_loaded = matches!(entry.state, State::Resident { .. });
            is_loaded && entry.work.profile.as_str() == model
        }
        _ => false,
    };
    let wait = async {
        while !is_idle(&studio.books()) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    within("the model to be idle", wait).await;
}

fn loads(backends: &[&Process]) -> u32 {
    let loads = backends.iter().map(|it| it.client().state().unwrap().loads);
    loads.sum()
}

/// When each job for the card was first there to be taken: a story with its film, a scene with its keyframe.
fn arrivals(film: &FilmView) -> Vec<(JobId, Timestamp)> {
    let keyframe = |of: &JobView| {
        let mut jobs = film.jobs.iter();
        let it = jobs.find(|job| job.kind == JobKind::Keyframe && job.scene == of.scene);
        it.unwrap().finished_at.unwrap()
    };
    let arrival = |job: &JobView| match job.kind {
        JobKind::Story => Some((job.id, film.summary.created_at)),
        JobKind::Scene => Some((job.id, keyframe(job))),
        JobKind::Keyframe | JobKind::Assembly => None,
    };
    film.jobs.iter().filter_map(arrival).collect()
}

/// How long jobs of that kind waited once it was their turn in their own queue, in the order in which they ran.
fn waits(kind: JobKind, done: &[Done], jobs: &[(JobId, Timestamp)]) -> Vec<Duration> {
    let mut waits = Vec::new();
    let mut free_since = Timestamp::from_millis(0);
    for it in done.iter().filter(|it| it.kind == kind) {
        if let Some((_, arrived)) = jobs.iter().find(|(job, _)| *job == it.job) {
            let waited = it.began.since(free_since.max(*arrived));
            waits.push(waited * PACE);
        }
        free_since = it.ended;
    }
    waits
}

/// What a job whose turn it is may wait: the bound, what runs then, and the change of models; each as long as it took here at
/// most.
fn bound(kind: JobKind, done: &[Done]) -> Duration {
    let of = |is_own: bool| done.iter().filter(move |it| (it.kind == kind) == is_own);
    let others = of(false).map(|it| it.ended.since(it.called));
    let loads = of(true).map(|it| it.began.since(it.called));
    let here = others.max().unwrap_or_default() + loads.max().unwrap_or_default() + HOST;
    WAIT_BOUND + UNLOAD + here * PACE
}

async fn goes_on(how: &str, hides_figures: bool) {
    let figures = an_hour_of_films(hides_figures).await;
    // Past the test's own output, which is shown only if it fails.
    let _ = writeln!(stderr(), "an hour of films, {how}: {figures}");
    let scenes: u32 = FILMS.iter().map(|(_, scenes)| scenes).sum();
    assert_eq!(figures.stories, FILMS.len(), "{figures}");
    assert_eq!(figures.jobs(), scenes + 6, "{figures}");
    assert!(figures.swaps * JOBS_A_SWAP <= figures.jobs(), "{figures}");
    for (longest, bound) in figures.longest {
        assert!(longest <= bound, "{figures}");
    }
    let at_once = QUIET + UNLOAD + times(JobKind::Story).load + HOST * PACE;
    assert!(figures.first <= at_once, "{figures}");
}

#[tokio::test]
async fn films_of_an_hour_share_one_card_within_the_bound_and_without_changing_models_all_the_time()
{
    goes_on("with full attribution", false).await;
}

#[tokio::test]
async fn they_do_so_where_the_driver_does_not_tell_who_holds_what() {
    goes_on("blind", true).await;
}
