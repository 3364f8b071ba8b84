//! Models that are loaded when a story wants them and leave when they are asked to: the same for every kind of server that
//! loads and unloads, with the traps of each.

use std::sync::Arc;
use std::time::Duration;

use llm_double::{Behaviour, Double, Kind, MODEL, Models};
use llm_worker::settings::{LlmSettings, ModelSettings};
use llm_worker::writer::Writer;
use shared::byte_size::ByteSize;
use shared::failure::{Failure, FailureKind};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use worker_runtime::backend::{Backend as _, BackendKind, BackendSays};

use crate::writer::{Stage, attempt, model, payload};

/// What the double calls its model.
fn name(kind: Kind) -> String {
    match kind {
        Kind::Ollama => format!("{MODEL}:latest"),
        _ => MODEL.to_owned(),
    }
}

fn on_card(kind: Kind, url: &str) -> ModelSettings {
    ModelSettings {
        gpu_mib: Some(10 * 1_024),
        ..model(kind, url)
    }
}

fn writer(kind: Kind, double: &Double) -> Writer {
    Writer::new(&LlmSettings::default(), &on_card(kind, &double.url)).unwrap()
}

async fn double(kind: Kind) -> Double {
    Double::that_writes(kind, Models::new(None)).await
}

async fn story(writer: &Writer) -> Result<(), Failure> {
    let stage = Stage::new();
    writer
        .run(&attempt(payload()), &stage.context)
        .await
        .map(drop)
}

fn instances(double: &Double) -> Vec<String> {
    let loaded = double.models().loaded().instances;
    loaded.into_iter().map(|it| it.id).collect()
}

#[tokio::test]
async fn a_story_loads_its_model_with_its_context_and_the_model_leaves_when_asked() {
    for kind in Kind::MANAGED {
        let double = double(kind).await;
        let writer = writer(kind, &double);
        writer.prepare().await.unwrap();
        assert_eq!((writer.residents().len(), instances(&double).len()), (0, 0));
        story(&writer).await.unwrap();
        let loaded = double.models().loaded();
        assert_eq!(loaded.instances[0].context, 8_192, "{kind:?}");
        let resident = writer.residents().remove(0);
        assert_eq!(resident.profile.as_str(), "teller", "{kind:?}");
        // A second story finds it there.
        story(&writer).await.unwrap();
        assert_eq!(double.models().loaded().loads, 1, "{kind:?}");
        writer.unload(None).await.unwrap();
        assert_eq!(instances(&double), [""; 0], "{kind:?}");
        assert_eq!(writer.residents(), [], "{kind:?}");
        // That it is gone already is no mistake.
        writer
            .unload(Some(&"teller".parse().unwrap()))
            .await
            .unwrap();
        story(&writer).await.unwrap();
        assert_eq!(double.models().loaded().loads, 2, "{kind:?}");
    }
}

