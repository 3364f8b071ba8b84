//! What single kinds of servers do that the others do not.

use std::time::Duration;

use llm_double::{Act, Double, Kind, event, good};
use llm_worker::provider::{ProviderError, Quota};
use serde_json::json;
use shared::failure::FailureKind;

use crate::support::{once, server};

#[tokio::test]
async fn llama_server_says_that_it_is_loading() {
    let double = Double::start(Kind::LlamaServer).await;
    let loading =
        json!({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}});
    double.probes_fail(503, loading.clone());
    let error = server(Kind::LlamaServer, &double.url)
        .check()
        .await
        .unwrap_err();
    assert!(matches!(error, ProviderError::Loading(_)), "{error}");
    double.then(Act::Refuse(503, loading));
    let error = once(Kind::LlamaServer, &double).await.unwrap_err();
    assert!(matches!(error, ProviderError::Loading(_)), "{error}");
}

#[tokio::test]
async fn a_router_whose_model_was_killed_ends_the_stream_with_bare_words() {
    let double = Double::start(Kind::LlamaServer).await;
    let killed = "proxy error: Failed to read connection";
    double.then(Act::Raw(format!(
        "{}{killed}",
        Kind::LlamaServer.piece("{\"title\"")
    )));
    let error = once(Kind::LlamaServer, &double).await.unwrap_err();
    assert!(matches!(error, ProviderError::Incomplete(_)), "{error}");
    assert!(error.to_string().contains(killed), "{error}");
}

#[tokio::test]
async fn a_final_reason_without_done_is_no_end() {
    for kind in [Kind::LlamaServer, Kind::Router, Kind::LmStudio, Kind::Vllm] {
        let double = Double::start(kind).await;
        let end = kind.end("stop")[0].clone();
        double.then(Act::Raw(format!("{}{end}", kind.piece(&good()))));
        let error = once(kind, &double).await.unwrap_err();
        assert!(
            matches!(error, ProviderError::Incomplete(_)),
            "{kind:?}: {error}"
        );
    }
}

#[tokio::test]
async fn lm_studio_may_spend_everything_on_thoughts() {
    let double = Double::start(Kind::LmStudio).await;
    let thought = event(
        &json!({"choices": [{"finish_reason": null, "delta": {"reasoning_content": good()}}]}),
    );
    let end = Kind::LmStudio.end("stop").concat();
    double.then(Act::Raw(format!("{thought}{end}")));
    let error = once(Kind::LmStudio, &double).await.unwrap_err();
    assert!(matches!(error, ProviderError::Empty), "{error}");
    assert_eq!(error.kind(), FailureKind::RejectedContent);
}

#[tokio::test]
async fn a_vllm_that_sleeps_is_never_asked() {
    let double = Double::start(Kind::Vllm).await;
    let asleep = json!({"is_sleeping": true, "data": [{"id": "story"}]});
    double.probes_fail(200, asleep);
    let error = server(Kind::Vllm, &double.url).check().await.unwrap_err();
    assert!(matches!(error, ProviderError::Asleep), "{error}");
}

#[tokio::test]
async fn ollama_gets_the_same_context_each_time_and_must_not_cut_the_prompt() {
    let double = Double::start(Kind::Ollama).await;
    double.then(Act::Say(good()));
    once(Kind::Ollama, &double).await.unwrap();
    let body = &double.asked()[0].body;
    assert_eq!(body["options"]["num_ctx"], 8_192);
    assert!(
        body["truncate"] == false && body["shift"] == false,
        "{body}"
    );
}

#[tokio::test]
async fn ollama_that_was_unloaded_or_ran_out_of_memory_in_mid_answer_gave_none() {
    let double = Double::start(Kind::Ollama).await;
    double.then(Act::Stop(good(), "unload"));
    let error = once(Kind::Ollama, &double).await.unwrap_err();
    assert!(matches!(error, ProviderError::Incomplete(_)), "{error}");
    double.then(Act::Raw(
        Kind::Ollama.error_within("CUDA error: out of memory"),
    ));
    let error = once(Kind::Ollama, &double).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::OutOfMemory, "{error}");
}

#[tokio::test]
async fn gemini_joins_all_parts_but_its_thoughts() {
    let double = Double::start(Kind::Gemini).await;
    let parts = json!([{"text": "let me see", "thought": true}, {"text": "{\"title\":"}, {"text": "\"Storm\"}"}]);
    let all = json!({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]});
    double.then(Act::Raw(event(&all)));
    assert_eq!(
        once(Kind::Gemini, &double).await.unwrap().text,
        r#"{"title":"Storm"}"#
    );
}

#[tokio::test]
async fn gemini_blocks_are_told_as_such_and_not_tried_again() {
    let double = Double::start(Kind::Gemini).await;
    let prompt = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}});
    double.then(Act::Raw(event(&prompt)));
    double.then(Act::Stop("{\"ti".to_owned(), "SAFETY"));
    for reason in ["prompt: PROHIBITED_CONTENT", "answer: SAFETY"] {
        let error = once(Kind::Gemini, &double).await.unwrap_err();
        assert!(matches!(error, ProviderError::Blocked(_)), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(error.kind(), FailureKind::Permanent);
    }
}

#[tokio::test]
async fn gemini_quotas_of_a_minute_and_of_a_day_are_told_apart() {
    let double = Double::start(Kind::Gemini).await;
    for (id, expected) in [
        (
            "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
            Quota::PerMinute,
        ),
        (
            "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
            Quota::PerDay,
        ),
    ] {
        let details = json!([
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "10s"},
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id, "quotaValue": "20"}]},
        ]);
        let error = json!({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota", "details": details});
        double.then(Act::Refuse(429, json!({ "error": error })));
        match once(Kind::Gemini, &double).await.unwrap_err() {
            ProviderError::Quota {
                quota, retry_after, ..
            } => {
                assert_eq!(
                    (quota, retry_after),
                    (expected, Some(Duration::from_secs(10)))
                );
            }
            other => panic!("{other}"),
        }
    }
}
