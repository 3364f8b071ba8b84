//! A film made by `coordinator`, `llm-worker` and `video-worker`, three processes over a real RabbitMQ.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use shared::api::{FilmStatus, FilmView, JobView, Manifest, SubmitAnswer};
use shared::film::FilmRequest;
use shared::ids::FilmId;
use support::stage::{Cast, Stage};
use support::submitter::Submitter;
use support::wait::until;

fn request() -> FilmRequest {
    FilmRequest {
        premise: Some("A lighthouse keeper befriends a storm".to_owned()),
        scenes: Some(3),
        seconds: Some(1.0),
        size: "320x180".parse().ok(),
        seed: Some(7),
        ..FilmRequest::default()
    }
}

async fn completed(stage: &Stage, film: FilmId) -> FilmView {
    until(
        "the film to be completed",
        Duration::from_secs(90),
        async || {
            let view = stage.film(film).await?;
            let jobs: Vec<_> = view
                .jobs
                .iter()
                .map(|job| format!("{} {}", job.kind, job.status))
                .collect();
            ensure!(
                view.summary.status == FilmStatus::Completed,
                "{:?}: {jobs:?}",
                view.summary.status
            );
            Ok(view)
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_make_a_film_that_plays() -> Result<()> {
    let mut stage = Stage::set(Cast::Real).await?;
    let mut submitter = Submitter::connect(&stage.rabbitmq.url()).await?;
    let films = submitter.submit_all(&[request()], "film").await?;
    let film = *films.values().next().context("one film")?;
    let view = completed(&stage, film).await;
    ensure!(
        view.scenes.len() == 3
            && view
                .scenes
                .iter()
                .all(|scene| scene.keyframe.is_some() && scene.clip.is_some())
    );

    let path = stage.folder().join("film.mp4");
    std::fs::write(
        &path,
        stage.bytes(&format!("/v1/films/{film}/film.mp4")).await?,
    )?;
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-show_entries"])
        .arg("stream=width,height,r_frame_rate,nb_read_frames,codec_name:chapter_tags=title:format_tags=title")
        .args(["-show_chapters", "-of", "json"])
        .arg(&path)
        .output()?;
    let probed: serde_json::Value = serde_json::from_slice(&probed.stdout)?;
    let stream = &probed["streams"][0];
    assert_eq!(
        (stream["width"].as_u64(), stream["height"].as_u64()),
        (Some(320), Some(180)),
        "{probed}"
    );
    assert_eq!(
        stream["nb_read_frames"], "72",
        "three scenes of a second at 24 frames: {probed}"
    );
    let chapters = probed["chapters"].as_array().context("chapters")?;
    let titles: Vec<_> = chapters
        .iter()
        .filter_map(|chapter| chapter["tags"]["title"].as_str())
        .collect();
    let scenes: Vec<_> = view
        .scenes
        .iter()
        .map(|scene| scene.title.as_str())
        .collect();
    assert_eq!(titles, scenes, "scenes in their order");

    let manifest: Manifest = stage.get(&format!("/v1/films/{film}/film.json")).await?;
    assert_eq!(
        (
            manifest.seed,
            manifest.scenes.len(),
            manifest.fallbacks.len()
        ),
        (7, 3, 0)
    );
    assert_eq!(
        manifest
            .story
            .worker
            .map(|worker| worker.to_string())
            .as_deref(),
        Some("writer")
    );

    for program in [
        &mut stage.writer,
        &mut stage.painter,
        &mut stage.coordinator,
    ] {
        let status = program.end().await?;
        ensure!(
            status.success(),
            "it ended with {status}:\n{}",
            program.printed()
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_is_submitted_from_python() -> Result<()> {
    let stage = Stage::set(Cast::Stubs {
        slots: 2,
        work: Duration::ZERO,
    })
    .await?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/submit.py");
    // The distribution's own interpreter: it is the one that the package manager gave pika to.
    let python = if std::path::Path::new("/usr/bin/python3").exists() {
        "/usr/bin/python3"
    } else {
        "python3"
    };
    let run = |premise: &str| {
        Command::new(python)
            .arg(script)
            .arg(stage.rabbitmq.url())
            .arg(premise)
            .output()
    };
    let output = run("A \"storm\" at 100%: seen\nfrom the sea")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answer: SubmitAnswer = serde_json::from_slice(&output.stdout)?;
    let SubmitAnswer::Accepted { film } = answer else {
        anyhow::bail!("refused: {answer:?}")
    };
    completed(&stage, film).await;
    let refused: SubmitAnswer = serde_json::from_slice(&run(" ")?.stdout)?;
    ensure!(
        matches!(&refused, SubmitAnswer::Mistaken { mistakes } if mistakes[0].field == "premise"),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_film_stops_within_two_seconds() -> Result<()> {
    let stage = Stage::set(Cast::Real).await?;
    // Large and long, so that ffmpeg is at work when the word comes.
    let long = FilmRequest {
        seconds: Some(60.0),
        size: "1280x720".parse().ok(),
        ..request()
    };
    let answer: SubmitAnswer = stage.post("/v1/films", &long).await?;
    let SubmitAnswer::Accepted { film } = answer else {
        anyhow::bail!("refused: {answer:?}")
    };
    let painter = stage.painter.id().context("it runs")?;
    until(
        "ffmpeg to be at work",
        Duration::from_secs(60),
        async || {
            let view = stage.film(film).await?;
            let draws = |job: &JobView| {
                let progress = job.progress.as_ref();
                progress.is_some_and(|at| at.phase == "frames" && at.step > 0)
            };
            ensure!(view.jobs.iter().any(draws), "no clip is being drawn");
            ensure!(has_children(painter)?, "video-worker has no children");
            Ok::<_, anyhow::Error>(())
        },
    )
    .await;
    let begun = Instant::now();
    let view: FilmView = stage
        .post(&format!("/v1/films/{film}/cancel"), &serde_json::json!({}))
        .await?;
    assert_eq!(view.summary.status, FilmStatus::Cancelled);
    until("the work to stop", Duration::from_secs(10), async || {
        ensure!(!has_children(painter)?, "ffmpeg still runs");
        Ok::<_, anyhow::Error>(())
    })
    .await;
    let took = begun.elapsed();
    ensure!(
        took < Duration::from_secs(2),
        "the work stopped after {took:?}"
    );
    Ok(())
}

/// Whether a process has child processes, as Linux tells it.
fn has_children(pid: u32) -> Result<bool> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let children = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        if !children.trim().is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
