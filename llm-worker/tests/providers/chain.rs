//! Who writes when a model cannot: only whom the settings name, and the film is told. And what is found on this host.

use std::sync::Arc;

use llm_double::{Act, Double, Kind, Models};
use llm_worker::settings::{LlmSettings, ModelSettings};
use llm_worker::{backends, discover};
use serde_json::json;
use shared::failure::{Failure, FailureKind};
use shared::ids::Attempt;
use shared::job::{Outcome, Product};
use worker_runtime::backend::Backend;

use crate::writer::{Stage, attempt, model, payload};

fn named(profile: &str, kind: Kind, url: &str, fallbacks: &[&str]) -> ModelSettings {
    ModelSettings {
        profile: profile.parse().unwrap(),
        fallbacks: fallbacks.iter().map(|name| name.parse().unwrap()).collect(),
        ..model(kind, url)
    }
}

/// The backend of that profile.
fn backend(settings: &LlmSettings, profile: &str) -> Arc<dyn Backend> {
    let all = backends(settings);
    let of_it = |it: &&Arc<dyn Backend>| it.profiles()[0].name.as_str() == profile;
    Arc::clone(all.iter().find(of_it).unwrap())
}

async fn run(backend: &Arc<dyn Backend>, number: u32) -> Result<Outcome, Failure> {
    let stage = Stage::new();
    let mut attempt = attempt(payload());
    attempt.attempt = Attempt::new(number);
    backend.run(&attempt, &stage.context).await
}

/// An address where nobody is.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn writes(kind: Kind) -> Double {
    Double::that_writes(kind, Models::new(None)).await
}

#[tokio::test]
async fn a_server_that_is_down_is_stood_in_for_by_whom_the_settings_allow_and_the_film_is_told() {
    let gone = nobody().await;
    let double = writes(Kind::Ollama).await;
    let settings = LlmSettings {
        models: vec![
            named("large", Kind::LlamaServer, &gone, &["small", "outline"]),
            named("small", Kind::Ollama, &double.url, &[]),
            named("alone", Kind::LlamaServer, &gone, &[]),
        ],
        ..LlmSettings::default()
    };
    let large = backend(&settings, "large");
    large.prepare().await.unwrap();
    let outcome = run(&large, 1).await.unwrap();
    assert_eq!(double.asked().len(), 2);
    let [told] = &outcome.fallbacks[..] else {
        panic!("{:?}", outcome.fallbacks)
    };
    let begin = "story: written with `small` instead of `large` (openai at ";
    assert!(
        told.starts_with(begin) && told.contains("nothing answers there"),
        "{told}"
    );
    // With the second gone too, the outline is left.
    drop(double);
    let outcome = run(&large, 1).await.unwrap();
    assert!(outcome.fallbacks[0].contains("written with `outline` instead of `large`"));
    assert!(matches!(outcome.product, Product::Story { .. }));
    // Whoever names nobody has nobody.
    let alone = backend(&settings, "alone");
    alone.prepare().await.unwrap_err();
    assert_eq!(
        run(&alone, 2).await.unwrap_err().kind,
        FailureKind::Transient
    );
}

#[tokio::test]
async fn a_model_that_writes_nonsense_is_stood_in_for_and_one_that_stumbles_is_tried_again_first() {
    let double = Double::start(Kind::LlamaServer).await;
    let settings = LlmSettings {
        models: vec![named(
            "teller",
            Kind::LlamaServer,
            &double.url,
            &["outline"],
        )],
        ..LlmSettings::default()
    };
    let teller = backend(&settings, "teller");
    let nonsense = || Act::Say("Once upon a time".to_owned());
    double.then(nonsense()).then(nonsense());
    let outcome = run(&teller, 1).await.unwrap();
    let told = &outcome.fallbacks[0];
    assert!(
        told.contains("`outline` instead of `teller`") && told.contains("no JSON"),
        "{told}"
    );

    let breaks = || Act::Refuse(500, json!({"error": {"message": "it broke"}}));
    double.then(breaks());
    let failure = run(&teller, 1).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    double.then(breaks());
    let outcome = run(&teller, 2).await.unwrap();
    assert!(
        outcome.fallbacks[0].contains("it broke"),
        "{:?}",
        outcome.fallbacks
    );
}

#[tokio::test]
async fn a_story_that_its_own_model_writes_has_no_fallback() {
    let double = writes(Kind::Ollama).await;
    let settings = LlmSettings {
        models: vec![named("teller", Kind::Ollama, &double.url, &["outline"])],
        ..LlmSettings::default()
    };
    let outcome = run(&backend(&settings, "teller"), 1).await.unwrap();
    assert_eq!(outcome.fallbacks, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_this_host_are_found_by_what_they_answer() {
    let studio = writes(Kind::LmStudio).await;
    studio.models().is_loaded("other", 8_192);
    let ollama = writes(Kind::Ollama).await;
    let llama = writes(Kind::LlamaServer).await;
    let gone = nobody().await;
    let places = [gone.as_str(), &studio.url, &ollama.url, &llama.url];
    let found = discover::at(&places, &LlmSettings::default());
    let told: Vec<_> = found
        .iter()
        .map(|it| (it.profile.as_str(), it.url.as_deref().unwrap()))
        .collect();
    // The same model elsewhere is no second profile of that name.
    assert_eq!(
        told,
        [("other", studio.url.as_str()), ("story", &studio.url)]
    );
    let known = LlmSettings {
        models: vec![named("mine", Kind::LmStudio, &studio.url, &[])],
        ..LlmSettings::default()
    };
    let found = discover::at(&places, &known);
    let told: Vec<_> = found.iter().map(|it| it.url.as_deref().unwrap()).collect();
    assert_eq!(
        told,
        [&ollama.url, &llama.url],
        "what is set up is not looked for"
    );
    let settings = LlmSettings {
        models: found,
        ..LlmSettings::default()
    };
    run(&backend(&settings, "story"), 1).await.unwrap();
    assert_eq!(ollama.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_found_by_itself_says_what_it_lacks() {
    let settings = LlmSettings {
        auto: true,
        ..LlmSettings::default()
    };
    let auto = backend(&settings, discover::AUTO);
    auto.prepare().await.unwrap();
    // Somebody may have a server where it usually is; in all other places there is none.
    if backends(&settings).len() == 2 {
        let outcome = run(&auto, 1).await.unwrap();
        let told = &outcome.fallbacks[0];
        assert!(
            told.contains("written with `outline`") && told.contains("127.0.0.1:11434"),
            "{told}"
        );
    }
}
