//! The story worker with a server of language models on the card, and a video model that does not fit beside it.

use std::time::Duration;

use llm_double::{Behaviour, Kind};
use llm_worker::settings::{LlmSettings, ModelSettings, ProviderKind, RunsOn};
use llm_worker::writer::Writer;
use shared::film::FilmRequest;
use shared::ids::JobId;
use shared::job::{JobKind, JobStatus};
use tokio::time::sleep;

use crate::studio::{Language, Studio, within};
use crate::{CAMERA, served};

/// A film of three scenes that a language model writes.
fn film(seed: u64) -> FilmRequest {
    let premise = "A lighthouse keeper befriends a storm";
    let request =
        format!(r#"{{"premise": "{premise}", "scenes": 3, "seconds": 1, "seed": {seed}}}"#);
    FilmRequest::parse(request.as_bytes()).unwrap()
}

/// The model on that server, which holds 10 GiB of the card.
fn model(kind: Kind, language: &Language) -> ModelSettings {
    ModelSettings {
        profile: "mistral".parse().unwrap(),
        provider: match kind {
            Kind::Ollama => ProviderKind::Ollama,
            _ => ProviderKind::OpenAi,
        },
        url: Some(language.url().to_owned()),
        model: "story".to_owned(),
        context: 8_192,
        gpu_mib: Some(10 * 1_024),
        ram_mib: 0,
        threads: 0,
        size: None,
        runs_on: RunsOn::Gpu,
        pinned: false,
        fallbacks: Vec::new(),
        temperature: 0.8,
        timeout: Duration::from_secs(30),
        key: None,
        key_file: None,
    }
}

fn writer(kind: Kind, language: &Language) -> Writer {
    Writer::new(&LlmSettings::default(), &model(kind, language)).unwrap()
}

/// A film is made with the model that is loaded already; for its scenes that leaves; for the next film's story it is back.
async fn two_films(mut studio: Studio, kind: Kind, behaviour: Behaviour) {
    let language = studio.language(kind, behaviour);
    let comfy = studio.backend();
    studio.work("writer", writer(kind, &language));
    let camera = served("comfyui", &comfy, &CAMERA);
    match studio.is_blind() {
        true => studio.work("camera", camera.unseen()),
        false => studio.work("camera", camera),
    }
    let first = studio.coordinator().submit(film(1), None).await.unwrap();
    // Once a scene has begun, the model has left for it.
    within("the video model to be loaded", async {
        while comfy.client().state().unwrap().loads == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let then = language.loaded().await;
    assert_eq!(then.instances, [], "{kind:?}");
    assert_eq!(
        (then.loads, then.unloads),
        (1, 1),
        "it was there from the start, and left once"
    );
    let second = studio.coordinator().submit(film(2), None).await.unwrap();
    studio.film_is_done(first.film).await;
    studio.film_is_done(second.film).await;
    // It came back for the second story, and nobody was ever refused memory.
    let in_the_end = language.loaded().await;
    assert_eq!(in_the_end.loads, 2, "{kind:?}");
    assert_eq!(studio.refusals(), [], "{kind:?}");
    let video = comfy.client().state().unwrap();
    assert_eq!(
        (video.out_of_memory, video.loads, video.ended.len()),
        (0, 2, 6)
    );
    studio.close().await;
}

#[tokio::test]
async fn ollamas_model_leaves_for_the_scenes_and_is_back_for_the_next_story() {
    two_films(Studio::open().await, Kind::Ollama, Behaviour::default()).await;
}

#[tokio::test]
async fn lm_studios_model_leaves_for_the_scenes_and_is_back_for_the_next_story() {
    two_films(Studio::open().await, Kind::LmStudio, Behaviour::default()).await;
}

#[tokio::test]
async fn a_routers_model_leaves_for_the_scenes_and_is_back_for_the_next_story() {
    two_films(Studio::open().await, Kind::Router, Behaviour::default()).await;
}

#[tokio::test]
async fn the_same_where_nothing_tells_who_holds_what() {
    two_films(Studio::blind().await, Kind::LmStudio, Behaviour::default()).await;
}

#[tokio::test]
async fn the_same_where_only_the_server_tells_what_it_holds() {
    two_films(Studio::blind().await, Kind::Ollama, Behaviour::default()).await;
}

/// It says yes at once, goes a while later, and its memory is back a while after that.
fn early() -> Behaviour {
    Behaviour {
        leaves: Duration::from_millis(300),
        lag: Duration::from_millis(700),
        ..Behaviour::default()
    }
}

#[tokio::test]
async fn nothing_begins_before_memory_is_back_though_the_unload_was_answered_long_before() {
    two_films(Studio::open().await, Kind::Ollama, early()).await;
}

#[tokio::test]
async fn the_same_where_nothing_tells_who_holds_it() {
    two_films(Studio::blind().await, Kind::LmStudio, early()).await;
}

/// The first reason with figures why that job does not begin.
async fn why_it_waits(studio: &Studio, job: JobId) -> String {
    within("a reason", async {
        loop {
            let explained = studio.coordinator().explain_job(job).await.unwrap();
            let mut reasons = explained.workers.into_iter().map(|told| told.reason);
            match reasons.find(|reason| reason.contains("short")) {
                Some(reason) => return reason,
                None => sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_model_that_is_pinned_stays_and_who_waits_is_told_its_process() {
    let mut studio = Studio::open().await;
    let language = studio.language(Kind::LmStudio, Behaviour::default());
    let comfy = studio.backend();
    let pinned = ModelSettings {
        pinned: true,
        ..model(Kind::LmStudio, &language)
    };
    studio.work(
        "writer",
        Writer::new(&LlmSettings::default(), &pinned).unwrap(),
    );
    studio.work("camera", served("comfyui", &comfy, &CAMERA));
    let film = studio.coordinator().submit(film(1), None).await.unwrap();
    let scene = within("the scenes to be known", async {
        loop {
            let told = studio.coordinator().film(film.film).await.unwrap();
            match told.jobs.iter().find(|job| job.kind == JobKind::Scene) {
                Some(scene) => return scene.id,
                None => sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await;
    let why = why_it_waits(&studio, scene).await;
    let holder = format!("(pid {}) holds 10.0 GiB", language.pid());
    assert!(why.contains(&holder), "{why}");
    let stays = language.loaded().await;
    assert_eq!((stays.loads, stays.unloads), (1, 0));
    // Whoever pinned it lets it go.
    drop(language);
    studio.film_is_done(film.film).await;
    studio.close().await;
}

/// The model never goes: it is asked twice, no scene begins, and everybody is told why; the scenes run once the server is gone.
async fn never_gives_back(mut studio: Studio, kind: Kind) {
    let never = Behaviour {
        ignores: u32::MAX,
        ..Behaviour::default()
    };
    let language = studio.language(kind, never);
    let comfy = studio.backend();
    studio.work("writer", writer(kind, &language));
    let camera = served("comfyui", &comfy, &CAMERA);
    match studio.is_blind() {
        true => studio.work("camera", camera.unseen()),
        false => studio.work("camera", camera),
    }
    let film = studio.coordinator().submit(film(1), None).await.unwrap();
    within("the model to be asked twice", async {
        while language.loaded().await.unloads < 2 {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let video = comfy.client().state().unwrap();
    assert_eq!(
        (video.loads, video.out_of_memory),
        (0, 0),
        "nothing has begun"
    );
    let told = studio.coordinator().film(film.film).await.unwrap();
    let scenes: Vec<_> = told
        .jobs
        .iter()
        .filter(|job| job.kind == JobKind::Scene)
        .collect();
    assert!(scenes.iter().all(|job| job.status != JobStatus::Completed));
    let why = why_it_waits(&studio, scenes[0].id).await;
    assert!(why.contains("13.5 GiB free"), "{why}");
    drop(language);
    studio.film_is_done(film.film).await;
    assert_eq!(studio.refusals(), []);
    studio.close().await;
}

#[tokio::test]
async fn a_server_that_never_gives_its_memory_back_keeps_scenes_waiting_and_breaks_nothing() {
    never_gives_back(Studio::open().await, Kind::Ollama).await;
}

#[tokio::test]
async fn the_same_in_the_dark() {
    never_gives_back(Studio::blind().await, Kind::LmStudio).await;
}