#[tokio::test]
async fn an_unload_has_happened_when_the_list_says_so_and_not_when_it_is_answered() {
    for kind in Kind::MANAGED {
        let double = double(kind).await;
        let writer = writer(kind, &double);
        story(&writer).await.unwrap();
        double.models().behave(Behaviour {
            leaves: Duration::from_millis(250),
            ..Behaviour::default()
        });
        let begin = Instant::now();
        writer.unload(None).await.unwrap();
        assert_eq!(instances(&double), [""; 0], "{kind:?}");
        assert!(begin.elapsed() >= Duration::from_millis(250), "{kind:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_yes_and_keeps_its_model_is_told_of_and_can_be_asked_again() {
    for kind in Kind::MANAGED {
        let double = double(kind).await;
        let writer = writer(kind, &double);
        story(&writer).await.unwrap();
        double.models().behave(Behaviour {
            ignores: 1,
            ..Behaviour::default()
        });
        let why = writer.unload(None).await.unwrap_err();
        let still = format!("still has {}", name(kind));
        assert!(why.contains(&still), "{kind:?}: {why}");
        assert_eq!(writer.residents().len(), 1, "{kind:?}");
        writer.unload(None).await.unwrap();
        assert_eq!(double.models().loaded().unloads, 2, "{kind:?}");
    }
}

#[tokio::test]
async fn a_model_that_somebody_has_loaded_is_not_loaded_once_more() {
    for kind in Kind::MANAGED {
        let double = double(kind).await;
        double.models().is_loaded(&name(kind), 8_192);
        let writer = writer(kind, &double);
        writer.prepare().await.unwrap();
        assert_eq!(writer.residents().len(), 1, "{kind:?}");
        story(&writer).await.unwrap();
        let loaded = double.models().loaded();
        assert_eq!((loaded.loads, loaded.instances.len()), (0, 1), "{kind:?}");
    }
}

#[tokio::test]
async fn every_instance_of_a_model_leaves() {
    let double = double(Kind::LmStudio).await;
    double.models().is_loaded(MODEL, 8_192);
    double.models().is_loaded(MODEL, 4_096);
    assert_eq!(instances(&double), ["story", "story:2"]);
    writer(Kind::LmStudio, &double).unload(None).await.unwrap();
    assert_eq!(instances(&double), [""; 0]);
}

#[tokio::test]
async fn two_workers_that_load_at_the_same_time_end_with_one_model() {
    let double = double(Kind::LmStudio).await;
    double.models().behave(Behaviour {
        load: Duration::from_millis(200),
        ..Behaviour::default()
    });
    let (one, other) = (
        writer(Kind::LmStudio, &double),
        writer(Kind::LmStudio, &double),
    );
    let (one, other) = tokio::join!(story(&one), story(&other));
    one.unwrap();
    other.unwrap();
    assert_eq!(double.models().loaded().loads, 2, "both have loaded it");
    let left = double.models().until(|loaded| loaded.instances.len() == 1);
    timeout(Duration::from_secs(5), left).await.unwrap();
    assert_eq!(instances(&double), ["story"]);
}

#[tokio::test]
async fn models_of_others_stay() {
    for kind in Kind::MANAGED {
        let double = double(kind).await;
        let writer = writer(kind, &double);
        double.models().is_loaded("other", 8_192);
        story(&writer).await.unwrap();
        writer.unload(None).await.unwrap();
        assert_eq!(instances(&double), ["other"], "{kind:?}");
        assert_eq!(writer.residents(), [], "{kind:?}");
    }
}

#[tokio::test]
async fn what_is_pinned_stays_and_a_server_without_unloading_says_so() {
    for kind in Kind::MANAGED {
        let double = double(kind).await;
        let pinned = ModelSettings {
            pinned: true,
            ..on_card(kind, &double.url)
        };
        let writer = Arc::new(Writer::new(&LlmSettings::default(), &pinned).unwrap());
        story(&writer).await.unwrap();
        let why = writer.unload(None).await.unwrap_err();
        assert!(
            why.contains("pinned") && why.contains(MODEL),
            "{kind:?}: {why}"
        );
        assert_eq!(instances(&double), [name(kind)], "{kind:?}");
        assert!(writer.on_card().pinned, "{kind:?}");
    }
    for kind in [Kind::LlamaServer, Kind::Vllm] {
        let double = double(kind).await;
        let writer = writer(kind, &double);
        writer.prepare().await.unwrap();
        story(&writer).await.unwrap();
        let why = writer.unload(None).await.unwrap_err();
        let place = double.url.replace("http://", "openai@");
        assert!(
            why.contains(&place) && why.contains("no way to unload"),
            "{why}"
        );
        // It holds its model from its start to its end.
        let card = writer.on_card();
        assert!(card.pinned && card.pids.is_empty(), "{card:?}");
        assert_eq!(card.reported, Some(ByteSize::gib(10)), "{kind:?}");
        assert_eq!(writer.residents().len(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn models_of_one_server_are_one_backend_and_are_told_apart() {
    let double = double(Kind::LmStudio).await;
    double.models().is_loaded(MODEL, 8_192);
    double.models().is_loaded("other", 8_192);
    let named = |profile: &str, model: &str| ModelSettings {
        profile: profile.parse().unwrap(),
        model: model.to_owned(),
        ..on_card(Kind::LmStudio, &double.url)
    };
    let settings = LlmSettings {
        models: vec![named("teller", MODEL), named("other", "other")],
        ..LlmSettings::default()
    };
    let writers = Writer::all(&settings).unwrap();
    for writer in &writers {
        writer.prepare().await.unwrap();
    }
    let cards: Vec<_> = writers.iter().map(|writer| writer.on_card()).collect();
    assert_eq!(cards[0], cards[1]);
    assert_eq!(cards[0].kind, BackendKind::Stacking);
    let id = cards[0].id.as_ref().unwrap().to_string();
    assert_eq!(
        format!("http://{}", id.strip_prefix("openai@").unwrap()),
        double.url
    );
    assert_eq!(writers[0].residents().len(), 2);
    // Either speaks for both.
    writers[0]
        .unload(Some(&"other".parse().unwrap()))
        .await
        .unwrap();
    assert_eq!(instances(&double), [MODEL]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_process_of_a_server_on_this_host_is_known() {
    let double = double(Kind::Ollama).await;
    let writer = writer(Kind::Ollama, &double);
    writer.prepare().await.unwrap();
    let pids = writer.on_card().pids;
    assert!(pids.contains(&std::process::id()), "{pids:?}");
}

#[tokio::test]
async fn ollama_tells_what_its_models_hold() {
    let double = double(Kind::Ollama).await;
    let writer = writer(Kind::Ollama, &double);
    writer.prepare().await.unwrap();
    assert_eq!(writer.on_card().reported, Some(ByteSize::ZERO));
    story(&writer).await.unwrap();
    let held = double.models().loaded().held;
    assert!(held > ByteSize::gib(9));
    assert_eq!(writer.on_card().reported, Some(held));
    assert_eq!(writer.residents()[0].size, Some(held));
}

#[tokio::test]
async fn a_server_that_is_gone_has_taken_its_models_with_it() {
    for kind in Kind::MANAGED {
        let double = double(kind).await;
        let writer = writer(kind, &double);
        story(&writer).await.unwrap();
        assert_eq!(writer.says().await, BackendSays::Idle, "{kind:?}");
        let place = double.url.replace("http://", "");
        drop(double);
        let closed = async {
            while TcpStream::connect(&place).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(5), closed).await.unwrap();
        assert_eq!(writer.says().await, BackendSays::Gone, "{kind:?}");
        assert_eq!(writer.residents(), [], "{kind:?}");
        writer.unload(None).await.unwrap();
    }
}

#[tokio::test]
async fn a_model_that_does_not_load_is_a_failed_attempt_that_says_why() {
    for (kind, expected, words) in [
        (Kind::LmStudio, FailureKind::OutOfMemory, "SIGABRT"),
        (Kind::Ollama, FailureKind::OutOfMemory, "out of memory"),
        (
            Kind::Router,
            FailureKind::Transient,
            "its process ended with 1",
        ),
    ] {
        let double = double(kind).await;
        double.models().behave(Behaviour {
            fails: 1,
            ..Behaviour::default()
        });
        let writer = writer(kind, &double);
        let failure = story(&writer).await.unwrap_err();
        assert_eq!(failure.kind, expected, "{kind:?}: {failure}");
        assert!(failure.message.contains(words), "{kind:?}: {failure}");
        assert_eq!(double.asked().len(), 0, "{kind:?}");
        story(&writer).await.unwrap();
    }
}

#[tokio::test]
async fn a_model_of_which_a_part_went_to_host_memory_in_silence_is_put_out_again() {
    let double = double(Kind::Ollama).await;
    double.models().behave(Behaviour {
        on_card: 50,
        ..Behaviour::default()
    });
    let writer = writer(Kind::Ollama, &double);
    let failure = story(&writer).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::OutOfMemory, "{failure}");
    assert!(failure.message.contains("of the 10.0 GiB"), "{failure}");
    let gone = double.models().until(|loaded| loaded.instances.is_empty());
    timeout(Duration::from_secs(5), gone).await.unwrap();
    assert_eq!(double.asked().len(), 0);
}

#[tokio::test]
async fn a_model_that_somebody_is_loading_is_waited_for_and_a_cancelled_story_does_not_wait() {
    let double = double(Kind::Router).await;
    double.models().behave(Behaviour {
        load: Duration::from_millis(400),
        ..Behaviour::default()
    });
    double.models().load_later(MODEL, 8_192);
    let writer = writer(Kind::Router, &double);
    story(&writer).await.unwrap();
    assert_eq!(double.models().loaded().loads, 1);

    writer.unload(None).await.unwrap();
    double.models().behave(Behaviour {
        load: Duration::from_secs(60),
        ..Behaviour::default()
    });
    let stage = Stage::new();
    let (context, cancelled) = (stage.context.clone(), stage.context.cancelled.clone());
    let task = tokio::spawn(async move { writer.run(&attempt(payload()), &context).await });
    stage.told("loading the model").await;
    let begin = Instant::now();
    cancelled.cancel();
    let failure = task.await.unwrap().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Cancelled);
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_model_that_was_loaded_with_less_context_is_used_as_it_is_if_a_story_fits() {
    let double = double(Kind::LmStudio).await;
    double.models().is_loaded(MODEL, 4_096);
    let writer = writer(Kind::LmStudio, &double);
    story(&writer).await.unwrap();
    let most = |asked: &llm_double::Asked| asked.body["max_tokens"].as_u64().unwrap();
    assert!(double.asked().iter().all(|asked| most(asked) < 4_096));
    writer.unload(None).await.unwrap();
    double.models().is_loaded(MODEL, 1_024);
    let failure = story(&writer).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    assert!(
        failure.message.contains("a context of 1024 tokens"),
        "{failure}"
    );
}
