//! A film is one trace through three processes, and no collector delays it.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use shared::api::{FilmStatus, FilmView, SubmitAnswer, WorkerList, WorkerView};
use shared::film::FilmRequest;
use shared::ids::FilmId;
use support::collector::{Collector, Seen, Temper};
use support::http::client;
use support::stage::{Cast, Stage};
use support::wait::until;

/// The trace that somebody else has begun.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn request() -> FilmRequest {
    FilmRequest {
        premise: Some("A lighthouse keeper befriends a storm".to_owned()),
        scenes: Some(3),
        seconds: Some(0.5),
        size: "320x180".parse().ok(),
        seed: Some(7),
        ..FilmRequest::default()
    }
}

/// ffmpeg, of which the first call that encodes a clip fails.
#[cfg(unix)]
fn ffmpeg_that_fails_once(stage_folder: &std::path::Path) -> Result<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let (program, mark) = (
        stage_folder.join("ffmpeg-once"),
        stage_folder.join("has-failed"),
    );
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *clip.mp4*) mkdir '{}' 2>/dev/null && {{ echo 'this once' >&2; exit 1; }};; esac\n\
         exec ffmpeg \"$@\"\n",
        mark.display()
    );
    std::fs::write(&program, script)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

async fn submit(stage: &Stage, traceparent: Option<String>) -> Result<FilmId> {
    let mut asked = client().post(stage.url("/v1/films")?).json(&request());
    if let Some(context) = traceparent {
        asked = asked.header("traceparent", context);
    }
    match asked.send().await?.error_for_status()?.json().await? {
        SubmitAnswer::Accepted { film } => Ok(film),
        other => anyhow::bail!("refused: {other:?}"),
    }
}

async fn completed(stage: &Stage, film: FilmId) -> FilmView {
    until(
        "the film to be completed",
        Duration::from_secs(120),
        async || {
            let view = stage.film(film).await?;
            ensure!(
                view.summary.status == FilmStatus::Completed,
                "{:?}",
                view.summary.status
            );
            Ok::<_, anyhow::Error>(view)
        },
    )
    .await
}

/// The spans of one trace, by their ids.
struct Trace(HashMap<String, Seen>);

impl Trace {
    fn of(spans: &[Seen], trace: &str) -> Result<Self> {
        let mut found = HashMap::new();
        for span in spans.iter().filter(|span| span.trace == trace) {
            let before = found.insert(span.id.clone(), span.clone());
            ensure!(before.is_none(), "two spans with one id: {span:?}");
            ensure!(
                span.time.0 <= span.time.1,
                "it ends before it begins: {span:?}"
            );
        }
        ensure!(!found.is_empty(), "no span of trace {trace}");
        Ok(Self(found))
    }

    /// The one span that hangs on none of these; no other does.
    fn root(&self) -> Result<&Seen> {
        let mut roots = self
            .0
            .values()
            .filter(|it| !self.0.contains_key(&it.parent));
        let root = roots.next().context("a span that the others hang on")?;
        let orphans: Vec<_> = roots.collect();
        ensure!(orphans.is_empty(), "{root:?} and orphans: {orphans:#?}");
        Ok(root)
    }

