//! What servers were seen to answer, and what it means.

use super::*;

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status,
        body: body.to_owned(),
        retry_after: None,
    }
}

fn ok(body: &str) -> Reply {
    reply(200, body)
}

const LM_STUDIO: &str = r#"{"models":[
    {"type":"llm","key":"google/gemma-4-26b-a4b","size_bytes":17990911801,
     "loaded_instances":[{"id":"google/gemma-4-26b-a4b","config":{"context_length":4096,"parallel":4}},
                         {"id":"google/gemma-4-26b-a4b:2","config":{"context_length":8192,"parallel":4}}]},
    {"type":"embedding","key":"nomic","loaded_instances":[]}]}"#;

/// LM Studio, to a path that it does not know.
const UNEXPECTED: &str = r#"{"error":"Unexpected endpoint or method. (GET /api/v1/models)"}"#;

#[test]
fn lm_studio_lists_every_instance_of_a_model() {
    let held = LmStudio.held(&ok(LM_STUDIO)).unwrap();
    let told: Vec<_> = held
        .iter()
        .map(|it| (it.instance.as_str(), it.context))
        .collect();
    let expected = [
        ("google/gemma-4-26b-a4b", Some(4_096)),
        ("google/gemma-4-26b-a4b:2", Some(8_192)),
    ];
    assert_eq!(told, expected);
    assert!(
        held.iter()
            .all(|it| LmStudio.is(it, "google/gemma-4-26b-a4b"))
    );
    let body = LmStudio.unload(&held[1]).body.unwrap();
    assert_eq!(body, r#"{"instance_id":"google/gemma-4-26b-a4b:2"}"#);
}

#[test]
fn a_200_of_lm_studio_to_a_path_that_it_does_not_know_is_no_success() {
    let said = ok(UNEXPECTED);
    assert!(LmStudio.held(&said).is_err());
    assert!(LmStudio.judge_unload(&said).is_err());
    assert!(LmStudio.judge_load(&said).is_err());
    LmStudio
        .judge_unload(&ok(r#"{"instance_id":"x"}"#))
        .unwrap();
}

#[test]
fn lm_studio_tells_of_memory_only_by_how_its_engine_died() {
    for said in [
        r#"{"error":{"type":"model_load_failed","message":"Failed to load model"}}"#,
        r#"{"error":{"message":"Model loading was stopped due to insufficient system resources."}}"#,
    ] {
        let error = LmStudio.judge_load(&reply(500, said)).unwrap_err();
        assert!(matches!(error, ProviderError::OutOfMemory(_)), "{error}");
    }
    let error = LmStudio.judge_load(&reply(401, "{}")).unwrap_err();
    assert!(matches!(error, ProviderError::Unauthorized(_)), "{error}");
}

#[test]
fn ollama_tells_what_is_on_the_card_and_calls_what_has_no_tag_latest() {
    let body = r#"{"models":[{"name":"mistral-nemo:latest","size":10737418240,"size_vram":9663676416,
        "context_length":8192,"expires_at":"2026-11-01T12:00:00Z"}]}"#;
    let held = OllamaModels.held(&ok(body)).unwrap().remove(0);
    assert_eq!(held.memory, Some((ByteSize::gib(10), ByteSize::gib(9))));
    assert_eq!(held.context, Some(8_192));
    assert!(
        OllamaModels.is(&held, "mistral-nemo") && OllamaModels.is(&held, "mistral-nemo:latest")
    );
    assert!(!OllamaModels.is(&held, "mistral") && !OllamaModels.is(&held, "mistral-nemo:12b"));
}

#[test]
fn ollama_is_asked_to_load_with_what_every_request_has_and_to_unload_with_no_time_to_stay() {
    let wanted = Wanted {
        model: "nemo".to_owned(),
        context: 8_192,
        on_processor: true,
    };
    let load: Value = serde_json::from_str(&OllamaModels.load(&wanted).body.unwrap()).unwrap();
    assert_eq!(
        load["options"],
        serde_json::json!({"num_ctx": 8_192, "num_gpu": 0})
    );
    assert_eq!(load["keep_alive"], "30m");
    // It says so although nothing was loaded.
    OllamaModels
        .judge_unload(&ok(r#"{"done":true,"done_reason":"unload"}"#))
        .unwrap();
    let error = OllamaModels.judge_load(&reply(404, r#"{"error":"model 'x' not found"}"#));
    assert!(matches!(error, Err(ProviderError::UnknownModel(_))));
}

#[test]
fn a_router_tells_how_far_each_model_is() {
    let status = |status: &str| {
        let body = format!(r#"{{"data":[{{"id":"a","status":{status}}}]}}"#);
        let held = Router.held(&ok(&body)).unwrap();
        held.into_iter().next().map(|it| it.state)
    };
    assert_eq!(status(r#"{"value":"unloaded"}"#), None);
    assert_eq!(status(r#"{"value":"downloading"}"#), None);
    assert_eq!(status(r#"{"value":"loading"}"#), Some(HeldState::Loading));
    assert_eq!(status(r#"{"value":"loaded"}"#), Some(HeldState::Ready));
    assert_eq!(status(r#"{"value":"sleeping"}"#), Some(HeldState::Asleep));
    let failed = status(r#"{"value":"unloaded","failed":true,"exit_code":1}"#);
    assert!(matches!(failed, Some(HeldState::Failed(_))), "{failed:?}");
    // The catalogue of a server with one model is no such list.
    assert!(Router.held(&ok(r#"{"data":[{"id":"story"}]}"#)).is_err());
}

#[test]
fn already_so_is_success_for_a_router() {
    let said = |message: &str| {
        reply(
            400,
            &format!(r#"{{"error":{{"code":400,"message":"{message}"}}}}"#),
        )
    };
    Router
        .judge_load(&said("model is already running"))
        .unwrap();
    Router.judge_unload(&said("model is not running")).unwrap();
    Router.judge_load(&ok(r#"{"success":true}"#)).unwrap();
    assert!(Router.judge_unload(&said("model is not found")).is_err());
    let missing = reply(404, r#"{"error":{"code":404,"message":"File Not Found"}}"#);
    let error = Router.judge_load(&missing).unwrap_err();
    assert!(matches!(error, ProviderError::UnknownModel(_)), "{error}");
}

#[test]
fn servers_are_told_apart_by_what_they_answer() {
    let [(list, is_lm_studio), (props, is_router)] = recognised_by();
    assert_eq!(
        (list.path.as_str(), props.path.as_str()),
        ("/api/v1/models", "/props")
    );
    assert_eq!(is_lm_studio(&ok(LM_STUDIO)).unwrap().name(), "LM Studio");
    for other in [
        ok(UNEXPECTED),
        reply(404, r#"{"error":{"message":"File Not Found"}}"#),
    ] {
        assert!(is_lm_studio(&other).is_none());
    }
    assert!(is_router(&ok(r#"{"role":"router","max_instances":1}"#)).is_some());
    for other in [
        ok(r#"{"is_sleeping":false,"total_slots":1}"#),
        reply(404, "{}"),
    ] {
        assert!(is_router(&other).is_none());
    }
}
