//! Tokens: each role can do its own and nothing else.

use std::collections::BTreeMap;

use axum::Router;
use shared::settings::Secret;

use super::studio::Studio;
use super::support::{Answer, ask, request, simply};
use crate::access::AccessSettings;
use crate::api::openapi::document;
use crate::api::{Options, router};

const SUBMIT: &str = "submit-0123456789abcdef0123";
const OPERATE: &str = "operate-0123456789abcdef0123";
const WORKER: &str = "worker-0123456789abcdef0123";

/// What each operation of the OpenAPI document needs, written down here once more: a new one fails the test until someone has
/// decided who may call it.
const OPEN: [&str; 3] = ["alive", "ready", "sign_out"];
const SUBMITTERS: [&str; 11] = [
    "submit_film",
    "list_films",
    "show_film",
    "watch_film",
    "get_film_file",
    "get_manifest",
    "get_keyframe",
    "get_clip",
    "show_job",
    "explain_job",
    "get_preview",
];
const OPERATORS: [&str; 8] = [
    "show_metrics",
    "cancel_film",
    "retry_film",
    "delete_film",
    "retry_job",
    "list_workers",
    "pause_worker",
    "resume_worker",
];
const WORKERS: [&str; 2] = ["get_artifact", "put_artifact"];

async fn studio() -> Studio {
    let token = |text| Some(Secret::new(text));
    Studio::open_asking(AccessSettings {
        submit_token: token(SUBMIT),
        operate_token: token(OPERATE),
        worker_token: token(WORKER),
    })
    .await
}

/// All operations: id → method and path, with something in the place of each parameter.
fn operations() -> BTreeMap<String, (String, String)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, operations)| {
        let path = path
            .replace("{id}", "0199c1a4-7a3e-7b52-8d5f-3f6f2c7b9a10")
            .replace("{number}", "1")
            .replace("{sha256}", &"0".repeat(64));
        let operations = operations.as_object().unwrap().iter();
        operations.map(move |(method, operation)| {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            (id, (method.to_uppercase(), path.clone()))
        })
    });
    operations.collect()
}

async fn show(api: &Router, method: &str, path: &str, token: Option<&str>) -> Answer {
    let shown = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = shown
        .iter()
        .map(|it| ("authorization", it.as_str()))
        .collect();
    ask(api, request(method, path, &headers, "")).await
}