    fn named<'a>(&'a self, name: &str) -> Vec<&'a Seen> {
        self.0.values().filter(|it| it.name == name).collect()
    }

    /// Each span hangs on one of the right sort.
    fn check_parents(&self) -> Result<()> {
        for span in self.0.values() {
            let Some(parent) = self.0.get(&span.parent) else {
                continue;
            };
            let (name, above) = (span.name.as_str(), parent.name.as_str());
            let kind = |name: &'static str| {
                move |text: &str| text.split_once(' ').is_some_and(|(first, _)| first == name)
            };
            let is_right = match name {
                "submit film" => false,
                "film" => above == "submit film",
                "publish" | "grant" => kind("dispatch")(above),
                "queue wait" | "admission wait" | "grant wait" | "run" | "report" | "settle" => {
                    kind("attempt")(above)
                }
                _ if kind("dispatch")(name) => above == "submit film",
                _ if kind("attempt")(name) => kind("dispatch")(above),
                // The phases of a run.
                _ => above == "run",
            };
            ensure!(is_right, "{span:?} hangs on {parent:?}");
        }
        Ok(())
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_is_one_trace_over_three_processes_also_across_a_retry() -> Result<()> {
    let collector = Collector::start(Temper::Takes).await?;
    let mut stage = Stage::set_with(Cast::Real, |folder| {
        let ffmpeg = ffmpeg_that_fails_once(folder)?;
        Ok(format!(
            "[telemetry]\notlp_endpoint = \"{}\"\n[ffmpeg]\nffmpeg = \"{}\"\n[coordinator.retry]\nbase_ms = 200\n",
            collector.url(),
            ffmpeg.display()
        ))
    })
    .await?;
    let named = submit(&stage, Some(format!("00-{TRACE}-{SPAN}-01"))).await?;
    completed(&stage, named).await;
    let own = submit(&stage, None).await?;
    completed(&stage, own).await;
    for program in [
        &mut stage.writer,
        &mut stage.painter,
        &mut stage.coordinator,
    ] {
        let status = program.end().await?;
        ensure!(status.success(), "it ended with {status}");
    }
    let spans = collector.spans();

    let trace = Trace::of(&spans, TRACE)?;
    let root = trace.root()?;
    assert_eq!(
        (root.name.as_str(), root.parent.as_str()),
        ("submit film", SPAN)
    );
    trace.check_parents()?;
    let services: BTreeSet<_> = trace.0.values().map(|it| it.service.as_str()).collect();
    assert_eq!(
        services,
        BTreeSet::from([
            "callsheet-coordinator",
            "callsheet-llm-worker",
            "callsheet-video-worker"
        ])
    );
    // One story, three keyframes, three clips, an assembly; and the clip that failed once more.
    let count = |name: &str| trace.named(name).len();
    for (kind, attempts) in [("story", 1), ("keyframe", 3), ("scene", 4), ("assembly", 1)] {
        assert_eq!(count(&format!("dispatch {kind}")), attempts, "{kind}");
        assert_eq!(count(&format!("attempt {kind}")), attempts, "{kind}");
    }
    for name in [
        "queue wait",
        "grant wait",
        "run",
        "report",
        "settle",
        "publish",
    ] {
        assert_eq!(count(name), 9, "{name}");
    }
    // A worker that is not answered at once asks again.
    ensure!(count("grant") >= 9);
    for phase in ["frames", "store", "outlining", "drawing", "join"] {
        ensure!(count(phase) > 0, "no phase {phase}");
    }
    assert_eq!(count("film"), 1);
    let attempts = trace.named("attempt scene");
    let failed: Vec<_> = attempts.iter().filter(|it| it.failed).collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    let again: Vec<_> = attempts
        .iter()
        .filter(|it| it.attribute("job.id") == failed[0].attribute("job.id"))
        .collect();
    let numbers: BTreeSet<_> = again.iter().map(|it| it.attribute("attempt")).collect();
    assert_eq!(numbers, BTreeSet::from(["1", "2"]));
    let dispatched = trace.named("dispatch scene");
    let retry = dispatched
        .iter()
        .find(|it| it.attribute("attempt") == "2")
        .context("its second dispatch")?;
    assert_eq!(retry.attribute("failure.kind"), "transient");

    // The other film was part of nothing: its trace is called like it.
    let own = own.to_string().replace('-', "");
    let trace = Trace::of(&spans, &own)?;
    let root = trace.root()?;
    assert_eq!(
        (root.name.as_str(), root.parent.as_str()),
        ("submit film", "")
    );
    trace.check_parents()?;
    let others: BTreeSet<_> = spans.iter().map(|it| it.trace.as_str()).collect();
    assert_eq!(
        others,
        BTreeSet::from([TRACE, own.as_str()]),
        "nothing else is traced"
    );
    for program in [&stage.writer, &stage.painter, &stage.coordinator] {
        let printed = program.printed();
        ensure!(
            printed.contains(&own),
            "no line of the log names the trace:\n{printed}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_coordinator_breaks_no_trace() -> Result<()> {
    let collector = Collector::start(Temper::Takes).await?;
    let url = collector.url();
    let telemetry = format!("[telemetry]\notlp_endpoint = \"{url}\"\n");
    let mut stage = Stage::set_with(Cast::Real, |_| Ok(telemetry)).await?;
    let film = submit(&stage, None).await?;
    until(
        "the story to be written",
        Duration::from_secs(60),
        async || {
            let view = stage.film(film).await?;
            ensure!(view.summary.title.is_some(), "no title yet");
            Ok::<_, anyhow::Error>(())
        },
    )
    .await;
    // In order: of one that is killed, the spans of its last half second would be lost with it.
    stage.coordinator.end().await?;
    stage.coordinator.start_again()?;
    stage.ready().await;
    completed(&stage, film).await;
    for program in [
        &mut stage.writer,
        &mut stage.painter,
        &mut stage.coordinator,
    ] {
        program.end().await?;
    }
    let trace = Trace::of(&collector.spans(), &film.to_string().replace('-', ""))?;
    assert_eq!(trace.named("attempt assembly").len(), 1);
    assert_eq!(trace.named("film").len(), 1);
    trace.check_parents()?;
    let lost: Vec<_> = trace
        .0
        .values()
        .filter(|it| !it.parent.is_empty() && !trace.0.contains_key(&it.parent))
        .collect();
    ensure!(lost.is_empty(), "orphans: {lost:#?}");
    Ok(())
}

/// How long a film takes on a stage with these settings, and then how long the programs take to end.
async fn timed(
    settings: String,
    while_it_runs: impl AsyncFn(&Stage) -> Result<()>,
) -> Result<(Duration, Duration)> {
    let mut stage = Stage::set_with(Cast::Real, |_| Ok(settings)).await?;
    until("both workers", Duration::from_secs(60), async || {
        let list: WorkerList = stage.get("/v1/workers").await?;
        let ready = |it: &WorkerView| it.state.waiting.is_empty();
        ensure!(
            list.workers.len() == 2 && list.workers.iter().all(ready),
            "{list:?}"
        );
        Ok::<_, anyhow::Error>(())
    })
    .await;
    let begun = Instant::now();
    let film = submit(&stage, None).await?;
    completed(&stage, film).await;
    let took = begun.elapsed();
    while_it_runs(&stage).await?;
    let begun = Instant::now();
    for program in [
        &mut stage.writer,
        &mut stage.painter,
        &mut stage.coordinator,
    ] {
        let status = program.end().await?;
        ensure!(status.success(), "it ended with {status}");
    }
    Ok((took, begun.elapsed()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_delays_no_film_and_what_it_misses_is_counted() -> Result<()>
{
    let (usual, _) = timed(String::new(), async |_| Ok(())).await?;
    let silent = Collector::start(Temper::Silent).await?;
    let telemetry = |url: String| {
        format!("[telemetry]\notlp_endpoint = \"{url}\"\notlp_metrics_interval_ms = 100\n")
    };
    let (slow, ended) = timed(telemetry(silent.url()), async |stage| {
        let missed = async || {
            let page = stage.bytes("/metrics").await?;
            let page = String::from_utf8(page)?;
            for metric in ["spans_dropped_total", "metric_pushes_failed_total"] {
                let name = format!("callsheet_{metric} ");
                let line = page.lines().find_map(|line| line.strip_prefix(&name));
                ensure!(line.context("the metric")? != "0", "{name}is 0 still");
            }
            Ok::<_, anyhow::Error>(())
        };
        until("something to be missed", Duration::from_secs(60), missed).await;
        Ok(())
    })
    .await?;
    ensure!(
        slow < usual * 2 + Duration::from_secs(2),
        "{slow:?} with a silent collector, {usual:?} with none"
    );
    ensure!(
        ended < Duration::from_secs(3 * 6),
        "three programs took {ended:?} to end"
    );
    // Nobody is there at all.
    let gone = silent.url();
    drop(silent);
    let (away, _) = timed(telemetry(gone), async |_| Ok(())).await?;
    ensure!(
        away < usual * 2 + Duration::from_secs(2),
        "{away:?} with no collector there, {usual:?} with none"
    );
    Ok(())
}
