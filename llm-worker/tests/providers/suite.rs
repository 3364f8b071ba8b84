//! What holds for every kind of server.

use std::time::Duration;

use llm_double::{Act, Double, KEY, Kind, MODEL, good};
use llm_worker::provider::{Key, Limit, ProviderError, Server};
use serde_json::json;
use shared::failure::FailureKind;
use shared::settings::Secret;
use tokio::time::Instant;

use crate::support::{ask, limit, once, provider, server, server_with_key};

#[tokio::test]
async fn a_whole_answer_arrives_and_was_asked_for_with_schema_limit_and_stream() {
    for kind in Kind::ALL {
        let double = Double::start(kind).await;
        double.then(Act::Say(format!("  {}\n", good())));
        let server = server(kind, &double.url);
        server.check().await.unwrap();
        let mut told = Vec::new();
        let answer = server
            .ask(&ask(), &limit(), &mut |tokens| told.push(tokens))
            .await
            .unwrap();
        assert_eq!(answer.text, good(), "{kind:?}");
        assert!(answer.tokens >= 5, "{kind:?}: {answer:?}");
        assert!(
            told.is_sorted() && told.last() == Some(&answer.tokens),
            "{kind:?}: {told:?}"
        );
        let asked = double.asked();
        assert_eq!(asked.len(), 1, "{kind:?}");
        let (schema, most, streams) = kind.asked_for(&asked[0].path, &asked[0].body);
        assert_eq!(
            schema,
            serde_json::to_value(ask().schema).unwrap(),
            "{kind:?}"
        );
        assert!(
            most.as_u64().unwrap() >= 100 && streams,
            "{kind:?}: {:?}",
            asked[0]
        );
        let text = asked[0].body.to_string();
        assert!(
            text.contains("You name films.") && text.contains("befriends a storm"),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_cut_answer_is_told_as_cut_even_if_its_json_is_whole() {
    for kind in Kind::ALL {
        let double = Double::start(kind).await;
        double.then(Act::Stop(good(), kind.length()));
        double.then(Act::Stop(String::new(), kind.length()));
        for _ in 0..2 {
            let error = once(kind, &double).await.unwrap_err();
            assert!(
                matches!(error, ProviderError::Cut { .. }),
                "{kind:?}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_its_final_reason_is_no_answer() {
    for kind in Kind::ALL {
        let double = Double::start(kind).await;
        double.then(Act::BreakOff(good()));
        double.then(Act::Raw(String::new()));
        double.then(Act::Raw(format!(
            "{}{}",
            kind.piece("{"),
            kind.error_within("it broke")
        )));
        double.then(Act::Raw(format!("{}{{not json\n\n", kind.piece("{"))));
        for _ in 0..2 {
            let error = once(kind, &double).await.unwrap_err();
            assert!(
                matches!(error, ProviderError::Incomplete(_)),
                "{kind:?}: {error}"
            );
            assert_eq!(error.kind(), FailureKind::Transient);
        }
        let error = once(kind, &double).await.unwrap_err();
        assert!(error.to_string().contains("it broke"), "{kind:?}: {error}");
        let error = once(kind, &double).await.unwrap_err();
        assert!(
            matches!(error, ProviderError::Incomplete(_)),
            "{kind:?}: {error}"
        );
    }
}

#[tokio::test]
async fn nothing_said_is_no_answer() {
    for kind in Kind::ALL {
        let double = Double::start(kind).await;
        double.then(Act::Say(" \n".to_owned()));
        let error = once(kind, &double).await.unwrap_err();
        assert!(matches!(error, ProviderError::Empty), "{kind:?}: {error}");
    }
}

#[tokio::test]
async fn a_cancelled_answer_ends_at_once_and_the_server_sees_us_hang_up() {
    for kind in Kind::ALL {
        for act in [Act::GoOn(good()), Act::Hang] {
            let double = Double::start(kind).await;
            double.then(act);
            let limit = limit();
            let (server, cancelled) = (server(kind, &double.url), limit.cancelled.clone());
            let task = tokio::spawn(async move { server.ask(&ask(), &limit, &mut |_| {}).await });
            double.begun(1).await;
            let begin = Instant::now();
            cancelled.cancel();
            let error = task.await.unwrap().unwrap_err();
            assert!(
                matches!(error, ProviderError::Cancelled),
                "{kind:?}: {error}"
            );
            double.hung_up(1).await;
            assert!(begin.elapsed() < Duration::from_secs(1), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up_and_the_server_sees_us_hang_up() {
    for kind in Kind::ALL {
        for act in [Act::GoOn(good()), Act::Hang] {
            let double = Double::start(kind).await;
            double.then(act);
            let limit = Limit {
                deadline: Instant::now() + Duration::from_millis(300),
                ..limit()
            };
            let server = server(kind, &double.url);
            let error = server.ask(&ask(), &limit, &mut |_| {}).await.unwrap_err();
            assert!(
                matches!(error, ProviderError::TimedOut),
                "{kind:?}: {error}"
            );
            double.hung_up(1).await;
        }
    }
}

#[tokio::test]
async fn a_missing_or_wrong_key_is_found_by_the_health_check_and_never_shown() {
    for kind in Kind::ALL {
        let double = Double::with_key(kind).await;
        let wrong = Server::new(
            provider(kind, MODEL),
            &double.url,
            Key::Given(Secret::new("wr0ng")),
        )
        .unwrap();
        for server in [server(kind, &double.url), wrong] {
            let error = server.check().await.unwrap_err();
            assert!(
                matches!(error, ProviderError::Unauthorized(_)),
                "{kind:?}: {error}"
            );
            let error = server.ask(&ask(), &limit(), &mut |_| {}).await.unwrap_err();
            assert!(
                matches!(error, ProviderError::Unauthorized(_)),
                "{kind:?}: {error}"
            );
            assert!(!format!("{error} {error:?} {server:?}").contains("wr0ng"));
        }
        let right = server_with_key(kind, &double.url);
        right.check().await.unwrap();
        double.then(Act::Say(good()));
        // A server may repeat the key in what it says.
        let message = format!("what is {KEY}?");
        double.then(Act::Refuse(500, json!({"error": {"message": message}})));
        right.ask(&ask(), &limit(), &mut |_| {}).await.unwrap();
        let error = right.ask(&ask(), &limit(), &mut |_| {}).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the server failed: what is [secret]?",
            "{kind:?}"
        );
        let asked = double.asked();
        assert!(
            !asked[0].path.contains(KEY),
            "{kind:?}: keys do not belong in a URL"
        );
        assert!(asked[0].headers.contains_key(kind.key_header().0));
    }
}

#[tokio::test]
async fn a_key_is_read_from_its_file_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let double = Double::with_key(Kind::Gemini).await;
    let server = Server::new(
        provider(Kind::Gemini, MODEL),
        &double.url,
        Key::File(path.clone()),
    )
    .unwrap();
    let error = server.check().await.unwrap_err();
    assert!(matches!(error, ProviderError::KeyFile { .. }), "{error}");
    std::fs::write(&path, format!("{KEY}\n")).unwrap();
    server.check().await.unwrap();
}

#[tokio::test]
async fn a_model_that_is_not_there_is_found_by_the_health_check_and_named() {
    for kind in Kind::ALL {
        let double = Double::start(kind).await;
        let server = Server::new(provider(kind, "nope"), &double.url, Key::None).unwrap();
        let error = server.check().await.unwrap_err();
        assert!(
            matches!(error, ProviderError::UnknownModel(_)),
            "{kind:?}: {error}"
        );
        assert!(error.to_string().contains("nope"), "{kind:?}: {error}");
        let (status, body) = kind.unknown_model();
        double.then(Act::Refuse(status, body));
        let error = once(kind, &double).await.unwrap_err();
        assert!(
            matches!(error, ProviderError::UnknownModel(_)),
            "{kind:?}: {error}"
        );
    }
}

#[tokio::test]
async fn another_server_at_the_url_is_never_taken_for_an_answer() {
    for kind in Kind::ALL {
        let double = Double::start(kind).await;
        for (status, body) in [
            (
                200,
                json!({"error": "Unexpected endpoint or method. (POST /v1/v1)"}),
            ),
            (200, json!("<html>hello</html>")),
            (
                200,
                json!({"choices": [{"message": {"content": good()}, "finish_reason": "stop"}]}),
            ),
            (301, json!("moved")),
        ] {
            double.then(Act::Refuse(status, body.clone()));
            let error = once(kind, &double).await.unwrap_err();
            assert!(
                matches!(error, ProviderError::WrongServer(_)),
                "{kind:?}, {body}: {error}"
            );
            double.probes_fail(status, body);
            server(kind, &double.url).check().await.unwrap_err();
            double.probes_pass();
        }
    }
}

#[tokio::test]
async fn a_busy_server_and_a_prompt_that_is_too_long_are_told_apart() {
    for kind in Kind::ALL {
        let double = Double::start(kind).await;
        let (status, body) = kind.busy();
        double.then(Act::Refuse(status, body));
        let error = once(kind, &double).await.unwrap_err();
        assert!(
            matches!(error, ProviderError::Busy { .. }),
            "{kind:?}: {error}"
        );
        let Some((status, body)) = kind.too_long() else {
            continue;
        };
        double.then(Act::Refuse(status, body));
        let error = once(kind, &double).await.unwrap_err();
        assert!(
            matches!(error, ProviderError::TooLong(_)),
            "{kind:?}: {error}"
        );
        assert_eq!(error.kind(), FailureKind::Permanent);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_goes_away_is_a_failure_that_may_pass() {
    for kind in Kind::ALL {
        let double = Double::start(kind).await;
        let server = server(kind, &double.url);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let free = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let nobody = crate::support::server(kind, &free);
        let error = nobody.check().await.unwrap_err();
        assert!(
            matches!(error, ProviderError::Unreachable(_)),
            "{kind:?}: {error}"
        );
        let failure = error.failure(provider(kind, MODEL).name());
        assert_eq!(failure.kind, FailureKind::Transient);
        assert!(
            failure.message.contains("nothing answers there"),
            "{failure}"
        );
        server.check().await.unwrap();
    }
}