#[tokio::test]
async fn each_role_can_do_its_own_and_nothing_else() {
    let studio = studio().await;
    let api = studio.api();
    let mut operations = operations();
    // It is open, and looks at the token itself: see below.
    operations.remove("sign_in").unwrap();
    for (id, (method, path)) in operations {
        let is_in = |list: &[&str]| list.contains(&id.as_str());
        let callers = [
            None,
            Some("nobody-0123456789abcdef0123"),
            Some(SUBMIT),
            Some(OPERATE),
            Some(WORKER),
        ];
        let expected = match id.as_str() {
            _ if is_in(&OPEN) => [0, 0, 0, 0, 0],
            _ if is_in(&SUBMITTERS) => [401, 401, 0, 0, 403],
            _ if is_in(&OPERATORS) => [401, 401, 403, 0, 403],
            _ if is_in(&WORKERS) => [401, 401, 403, 403, 0],
            _ => panic!("nobody has decided who may call {id}: say so in roles.rs, and here"),
        };
        for (caller, expected) in callers.into_iter().zip(expected) {
            let answer = show(&api, &method, &path, caller).await;
            let status = answer.status.as_u16();
            let turned_away = if matches!(status, 401 | 403) {
                status
            } else {
                0
            };
            assert_eq!(turned_away, expected, "{id} by {caller:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn the_document_says_what_each_operation_needs() {
    let document = document();
    let needs = |id: &str| {
        let paths = document["paths"].as_object().unwrap().values();
        let mut operations = paths.flat_map(|path| path.as_object().unwrap().values());
        let operation = operations.find(|it| it["operationId"] == id).unwrap();
        operation["security"].to_string()
    };
    for id in OPEN {
        assert_eq!(needs(id), "[]", "{id}");
    }
    for id in SUBMITTERS {
        assert_eq!(
            needs(id),
            r#"[{"token":["submit"]},{"page":["submit"]}]"#,
            "{id}"
        );
    }
    for id in OPERATORS {
        assert_eq!(
            needs(id),
            r#"[{"token":["operate"]},{"page":["operate"]}]"#,
            "{id}"
        );
    }
    for id in WORKERS {
        assert_eq!(needs(id), r#"[{"token":["worker"]}]"#, "{id}");
    }
}

#[tokio::test]
async fn without_tokens_in_the_settings_none_is_asked_for() {
    let studio = Studio::open().await;
    let api = studio.api();
    for (id, (method, path)) in operations() {
        let answer = simply(&api, &method, &path).await;
        assert!(
            !matches!(answer.status.as_u16(), 401 | 403),
            "{id}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn who_is_turned_away_is_told_what_to_do_and_no_token_is_repeated() {
    let studio = studio().await;
    let api = studio.api();
    let answer = simply(&api, "GET", "/v1/films").await;
    assert_eq!(
        (answer.status.as_u16(), answer.sort().as_str()),
        (401, "no-token")
    );
    assert!(answer.header("www-authenticate").starts_with("Bearer"));
    let detail = answer.problem().detail;
    assert!(detail.contains("Authorization: Bearer TOKEN"), "{detail}");

    let answer = show(&api, "POST", "/v1/workers/a/pause", Some(SUBMIT)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.sort().as_str()),
        (403, "wrong-role")
    );
    let detail = answer.problem().detail;
    assert!(detail.contains("access.operate_token"), "{detail}");

    for shown in [
        "Bearer guessed-0123456789abcdef",
        "Basic dXNlcjpzM2NyZXQ=",
        "Bearer",
        SUBMIT,
    ] {
        let headers = [("authorization", shown)];
        let answer = ask(&api, request("GET", "/v1/films", &headers, "")).await;
        assert_eq!(answer.sort(), "no-token", "{shown}");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let secret = shown.rsplit(' ').next().unwrap();
        assert!(shown == "Bearer" || !text.contains(secret), "{text}");
    }
    // It would stand in every log on the way.
    for path in [
        format!("/v1/films?token={SUBMIT}"),
        format!("/v1/films?access_token={SUBMIT}"),
    ] {
        assert_eq!(
            simply(&api, "GET", &path).await.status.as_u16(),
            401,
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_leads_nowhere_is_answered_as_that_and_the_page_comes_up() {
    let studio = studio().await;
    let api = studio.api();
    assert_eq!(simply(&api, "GET", "/v2").await.sort(), "no-such-route");
    for path in ["/", "/page.css", "/page.js", "/v1/openapi.json", "/healthz"] {
        assert_eq!(
            simply(&api, "GET", path).await.status.as_u16(),
            200,
            "{path}"
        );
    }
    assert_eq!(
        simply(&api, "PATCH", "/v1/films").await.status.as_u16(),
        401
    );
    let answer = show(&api, "PATCH", "/v1/films", Some(OPERATE)).await;
    assert_eq!(answer.sort(), "method-not-allowed");
}

#[tokio::test]
async fn the_page_shows_its_token_once_and_then_a_cookie() {
    let studio = studio().await;
    let api = studio.api();
    let answer = show(&api, "POST", "/v1/session", Some(SUBMIT)).await;
    assert_eq!(answer.status.as_u16(), 204);
    let line = answer.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains(SUBMIT) && !line.contains("Secure"), "{line}");
    let (cookie, _) = line.split_once(';').unwrap();

    let with_cookie = async |method: &str, path: &str, cookie: &str| {
        let headers = [("cookie", cookie)];
        ask(&api, request(method, path, &headers, ""))
            .await
            .status
            .as_u16()
    };
    assert_eq!(with_cookie("GET", "/v1/films", cookie).await, 200);
    let among_others = format!("a=b; {cookie}; c=d");
    assert_eq!(with_cookie("GET", "/v1/films", &among_others).await, 200);
    assert_eq!(with_cookie("GET", "/v1/workers", cookie).await, 403);
    assert_eq!(with_cookie("GET", "/v1/films", "callsheet=").await, 401);
    let token = format!("callsheet={SUBMIT}");
    assert_eq!(with_cookie("GET", "/v1/films", &token).await, 401);

    assert_eq!(
        show(&api, "POST", "/v1/session", None).await.sort(),
        "no-token"
    );
    assert_eq!(
        show(&api, "POST", "/v1/session", Some("x")).await.sort(),
        "no-token"
    );
    assert_eq!(
        show(&api, "POST", "/v1/session", Some(WORKER)).await.sort(),
        "wrong-role"
    );
    let out = simply(&api, "DELETE", "/v1/session").await;
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{out:?}");

    let headers = [
        ("authorization", &*format!("Bearer {OPERATE}")),
        ("x-forwarded-proto", "https"),
    ];
    let answer = ask(&api, request("POST", "/v1/session", &headers, "")).await;
    assert!(
        answer.header("set-cookie").contains("; Secure"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn where_tls_is_spoken_the_cookie_goes_nowhere_else() {
    let studio = studio().await;
    let options = Options {
        is_https: true,
        ..studio.options()
    };
    let api = router(studio.running.coordinator.clone(), options);
    for (method, token) in [("POST", Some(SUBMIT)), ("DELETE", None)] {
        let answer = show(&api, method, "/v1/session", token).await;
        assert!(
            answer.header("set-cookie").contains("; Secure"),
            "{answer:?}"
        );
    }
}
