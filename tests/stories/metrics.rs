//! Prometheus itself scrapes the three programs, and finds no fault in what they tell.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shared::api::{FilmStatus, SubmitAnswer};
use shared::film::FilmRequest;
use support::http::client;
use support::ports;
use support::programs::Program;
use support::stage::{Cast, Stage};
use support::wait::until;

/// Longest wait for a scrape to show.
const SCRAPED: Duration = Duration::from_secs(60);

fn deployed(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/prometheus")
        .join(file)
}

/// What promtool says to these arguments and that input; a fault is an error.
fn promtool(arguments: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("promtool is not installed: `cargo xtask test` installs it, or `apt-get install prometheus`")?;
    child
        .stdin
        .take()
        .context("its input")?
        .write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(
        output.status.success(),
        "promtool {arguments:?}: {said}\nof:\n{input}"
    );
    Ok(())
}

#[test]
fn promtool_finds_no_fault_in_the_alerts_and_they_ring_when_they_should() -> Result<()> {
    let text = |file: &str| deployed(file).to_string_lossy().into_owned();
    promtool(&["check", "rules", &text("rules.yml")], "")?;
    promtool(&["check", "config", &text("prometheus.yml")], "")?;
    promtool(&["test", "rules", &text("rules_test.yml")], "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_scrapes_all_programs_and_finds_no_fault() -> Result<()> {
    let settings = "[telemetry]\nmetrics_listen = \"127.0.0.1:0\"\n".to_owned();
    let stage = Stage::set_with(Cast::Real, |_| Ok(settings)).await?;
    let fresh = client().get(stage.url("/metrics")?).send().await?;
    let fresh = fresh.text().await?;
    for outcome in ["completed", "failed", "cancelled"] {
        let none = format!("callsheet_films_ended_total{{outcome=\"{outcome}\"}} 0\n");
        ensure!(fresh.contains(&none), "no {none} in {fresh}");
    }
    let request = FilmRequest {
        premise: Some("A lighthouse keeper befriends a storm".to_owned()),
        scenes: Some(3),
        seconds: Some(0.5),
        size: "320x180".parse().ok(),
        ..FilmRequest::default()
    };
    let SubmitAnswer::Accepted { film } = stage.post("/v1/films", &request).await? else {
        anyhow::bail!("refused")
    };
    // One that nobody can make: whoever submits films can make up names, and the metrics do not repeat them.
    let strange = serde_json::json!({"premise": "A storm", "profiles": {"story": "made-up"}});
    let _: SubmitAnswer = stage.post("/v1/films", &strange).await?;
    until("the film", Duration::from_secs(90), async || {
        let view = stage.film(film).await?;
        ensure!(view.summary.status == FilmStatus::Completed);
        Ok::<_, anyhow::Error>(())
    })
    .await;

    let mut targets = vec![stage.url("")?];
    for worker in [&stage.writer, &stage.painter] {
        targets.push(Stage::metrics_of(worker)?);
    }
    for target in &targets {
        let page = client().get(format!("{target}/metrics")).send().await?;
        let page = page.error_for_status()?.text().await?;
        ensure!(
            !page.contains("made-up"),
            "a name that somebody made up: {page}"
        );
        ensure!(
            !page.contains(&film.to_string()),
            "the id of a film: {page}"
        );
        promtool(&["check", "metrics"], &page)?;
    }

    let prometheus = Prometheus::start(&stage, &targets)?;
    until("all targets to be up", SCRAPED, async || {
        let up = prometheus.value("count(up == 1)").await?;
        ensure!(up == "3", "{up} of 3 are up");
        Ok::<_, anyhow::Error>(())
    })
    .await;
    for (query, expected) in [
        (
            r#"sum(callsheet_films_ended_total{outcome="completed"})"#,
            "1",
        ),
        ("callsheet_films_accepted_total", "2"),
        (r#"sum(callsheet_attempts_total{outcome="succeeded"})"#, "8"),
        (r#"callsheet_jobs_queued{profile="other"}"#, "1"),
        // What rises from nothing is not seen to rise.
        (r#"callsheet_leases_expired_total{profile="other"}"#, "0"),
        (
            r#"count(callsheet_attempts_total{profile="other"} == 0)"#,
            "8",
        ),
        (r#"callsheet_workers_serving{profile="other"}"#, "0"),
        ("callsheet_workers_online", "2"),
        (
            r#"sum(callsheet_run_seconds_count{outcome="succeeded"})"#,
            "8",
        ),
        (r#"count(callsheet_build_info)"#, "3"),
        ("sum(callsheet_broker_connected)", "3"),
        (r#"count(callsheet_profile_open == 1)"#, "4"),
    ] {
        until(query, SCRAPED, async || {
            let value = prometheus.value(query).await?;
            ensure!(value == expected, "{value} and not {expected}");
            Ok::<_, anyhow::Error>(())
        })
        .await;
    }
    let rules = prometheus.ask("/api/v1/rules", &[]).await?;
    let rules = rules["data"]["groups"][0]["rules"]
        .as_array()
        .context("rules")?;
    let unwell: Vec<_> = rules.iter().filter(|rule| rule["health"] != "ok").collect();
    ensure!(!rules.is_empty() && unwell.is_empty(), "{unwell:?}");
    Ok(())
}

/// A Prometheus of the story's own.
struct Prometheus {
    url: String,
    _program: Program,
}

impl Prometheus {
    fn start(stage: &Stage, targets: &[String]) -> Result<Self> {
        let folder = stage.folder().join("prometheus");
        std::fs::create_dir_all(&folder)?;
        let targets: Vec<String> = targets
            .iter()
            .map(|target| format!("\"{}\"", target.trim_start_matches("http://")))
            .collect();
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [\"{}\"]\nscrape_configs:\n  - job_name: \
             workers\n    static_configs:\n      - targets: [{}]\n",
            std::fs::canonicalize(deployed("rules.yml"))?.display(),
            targets.join(", ")
        );
        std::fs::write(&config, text)?;
        let port = ports::free()?;
        let arguments = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        Ok(Self {
            url: format!("http://127.0.0.1:{port}"),
            _program: Program::start_installed("prometheus", arguments, stage.folder())?,
        })
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let mut url = reqwest::Url::parse(&format!("{}{path}", self.url))?;
        url.query_pairs_mut().extend_pairs(query);
        let answer = client().get(url).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    /// The one value of a query, as text.
    async fn value(&self, query: &str) -> Result<String> {
        let answer = self.ask("/api/v1/query", &[("query", query)]).await?;
        let value = &answer["data"]["result"][0]["value"][1];
        Ok(value.as_str().context("no value yet")?.to_owned())
    }
}
