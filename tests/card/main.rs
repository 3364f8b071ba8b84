//! Stories of one card: a coordinator, its workers and the embedded broker in this process, simulated backends in processes of
//! their own, and NVIDIA's library replaced by its double. In real time, shortened.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it like the test itself"
)]

mod backend;
mod hour;
mod managed;
mod studio;

use std::sync::Arc;
use std::time::Duration;

use shared::film::FilmRequest;
use shared::job::{JobKind, JobStatus};
use simulated_gpu::Process;
use tokio::time::sleep;

use self::backend::{Log, Own, Served, profile};
use self::studio::{Sort, Studio, within};

/// A film of three scenes.
fn film(seed: u64) -> FilmRequest {
    a_film(3, seed)
}

/// A film of that many scenes.
fn long_film(scenes: u32) -> FilmRequest {
    a_film(scenes, 1)
}

fn a_film(scenes: u32, seed: u64) -> FilmRequest {
    let premise = "A lighthouse keeper befriends a storm";
    let request =
        format!(r#"{{"premise": "{premise}", "scenes": {scenes}, "seconds": 1, "seed": {seed}}}"#);
    FilmRequest::parse(request.as_bytes()).unwrap()
}

/// A backend for these profiles, each with what it needs of the card, in GiB: load and peak.
fn served(name: &str, process: &Process, offers: &[(JobKind, &str, u64, u64)]) -> Served {
    let profiles = offers
        .iter()
        .map(|(kind, name, load, peak)| profile(*kind, name, *load, *peak));
    Served::new(name, process, profiles.collect())
}

const MISTRAL: (JobKind, &str, u64, u64) = (JobKind::Story, "mistral", 10, 11);
const CAMERA: [(JobKind, &str, u64, u64); 3] = [
    (JobKind::Keyframe, "drawn", 0, 0),
    (JobKind::Scene, "wan", 18, 21),
    (JobKind::Assembly, "joined", 0, 0),
];

#[tokio::test]
async fn who_asks_why_a_job_does_not_start_is_told_the_process_that_holds_the_card_and_what_is_short()
 {
    let mut studio = Studio::open().await;
    // A process that there is, so that it has a name.
    let me = std::process::id();
    studio.holds(me, 10);
    let comfy = studio.backend();
    let story = (JobKind::Story, "mistral", 18, 21);
    studio.work("camera", served("camera", &comfy, &[story]));
    let film = studio.coordinator().submit(film(1), None).await.unwrap();
    let film = studio.coordinator().film(film.film).await.unwrap();
    let job = film.jobs.iter().find(|job| job.kind == JobKind::Story);
    let job = job.unwrap().id;
    let told = within("a reason with figures", async {
        loop {
            let explained = studio.coordinator().explain_job(job).await.unwrap();
            let told = explained.workers.into_iter().next();
            match told {
                Some(told) if told.reason.contains("short") => return told,
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await;
    assert!(told.online && !told.takes && !told.never, "{told:?}");
    let holder = format!("(pid {me}) holds 10.0 GiB");
    // 21 GiB at its peak and the margin; 24 GiB less what the driver keeps and the 10 GiB.
    let figures = ["needs 21.9 GiB", "13.5 GiB free", "8.4 GiB short"];
    assert!(
        told.reason.contains(&holder) && figures.iter().all(|it| told.reason.contains(it)),
        "{}",
        told.reason
    );
    // The program's own name stands before its number.
    let program = told.reason.split(&holder).next().unwrap().trim_end();
    assert!(!program.ends_with(';'), "{}", told.reason);

    studio.holds(me, 0);
    studio.wait_for(job, JobStatus::Completed).await;
    studio.close().await;
}

/// Two films, one after the other, on a card that has room for one of the two models.
async fn two_films_on_one_card(unseen: bool) {
    let mut studio = Studio::open().await;
    let (ollama, comfy) = (studio.backend(), studio.backend());
    let writer = served("ollama", &ollama, &[MISTRAL]);
    let camera = served("comfyui", &comfy, &CAMERA);
    match unseen {
        true => {
            studio.work("writer", writer.unseen());
            studio.work("camera", camera.unseen());
        }
        false => {
            studio.work("writer", writer);
            studio.work("camera", camera);
        }
    }
    for seed in 1..=2 {
        let film = studio.coordinator().submit(film(seed), None).await.unwrap();
        studio.film_is_done(film.film).await;
    }
    let state = |process: &Process| process.client().state().unwrap();
    let (llm, video) = (state(&ollama), state(&comfy));
    assert_eq!((llm.out_of_memory, video.out_of_memory), (0, 0));
    // The second film's story had the video model put out, and its scenes the language model.
    assert_eq!((llm.loads, video.loads), (2, 2));
    assert_eq!((llm.ended.len(), video.ended.len()), (2, 6));
    assert_eq!((llm.deepest, video.deepest), (1, 1));
    studio.close().await;
}

#[tokio::test]
async fn a_language_model_and_a_video_model_that_do_not_fit_beside_each_other_hand_the_card_over() {
    two_films_on_one_card(false).await;
}

#[tokio::test]
async fn they_do_so_where_nothing_tells_which_process_holds_what() {
    two_films_on_one_card(true).await;
}

#[tokio::test]
async fn a_backend_that_says_it_unloads_and_does_not_is_asked_once_more_and_nothing_begins_meanwhile()
 {
    let mut studio = Studio::open().await;
    let (ollama, comfy) = (studio.backend(), studio.backend());
    studio.work("writer", served("ollama", &ollama, &[MISTRAL]));
    studio.work("camera", served("comfyui", &comfy, &CAMERA));
    ollama.client().ignore_unloads(1).unwrap();
    let film = studio.coordinator().submit(film(1), None).await.unwrap();
    studio.film_is_done(film.film).await;
    let state = |process: &Process| process.client().state().unwrap();
    let (llm, video) = (state(&ollama), state(&comfy));
    let mistral = Some("mistral".to_owned());
    assert_eq!(llm.told_to_unload, [mistral.clone(), mistral]);
    // The video model waited for the memory, not for the word.
    assert_eq!((llm.out_of_memory, video.out_of_memory), (0, 0));
    assert_eq!((llm.models.len(), video.loads), (0, 1));
    studio.close().await;
}

#[tokio::test]
async fn a_backend_of_its_own_that_never_unloads_is_started_anew_and_the_job_begins_then() {
    let mut studio = Studio::of(Sort {
        pace: 10,
        ..Sort::default()
    })
    .await;
    let (ollama, comfy) = (Own::start(studio.settings()), studio.backend());
    ollama.client().ignore_unloads(u32::MAX).unwrap();
    let (kind, name, load, peak) = MISTRAL;
    let writer = Served::owning("ollama", &ollama, vec![profile(kind, name, load, peak)]);
    let camera = served("comfyui", &comfy, &CAMERA);
    let before = ollama.pid();
    studio.work_with("both", vec![Arc::new(writer), Arc::new(camera)]);
    let film = studio.coordinator().submit(film(1), None).await.unwrap();
    studio.film_is_done(film.film).await;
    assert_ne!(ollama.pid(), before, "it was started anew");
    let (llm, video) = (
        ollama.client().state().unwrap(),
        comfy.client().state().unwrap(),
    );
    assert_eq!((llm.out_of_memory, video.out_of_memory), (0, 0));
    assert_eq!((llm.models.len(), video.loads), (0, 1));
    studio.close().await;
}

#[tokio::test]
async fn scenes_without_end_never_wait_for_their_own_model_and_a_card_that_is_too_small_is_offered_none()
 {
    let mut studio = Studio::of(Sort {
        second_card: true,
        ..Sort::default()
    })
    .await;
    let log = Log::default();
    let (comfy, small) = (studio.backend(), studio.backend_on_second_card());
    let outline = (JobKind::Story, "mistral", 0, 0);
    let offers = [&[outline], &CAMERA[..]].concat();
    let camera = served("comfyui", &comfy, &offers).slowly(Duration::from_millis(50));
    studio.work("camera", camera.logging(&log));
    let scenes = [(JobKind::Scene, "wan", 18, 21)];
    studio.work_on_second_card("small", served("small", &small, &scenes));
    let film = studio.coordinator().submit(long_film(24), None).await;
    let film = film.unwrap().film;
    let told = within("the small card's reason", async {
        loop {
            let view = studio.coordinator().film(film).await.unwrap();
            let scene = view.jobs.iter().find(|job| job.kind == JobKind::Scene);
            if let Some(scene) = scene {
                let told = studio.coordinator().explain_job(scene.id).await.unwrap();
                let mut workers = told.workers.into_iter();
                if let Some(told) = workers.find(|it| it.worker.as_str() == "small" && it.never) {
                    return told;
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(told.reason.contains("this card has 11."), "{}", told.reason);
    studio.film_is_done(film).await;
    let state = comfy.client().state().unwrap();
    assert_eq!((state.loads, state.deepest, state.out_of_memory), (1, 1, 0));
    let done = log.read();
    assert_eq!(done.len(), 24);
    // Who waited for its own model would wait for ever, or be handed back after 4 s.
    let pauses = done.windows(2).map(|it| it[1].began.since(it[0].ended));
    let longest = pauses.max().unwrap();
    assert!(longest < Duration::from_secs(4), "{longest:?}");
    let state = small.client().state().unwrap();
    assert_eq!((state.loads, state.ended.len()), (0, 0));
    studio.close().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_comes_back_to_its_render_which_kept_its_memory_meanwhile() {
    let mut studio = Studio::open().await;
    let comfy = studio.backend();
    let story = (JobKind::Story, "mistral", 18, 21);
    let backend = || served("comfyui", &comfy, &[story]).slowly(Duration::from_secs(8));
    studio.work("camera", backend());
    let film = studio.coordinator().submit(film(1), None).await.unwrap();
    let film = studio.coordinator().film(film.film).await.unwrap();
    let job = film.jobs.iter().find(|job| job.kind == JobKind::Story);
    let job = job.unwrap().id;
    studio.until_held(comfy.pid(), 18).await;
    let first = studio.books().entries[0].entry.owner.boot;
    studio.restart("camera", backend()).await;
    // At each moment there is one promise, whoever has it.
    let promise = |studio: &Studio| match &studio.books().entries[..] {
        [one] => one.entry.owner.boot,
        other => panic!("one promise: {other:?}"),
    };
    within("the render to be taken over", async {
        while promise(&studio) == first {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    studio.wait_for(job, JobStatus::Completed).await;
    let state = comfy.client().state().unwrap();
    assert_eq!((state.ended.len(), state.loads, state.deepest), (1, 1, 1));
    studio.close().await;
}
