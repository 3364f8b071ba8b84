//! Metrics are pushed to a collector: what the pages for Prometheus say, and once more at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use shared::api::{FilmStatus, SubmitAnswer};
use shared::film::FilmRequest;
use support::collector::{Collector, Push, Temper};
use support::http::client;
use support::ports;
use support::programs::Program;
use support::stage::{Cast, Stage};
use support::wait::until;

/// Longest wait for a push to come.
const PUSHED: Duration = Duration::from_secs(30);
/// As OTLP numbers it.
const CUMULATIVE: i32 = 2;

const COORDINATOR: &str = "callsheet-coordinator";
const WRITER: &str = "callsheet-llm-worker";
const PAINTER: &str = "callsheet-video-worker";

/// Settings for a collector there, with what must not be told, and a push each so many milliseconds.
fn settings(collector: SocketAddr, interval_ms: u32) -> String {
    format!(
        "[telemetry]\nmetrics_listen = \"127.0.0.1:0\"\notlp_endpoint = \"http://me:hush@{collector}/?key=hush\"\n\
         otlp_metrics_interval_ms = {interval_ms}\n"
    )
}

/// Makes a film of three scenes: a story, three keyframes, three clips and an assembly.
async fn make_a_film(stage: &Stage) -> Result<()> {
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
    until("the film", Duration::from_secs(120), async || {
        let status = stage.film(film).await?.summary.status;
        ensure!(status == FilmStatus::Completed, "{status:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await;
    Ok(())
}

/// What a page says, but for what is another at each look.
async fn page_at(url: &str) -> Result<BTreeMap<String, f64>> {
    let page = client().get(format!("{url}/metrics")).send().await?;
    let page = page.error_for_status()?.text().await?;
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let values = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').context("a value")?;
        Ok((name.to_owned(), value.parse()?))
    });
    Ok(steady(values.collect::<Result<_>>()?))
}

fn steady(mut values: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let ages = ["callsheet_spans_", "callsheet_outbox_age_seconds"];
    values.retain(|name, _| !ages.iter().any(|age| name.starts_with(age)));
    values
}

fn last(collector: &Collector, service: &str) -> Result<Push> {
    let pushes = collector.pushes_of(service);
    pushes.last().cloned().context("no push yet")
}

/// All values of a metric together.
fn sum(push: &Push, name: &str, label: &str) -> f64 {
    let values = push.values();
    let of = values
        .iter()
        .filter(|(series, _)| series.starts_with(name) && series.contains(label));
    of.map(|(_, value)| value).sum()
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Each metric is told as what it is, and since when; gives when counters began, and when they were looked at.
fn times_of(push: &Push) -> Result<(u64, u64)> {
    let mut times = BTreeSet::new();
    for metric in &push.metrics {
        let name = &metric.name;
        ensure!(!metric.description.is_empty(), "{name} has no meaning");
        let is_of_seconds = name.ends_with("_seconds");
        ensure!((metric.unit == "s") == is_of_seconds, "{metric:?}");
        match metric.data.as_ref().context("data")? {
            Data::Sum(sum) => {
                ensure!(name.ends_with("_total") && sum.is_monotonic, "{metric:?}");
                ensure!(sum.aggregation_temporality == CUMULATIVE, "{metric:?}");
                let points = sum.data_points.iter();
                times.extend(points.map(|it| (it.start_time_unix_nano, it.time_unix_nano)));
            }
            Data::Histogram(histogram) => {
                ensure!(
                    histogram.aggregation_temporality == CUMULATIVE,
                    "{metric:?}"
                );
                for point in &histogram.data_points {
                    times.insert((point.start_time_unix_nano, point.time_unix_nano));
                    let in_buckets = point.bucket_counts.iter().sum::<u64>();
                    ensure!(in_buckets == point.count, "{metric:?}");
                }
            }
            Data::Gauge(_) => ensure!(!name.ends_with("_total"), "{metric:?}"),
            other => anyhow::bail!("{name} is {other:?}"),
        }
    }
    ensure!(times.len() == 1, "all of a push at one time: {times:?}");
    times.pop_first().context("a time")
}

fn hushes(programs: &[&Program]) -> Result<()> {
    for program in programs {
        let printed = program.printed();
        ensure!(!printed.contains("hush"), "it tells secrets:\n{printed}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_is_told_what_the_pages_say() -> Result<()> {
    let collector = Collector::start(Temper::Takes).await?;
    let begun = nanos(SystemTime::now());
    let told = settings(collector.address(), 200);
    let stage = Stage::set_with(Cast::Real, |_| Ok(told)).await?;
    make_a_film(&stage).await?;
    for (service, instance, url) in [
        (COORDINATOR, "coordinator", stage.url("")?),
        (WRITER, "writer", Stage::metrics_of(&stage.writer)?),
        (PAINTER, "painter", Stage::metrics_of(&stage.painter)?),
    ] {
        until("page and push to say the same", PUSHED, async || {
            let push = steady(last(&collector, service)?.values());
            let page = page_at(&url).await?;
            ensure!(push == page, "pushed {push:#?}\nbut told {page:#?}");
            Ok::<_, anyhow::Error>(())
        })
        .await;
        let pushes = collector.pushes_of(service);
        let times = pushes.iter().map(times_of).collect::<Result<Vec<_>>>()?;
        ensure!(times.len() > 3, "{service} was pushed {times:?}");
        let since = times[0].0;
        ensure!(since > begun, "{service} counts since before its start");
        ensure!(
            times.iter().all(|it| it.0 == since) && times.is_sorted(),
            "{service} counts since one time, and time goes on: {times:?}"
        );
        let about = &pushes[0].about;
        assert_eq!(about["service.instance.id"], instance);
        assert_eq!(about["service.namespace"], "callsheet");
        assert_eq!(about["service.version"], env!("CARGO_PKG_VERSION"));
    }
    let coordinator = last(&collector, COORDINATOR)?;
    let succeeded = "outcome=\"succeeded\"";
    assert_eq!(
        sum(&coordinator, "callsheet_attempts_total", succeeded),
        8.0
    );
    let painter = last(&collector, PAINTER)?;
    assert_eq!(sum(&painter, "callsheet_run_seconds_count", succeeded), 7.0);

    // The name and the password of the address are the user of both; nobody else hears of them.
    let me = "Basic bWU6aHVzaA==";
    let visitors = collector.visitors();
    let expected = ["/v1/metrics", "/v1/traces"].map(|path| (path.to_owned(), me.to_owned()));
    assert_eq!(visitors, BTreeSet::from(expected));
    hushes(&[&stage.coordinator, &stage.writer, &stage.painter])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_pushes_once_more_when_it_ends() -> Result<()> {
    let collector = Collector::start(Temper::Takes).await?;
    // Nothing comes in between.
    let told = settings(collector.address(), 3_600_000);
    let mut stage = Stage::set_with(Cast::Real, |_| Ok(told)).await?;
    make_a_film(&stage).await?;
    for (program, service) in [
        (&mut stage.writer, WRITER),
        (&mut stage.painter, PAINTER),
        (&mut stage.coordinator, COORDINATOR),
    ] {
        assert_eq!(collector.pushes_of(service).len(), 1, "{service}");
        let status = program.end().await?;
        ensure!(status.success(), "it ended with {status}");
        assert_eq!(collector.pushes_of(service).len(), 2, "{service}");
    }
    let (painter, coordinator) = (last(&collector, PAINTER)?, last(&collector, COORDINATOR)?);
    let succeeded = "outcome=\"succeeded\"";
    assert_eq!(sum(&painter, "callsheet_run_seconds_count", succeeded), 7.0);
    assert_eq!(
        sum(&coordinator, "callsheet_attempts_total", succeeded),
        8.0
    );
    let films = "callsheet_films_ended_total";
    assert_eq!(sum(&coordinator, films, "completed"), 1.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_is_shown_the_headers_of_the_environment() -> Result<()> {
    let collector = Collector::start(Temper::Takes).await?;
    let folder = tempfile::tempdir()?;
    // Of a program that nobody gives work to: it pushes when it starts.
    let environment = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hush"),
        ("CALLSHEET__TELEMETRY__OTLP_ENDPOINT", &collector.url()),
        ("CALLSHEET__BROKER__URL", "amqp://127.0.0.1:1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let data = folder.path().join("data").into_os_string();
    let arguments = ["--listen", "127.0.0.1:0", "--data-dir"].map(OsString::from);
    let arguments = arguments.into_iter().chain([data]);
    let program = "coordinator";
    let mut coordinator =
        Program::start_in(environment, program, program, arguments, folder.path())?;
    let expected = ("/v1/metrics".to_owned(), "Bearer hush".to_owned());
    until("a push", PUSHED, async || {
        let visitors = collector.visitors();
        ensure!(
            visitors == BTreeSet::from([expected.clone()]),
            "{visitors:?}"
        );
        Ok::<_, anyhow::Error>(())
    })
    .await;
    coordinator.end().await?;
    hushes(&[&coordinator])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_comes_back_hears_how_much_there_was() -> Result<()> {
    // What listens there is no collector, and goes away in the end.
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
    let other = Collector::start_at(address, Temper::Rubbish).await?;
    let told = settings(address, 200);
    let mut stage = Stage::set_with(Cast::Real, |_| Ok(told)).await?;
    let failed = "callsheet_metric_pushes_failed_total";
    let failures = async |url: &str| {
        let page = page_at(url).await?;
        page.get(failed).copied().context("the metric")
    };
    let painter = Stage::metrics_of(&stage.painter)?;
    until("pushes to fail", PUSHED, async || {
        ensure!(failures(&painter).await? > 2.0);
        Ok::<_, anyhow::Error>(())
    })
    .await;
    drop(other);
    make_a_film(&stage).await?;
    let before = failures(&painter).await?;
    until("pushes to fail for another reason", PUSHED, async || {
        ensure!(failures(&painter).await? > before + 2.0);
        Ok::<_, anyhow::Error>(())
    })
    .await;

    let collector = Collector::start_at(address, Temper::Takes).await?;
    until("both to be pushed", PUSHED, async || {
        last(&collector, COORDINATOR)?;
        last(&collector, PAINTER)
    })
    .await;
    let first = &collector.pushes_of(PAINTER)[0];
    let succeeded = "outcome=\"succeeded\"";
    assert_eq!(sum(first, "callsheet_run_seconds_count", succeeded), 7.0);
    ensure!(sum(first, failed, "") > before);
    let first = &collector.pushes_of(COORDINATOR)[0];
    assert_eq!(sum(first, "callsheet_attempts_total", succeeded), 8.0);

    for program in [
        &mut stage.coordinator,
        &mut stage.writer,
        &mut stage.painter,
    ] {
        program.end().await?;
        let printed = program.printed();
        for line in [
            "the collector does not take metrics (",
            "the collector takes metrics again",
        ] {
            let said = printed.matches(line).count();
            ensure!(said == 1, "`{line}` {said} times:\n{printed}");
        }
    }
    hushes(&[&stage.coordinator, &stage.writer, &stage.painter])
}
