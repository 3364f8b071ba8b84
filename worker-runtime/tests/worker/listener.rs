//! What a worker answers over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use nvml_double::state::Device;
use shared::settings::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::card::{CARD, COMFY, GAME, Host, OLLAMA, on, wan};
use super::support::backend::{scripted, scripted_for};
use super::support::{Stage, attempt, image, next_attempt, story, within};

/// What the worker answers over HTTP.
async fn asked(address: SocketAddr, path: &str) -> String {
    asked_with(address, path, "").await
}

/// The same, with more lines of a header.
async fn asked_with(address: SocketAddr, path: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nhost: worker\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// An address where nobody listens.
async fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Waits until the metrics are these, among others.
async fn tells(address: SocketAddr, lines: &[&str]) {
    let all_told = async {
        loop {
            let page = asked(address, "/metrics").await;
            if lines.iter().all(|line| page.lines().any(|it| it == *line)) {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    within(all_told, &format!("the metrics to tell {lines:?}")).await;
}

#[tokio::test]
async fn metrics_are_told_to_whoever_shows_the_token_and_to_nobody_else() {
    let address = free().await;
    let mut host = Host::with([Device::idle(CARD, 24)]).await;
    host.stage.config.metrics_listen = Some(address);
    host.stage.config.metrics_token = Some(Secret::new("0123456789abcdef01234567"));
    let (backend, mut script) = scripted_for(vec![wan()]);
    let worker = host.start(backend.serving(COMFY.0, COMFY.1)).await;
    host.open().await;
    for refused in [
        "",
        "authorization: Bearer 0123456789abcdef01234568\r\n",
        "authorization: Bearer \r\n",
        "authorization: Basic 0123456789abcdef01234567\r\n",
        "authorization: 0123456789abcdef01234567\r\n",
    ] {
        let answer = asked_with(address, "/metrics", refused).await;
        let is_refused = answer.contains(" 401 ") && answer.contains("www-authenticate: Bearer");
        assert!(is_refused && !answer.contains("callsheet_"), "{answer}");
    }
    let shown = "authorization: Bearer 0123456789abcdef01234567\r\n";
    let answer = asked_with(address, "/metrics", shown).await;
    assert!(answer.contains("callsheet_build_info"), "{answer}");
    // Whoever watches over the program need not know it.
    for path in ["/healthz", "/readyz"] {
        let answer = asked(address, path).await;
        assert!(answer.contains(" 200 "), "{answer}");
    }
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test]
async fn what_goes_on_on_the_card_shows_in_the_metrics() {
    let address = free().await;
    let mut host = Host::with([Device::idle(CARD, 24)]).await;
    host.stage.config.metrics_listen = Some(address);
    let (backend, mut script) = scripted_for(vec![wan()]);
    let worker = host.start(backend.serving(COMFY.0, COMFY.1)).await;
    host.open().await;
    let ready = asked(address, "/readyz").await;
    assert!(ready.contains(" 200 "), "{ready}");
    host.stage.dispatch(&on(&wan())).await;
    let started = host.started().await;
    host.grant(&started).await;
    let call = script.call().await;
    let promised = |gib: u64| {
        format!(
            r#"callsheet_card_promised_bytes{{device="{CARD}"}} {}"#,
            gib << 30
        )
    };
    tells(address, &[&promised(21)]).await;
    host.holds(COMFY.1, 18);
    tells(address, &[&promised(3)]).await;
    call.finish(Ok(story()));
    host.succeeded().await;
    host.holds(GAME, 2);
    let lines = [
        r#"callsheet_admission_verdicts_total{profile="wan",reason="fits",verdict="admit"} 1"#,
        r#"callsheet_admission_wait_seconds_count{outcome="admitted",profile="wan"} 1"#,
        &format!(r#"callsheet_model_loads_total{{device="{CARD}",profile="wan"}} 1"#),
        &format!(
            r#"callsheet_run_seconds_count{{device="{CARD}",kind="story",outcome="succeeded",profile="wan"}} 1"#
        ),
        &format!(
            r#"callsheet_card_memory_bytes{{device="{CARD}"}} {}"#,
            24_u64 << 30
        ),
        &format!(
            r#"callsheet_card_ours_bytes{{device="{CARD}"}} {}"#,
            18_u64 << 30
        ),
        &format!(
            r#"callsheet_card_foreign_bytes{{device="{CARD}"}} {}"#,
            2_u64 << 30
        ),
    ];
    tells(address, &lines).await;
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test]
async fn who_was_asked_to_leave_for_a_job_shows_in_the_metrics_of_the_worker_that_asked() {
    let address = free().await;
    let mut host = Host::with([Device::idle(CARD, 24)]).await;
    let (writer, mut writes) = host.writer_with_its_model_loaded().await;
    host.next_worker_is("camera");
    host.stage.config.metrics_listen = Some(address);
    let (comfy, mut renders) = scripted_for(vec![wan()]);
    let camera = host.start(comfy.serving(COMFY.0, COMFY.1)).await;
    host.stage.dispatch(&on(&wan())).await;
    writes.unload().await;
    host.holds(OLLAMA.1, 0);
    let started = host.started().await;
    host.grant(&started).await;
    renders.call().await.finish(Ok(story()));
    host.succeeded().await;
    let evicted = r#"callsheet_evictions_total{outcome="enough",profile="wan"} 1"#;
    tells(address, &[evicted]).await;
    camera.drained().await;
    writer.drained().await;
}

#[tokio::test]
async fn what_was_found_again_shows_in_the_metrics() {
    let address = free().await;
    let mut stage = Stage::new().await;
    stage.config.metrics_listen = Some(address);
    let (backend, mut script) = scripted();
    let worker = stage.start(backend).await;
    let attempt = attempt();
    stage.dispatch(&attempt).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    call.context.notebook.write("a render").await.unwrap();
    call.dropped_by(stage.kill(worker)).await;

    let (backend, mut script) = scripted();
    let worker = stage.start_quietly(backend);
    // The run of before is given back.
    stage.report().await;
    let again = next_attempt(&attempt);
    stage.dispatch(&again).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    let call = script.call().await;
    assert_eq!(call.context.notebook.earlier(), Some("a render"));
    call.finish(Ok(image(&stage.artifacts).await));
    stage.succeeded().await;
    stage.dispatch(&next_attempt(&again)).await;
    let started = stage.started().await;
    stage.grant(&started).await;
    stage.succeeded().await;
    tells(
        address,
        &[
            r#"callsheet_adoptions_total{profile="stub",what="render"} 1"#,
            r#"callsheet_adoptions_total{profile="stub",what="result"} 1"#,
        ],
    )
    .await;
    worker.drained().await;
    script.no_more_calls();
}
