//! Requests that never reach the coordinator: each is answered with a problem that names its field.

use axum::Router;

use super::studio::Studio;
use super::support::{Answer, ask, request};
use crate::api::openapi::document;

const ID: &str = "0199c1a4-7a3e-7b52-8d5f-3f6f2c7b9a10";
const JSON: (&str, &str) = ("content-type", "application/json");

async fn submit(
    api: &Router,
    headers: &[(&str, &str)],
    body: impl Into<axum::body::Body>,
) -> Answer {
    ask(api, request("POST", "/v1/films", headers, body)).await
}

#[tokio::test]
async fn a_path_or_query_that_cannot_be_read_names_its_field() {
    let studio = Studio::open().await;
    let api = studio.api();
    let long = "x".repeat(5_000);
    for (method, path, field) in [
        ("GET", "/v1/films/7".to_owned(), "id"),
        ("GET", format!("/v1/films/{long}"), "id"),
        ("GET", "/v1/films/%ff".to_owned(), "path"),
        ("GET", "/v1/films/%00".to_owned(), "id"),
        ("GET", "/v1/films/..%2f..%2fetc".to_owned(), "id"),
        ("DELETE", "/v1/films/x".to_owned(), "id"),
        ("POST", "/v1/films/x/cancel".to_owned(), "id"),
        ("POST", "/v1/films/x/retry".to_owned(), "id"),
        ("GET", "/v1/films/x/events".to_owned(), "id"),
        ("GET", "/v1/films/x/film.mp4".to_owned(), "id"),
        ("GET", "/v1/films/x/film.json".to_owned(), "id"),
        ("GET", "/v1/films/x/scenes/1/clip.mp4".to_owned(), "id"),
        (
            "GET",
            format!("/v1/films/{ID}/scenes/first/clip.mp4"),
            "number",
        ),
        (
            "GET",
            format!("/v1/films/{ID}/scenes/-1/keyframe.png"),
            "number",
        ),
        (
            "GET",
            format!("/v1/films/{ID}/scenes/99999999999/keyframe.png"),
            "number",
        ),
        ("GET", "/v1/jobs/x".to_owned(), "id"),
        ("POST", "/v1/jobs/x/retry".to_owned(), "id"),
        ("POST", "/v1/workers/UPPER/pause".to_owned(), "id"),
        ("POST", "/v1/workers/a%2Fb/resume".to_owned(), "id"),
        ("GET", "/v1/films?limit=0".to_owned(), "limit"),
        ("GET", "/v1/films?limit=201".to_owned(), "limit"),
        ("GET", "/v1/films?limit=-1".to_owned(), "limit"),
        ("GET", "/v1/films?limit=many".to_owned(), "limit"),
        ("GET", "/v1/films?limit=".to_owned(), "limit"),
        ("GET", "/v1/films?limit=1&limit=2".to_owned(), "limit"),
        ("GET", "/v1/films?before=yesterday".to_owned(), "before"),
        ("GET", "/v1/films?page=2".to_owned(), "page"),
        ("GET", format!("/v1/films?{long}=2"), ""),
        ("GET", format!("/v1/films/{ID}/events?after=last"), "after"),
        ("GET", format!("/v1/films/{ID}/events?since=1"), "since"),
    ] {
        let answer = ask(&api, request(method, &path, &[], "")).await;
        assert_eq!(answer.sort(), "bad-request", "{method} {path}");
        let problem = answer.problem();
        assert_eq!(problem.mistakes.len(), 1, "{problem:?}");
        assert!(!problem.mistakes[0].problem.is_empty(), "{problem:?}");
        assert!(
            answer.body.len() < 3_000,
            "{} bytes for {path}",
            answer.body.len()
        );
        if !field.is_empty() {
            assert_eq!(problem.mistakes[0].field, field, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_header_that_cannot_be_read_names_itself() {
    let studio = Studio::open().await;
    let api = studio.api();
    let long = "k".repeat(201);
    for key in ["", "two words", "ключ", "tab\there", &long] {
        let answer = submit(
            &api,
            &[JSON, ("idempotency-key", key)],
            r#"{"premise": "x"}"#,
        )
        .await;
        assert_eq!(
            (answer.sort().as_str(), answer.status.as_u16()),
            ("bad-request", 400),
            "{key}"
        );
        assert_eq!(
            answer.problem().mistakes[0].field,
            "Idempotency-Key",
            "{key}"
        );
    }
    let twice = [JSON, ("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(
        submit(&api, &twice, r#"{"premise": "x"}"#)
            .await
            .problem()
            .mistakes[0]
            .field,
        "Idempotency-Key"
    );

    let path = format!("/v1/films/{ID}/events");
    let answer = ask(
        &api,
        request("GET", &path, &[("last-event-id", "seven")], ""),
    )
    .await;
    assert_eq!(answer.problem().mistakes[0].field, "Last-Event-ID");
}

#[tokio::test]
async fn a_body_must_be_said_to_be_json() {
    let studio = Studio::open().await;
    let api = studio.api();
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/jsonp",
        "",
    ] {
        let answer = submit(&api, &[("content-type", media_type)], r#"{"premise": "x"}"#).await;
        assert_eq!(
            (answer.sort().as_str(), answer.status.as_u16()),
            ("unsupported-media-type", 415),
            "{media_type}"
        );
    }
    assert_eq!(
        submit(&api, &[], r#"{"premise": "x"}"#)
            .await
            .status
            .as_u16(),
        415
    );
    let with_charset = submit(
        &api,
        &[("content-type", "Application/JSON; charset=utf-8")],
        "{}",
    )
    .await;
    assert_eq!(with_charset.sort(), "mistakes");
}

#[tokio::test]
async fn a_film_that_cannot_be_made_is_answered_with_every_mistake() {
    let studio = Studio::open().await;
    let api = studio.api();
    let body = r#"{"premise": " ", "scenes": 10000, "size": "855x480", "fps": 0}"#;
    let answer = submit(&api, &[JSON], body).await;
    assert_eq!(answer.status.as_u16(), 422);
    let problem = answer.problem();
    let fields: Vec<_> = problem
        .mistakes
        .iter()
        .map(|mistake| mistake.field.as_str())
        .collect();
    assert_eq!(fields, ["premise", "scenes", "size", "fps"]);
}

#[tokio::test]
async fn what_is_no_film_at_all_is_answered_briefly() {
    let studio = Studio::open().await;
    let api = studio.api();
    let long_name = format!(r#"{{"{}": 1}}"#, "n".repeat(1 << 20));
    let long_premise = format!(r#"{{"premise": "{}"}}"#, "p".repeat(1 << 20));
    let deep = "[".repeat(100_000);
    let deep_field = format!(r#"{{"script": {deep}"#);
    let bodies: [&[u8]; 13] = [
        b"",
        b"null",
        b"[]",
        b"7",
        b"\"film\"",
        b"{",
        b"{\"premise\": \"\xff\"}",
        b"{\"premise\": \"\\ud800\"}",
        b"{\"premise\": 7}",
        b"{\"seed\": -1, \"premise\": \"x\"}",
        long_name.as_bytes(),
        long_premise.as_bytes(),
        deep_field.as_bytes(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let answer = submit(&api, &[JSON], body.to_vec()).await;
        assert_eq!(
            (answer.sort().as_str(), answer.status.as_u16()),
            ("mistakes", 422),
            "{shown}"
        );
        assert!(!answer.problem().mistakes.is_empty(), "{shown}");
        assert!(
            answer.body.len() < 3_000,
            "{} bytes for {shown}",
            answer.body.len()
        );
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_read() {
    let studio = Studio::open().await;
    let api = studio.api();
    let filled = |size: usize| format!("{}{{}}", " ".repeat(size - 2));
    assert_eq!(
        submit(&api, &[JSON], filled(2 << 20)).await.sort(),
        "mistakes"
    );
    let answer = submit(&api, &[JSON], filled((2 << 20) + 1)).await;
    assert_eq!(
        (answer.sort().as_str(), answer.status.as_u16()),
        ("too-large", 413)
    );
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for_without_end() {
    let studio = Studio::open().await;
    let api = studio.api();
    tokio::time::pause();
    let never = futures::stream::pending::<Result<axum::body::Bytes, std::io::Error>>();
    let answer = submit(&api, &[JSON], axum::body::Body::from_stream(never)).await;
    assert_eq!(
        (answer.sort().as_str(), answer.status.as_u16()),
        ("too-slow", 408)
    );
}

#[tokio::test]
async fn there_is_nothing_elsewhere_and_no_method_beyond_the_known_ones() {
    let studio = Studio::open().await;
    let api = studio.api();
    for path in [
        "/v1",
        "/v1/films/",
        "/v2/films",
        "/v1/films/x/y",
        "/favicon.ico",
        "/..",
        "//",
    ] {
        let answer = ask(&api, request("GET", path, &[], "")).await;
        assert_eq!(
            (answer.sort().as_str(), answer.status.as_u16()),
            ("no-such-route", 404),
            "{path}"
        );
    }
    for (method, path, allow) in [
        ("PUT", "/v1/films", "GET,HEAD,POST"),
        ("OPTIONS", "/v1/films", "GET,HEAD,POST"),
        ("PATCH", &format!("/v1/films/{ID}"), "GET,HEAD,DELETE"),
        ("GET", &format!("/v1/films/{ID}/cancel"), "POST"),
        ("POST", "/readyz", "GET,HEAD"),
    ] {
        let answer = ask(&api, request(method, path, &[], "")).await;
        assert_eq!(
            (answer.sort().as_str(), answer.status.as_u16()),
            ("method-not-allowed", 405),
            "{method} {path}"
        );
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_is_turned_away_before_anything_else() {
    let studio = Studio::open().await;
    let api = studio.api();
    let foreign = [JSON, ("origin", "https://evil.example")];
    let answer = ask(&api, request("POST", "/v1/films", &foreign, "{}")).await;
    assert_eq!(
        (answer.sort().as_str(), answer.status.as_u16()),
        ("cross-site", 403)
    );
    let answer = ask(
        &api,
        request(
            "DELETE",
            &format!("/v1/films/{ID}"),
            &[("sec-fetch-site", "cross-site")],
            "",
        ),
    )
    .await;
    assert_eq!(answer.sort(), "cross-site");
    let mut rebound = request("GET", "/v1/films", &[], "");
    rebound
        .headers_mut()
        .insert("host", "evil.example".parse().unwrap());
    let answer = ask(&api, rebound).await;
    assert_eq!(
        (answer.sort().as_str(), answer.status.as_u16()),
        ("wrong-host", 421)
    );
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn every_answer_tells_browsers_to_take_it_as_it_is_and_to_keep_it_from_other_sites() {
    let studio = Studio::open().await;
    let api = studio.api();
    for path in ["/", "/healthz", "/nowhere", "/v1/films/x", "/page.js"] {
        let answer = ask(&api, request("GET", path, &[], "")).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(
            answer.header("cross-origin-resource-policy"),
            "same-origin",
            "{path}"
        );
        assert!(!answer.header("cache-control").is_empty(), "{path}");
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere_and_runs_no_script_but_its_own() {
    let studio = Studio::open().await;
    let api = studio.api();
    let page = ask(&api, request("GET", "/", &[], "")).await;
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'; script-src 'self';")
    );
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    let links: Vec<_> = html
        .split(['"', '\''])
        .filter(|text| text.starts_with('/'))
        .collect();
    assert_eq!(links, ["/page.css", "/page.js"]);
    for link in links {
        let answer = ask(&api, request("GET", link, &[], "")).await;
        assert_eq!(answer.status.as_u16(), 200, "{link}");
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        for markup in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "://",
        ] {
            assert!(!text.contains(markup), "{link} uses {markup}");
        }
        assert!(
            !html.contains("://") && !html.contains(" style=") && !html.contains(" onclick="),
            "{link}"
        );
    }
}

#[tokio::test]
async fn every_documented_operation_has_a_route() {
    let studio = Studio::open().await;
    let api = studio.api();
    for (path, operations) in document()["paths"].as_object().unwrap() {
        // An id that cannot be read is found by the handler, so the coordinator is not asked.
        let path = path.replace("{id}", "_").replace("{number}", "_");
        let answer = ask(&api, request("TRACE", &path, &[], "")).await;
        assert_eq!(answer.sort(), "method-not-allowed", "{path}");
        let mut routed: Vec<_> = answer
            .header("allow")
            .split(',')
            .filter(|method| *method != "HEAD")
            .collect();
        let mut documented: Vec<_> = operations
            .as_object()
            .unwrap()
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        routed.sort_unstable();
        documented.sort_unstable();
        assert_eq!(documented, routed, "{path}");
    }
}

#[tokio::test]
async fn the_document_is_served() {
    let studio = Studio::open().await;
    let api = studio.api();
    let answer = ask(&api, request("GET", "/v1/openapi.json", &[], "")).await;
    assert_eq!(answer.json::<serde_json::Value>(), document());
}
