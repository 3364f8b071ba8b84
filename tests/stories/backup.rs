//! Copies of an installation, taken and brought back with the very commands of docs/operations.md while films are made.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shared::api::{FilmStatus, FilmView, JobView, SubmitAnswer};
use shared::film::FilmRequest;
use shared::ids::FilmId;
use shared::job::{JobKind, JobStatus};
use support::stage::{Cast, Stage};
use support::wait::until;

const PAGE: &str = include_str!("../../docs/operations.md");
/// A run that was under way when the copy was taken is given up after that.
const SETTINGS: &str = "[coordinator]\nlease_ms = 5000\n";
/// Longest wait for a film.
const LIMIT: Duration = Duration::from_secs(180);

/// The commands of the page that come after what begins with these words.
fn commands(title: &str) -> Result<String> {
    let (_, after) = PAGE
        .split_once(&format!("**{title}**"))
        .with_context(|| format!("the page has no {title}"))?;
    let lines = after.lines().skip(1);
    let lines = lines.skip_while(|line| !line.starts_with("    "));
    let block: Vec<_> = lines.take_while(|line| line.starts_with("    ")).collect();
    ensure!(block.len() > 3, "there are no commands: {block:?}");
    Ok(block.join("\n"))
}

/// What a container is given to run, of commands that start one.
fn in_container(commands: &str) -> Result<String> {
    let (_, script) = commands.split_once("sh -c '").context("a script")?;
    let (script, _) = script.split_once('\'').context("its end")?;
    Ok(script.to_owned())
}

struct House {
    stage: Stage,
    backup: PathBuf,
}

impl House {
    async fn open() -> Result<Self> {
        let stage = Stage::set_with(Cast::Real, |_| Ok(SETTINGS.to_owned())).await?;
        let backup = stage.folder().join("backup");
        Ok(Self { stage, backup })
    }

    /// Runs commands of the page with the folders of this house. Programs are started and stopped by the test, and all belongs to
    /// one user here.
    fn run(&self, commands: &str) -> Result<()> {
        let elsewhere = ["systemctl", "chown"];
        let lines = commands.lines().map(str::trim);
        let lines = lines.filter(|line| !elsewhere.iter().any(|word| line.starts_with(word)));
        let at = |name: &str| self.stage.folder().join(name).display().to_string();
        let mut script = lines.collect::<Vec<_>>().join("\n");
        // The longest first: one begins like the other.
        for (path, ours) in [
            ("/var/lib/callsheet/coordinator", at("coordinator")),
            ("/var/lib/callsheet", at("coordinator")),
            ("/srv/callsheet", at("artifacts")),
            ("/backup", self.backup.display().to_string()),
        ] {
            // What was put in already has none of these beginnings.
            script = script.replace(path, &ours);
        }
        let output = Command::new("sh")
            .args(["-e", "-c", &script])
            .current_dir(self.stage.folder())
            .output()?;
        let complained = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && complained.is_empty(),
            "{script}\n{}: {complained}",
            output.status
        );
        Ok(())
    }

    async fn submit(&self, request: &FilmRequest) -> Result<FilmId> {
        match self.stage.post("/v1/films", request).await? {
            SubmitAnswer::Accepted { film } => Ok(film),
            SubmitAnswer::Mistaken { mistakes } => anyhow::bail!("{mistakes:?}"),
        }
    }

    async fn completed(&self, film: FilmId) -> FilmView {
        until("the film to be completed", LIMIT, async || {
            let view = self.stage.film(film).await?;
            let stand: Vec<_> = view.jobs.iter().map(stand_of).collect();
            ensure!(view.summary.status == FilmStatus::Completed, "{stand:?}");
            Ok(view)
        })
        .await
    }

    /// Waits until some clips of the film are made, and some are not.
    async fn in_mid_work(&self, film: FilmId) -> FilmView {
        until("some clips", LIMIT, async || {
            let view = self.stage.film(film).await?;
            let is_clip = |job: &&JobView| job.kind == JobKind::Scene;
            let clips: Vec<_> = view.jobs.iter().filter(is_clip).collect();
            let done = clips
                .iter()
                .filter(|job| job.status == JobStatus::Completed);
            ensure!(
                done.count() > 1,
                "{:?}",
                view.jobs.iter().map(stand_of).collect::<Vec<_>>()
            );
            ensure!(
                view.summary.status == FilmStatus::Running,
                "it is made too soon"
            );
            Ok(view)
        })
        .await
    }

    async fn file(&self, film: FilmId) -> Result<Vec<u8>> {
        self.stage
            .bytes(&format!("/v1/films/{film}/film.mp4"))
            .await
    }
}

fn stand_of(job: &JobView) -> String {
    format!("{} {:?} {}", job.kind, job.scene, job.status)
}

fn small() -> FilmRequest {
    FilmRequest {
        premise: Some("A clockmaker repairs time".to_owned()),
        scenes: Some(3),
        seconds: Some(0.5),
        size: "320x180".parse().ok(),
        seed: Some(7),
        ..FilmRequest::default()
    }
}

/// One that takes a while.
fn large() -> FilmRequest {
    FilmRequest {
        scenes: Some(12),
        seconds: Some(3.0),
        size: "640x360".parse().ok(),
        ..small()
    }
}

/// What had been made by then is there as it was, and was not made again.
fn ensure_kept(before: &FilmView, after: &FilmView) -> Result<()> {
    let done = before
        .jobs
        .iter()
        .filter(|job| job.status == JobStatus::Completed);
    for job in done {
        let again = after.jobs.iter().find(|other| other.id == job.id);
        let again = again.with_context(|| format!("no job any more: {job:?}"))?;
        ensure!(
            (again.attempt, again.finished_at) == (job.attempt, job.finished_at),
            "made again: {job:?} and {again:?}"
        );
    }
    ensure!(
        after
            .scenes
            .iter()
            .all(|scene| scene.keyframe.is_some() && scene.clip.is_some()),
        "{:?}",
        after.scenes
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_that_burns_down_goes_on_from_a_copy_that_was_taken_while_it_worked() -> Result<()>
{
    let mut house = House::open().await?;
    let finished = house.submit(&small()).await?;
    let finished_view = house.completed(finished).await;
    let film = house.file(finished).await?;
    let unfinished = house.submit(&large()).await?;
    let before = house.in_mid_work(unfinished).await;
    house.run(&commands("Copy while everything runs")?)?;
    // The next copy takes what is new.
    house.run(&commands("Copy while everything runs")?)?;

    let Stage {
        coordinator,
        writer,
        painter,
        rabbitmq,
        ..
    } = &mut house.stage;
    for program in [&mut *coordinator, writer, painter] {
        program.kill()?;
    }
    rabbitmq.start_anew().await?;
    for folder in ["coordinator", "artifacts", "writer", "painter"] {
        std::fs::remove_dir_all(house.stage.folder().join(folder))?;
    }
    // The page moves what was there; here there is nothing.
    std::fs::create_dir(house.stage.folder().join("coordinator"))?;
    house.run(&commands("Restore")?)?;
    let Stage {
        coordinator,
        writer,
        painter,
        ..
    } = &mut house.stage;
    for program in [coordinator, writer, painter] {
        program.start_again()?;
    }
    house.stage.ready().await;

    ensure!(house.stage.film(finished).await?.jobs == finished_view.jobs);
    ensure!(house.file(finished).await? == film, "another film came");
    let after = house.completed(unfinished).await;
    ensure_kept(&before, &after)?;
    ensure!(!house.file(unfinished).await?.is_empty());
    // It works as before.
    let next = house.submit(&small()).await?;
    house.completed(next).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_loses_its_disk_goes_on_from_its_copy_among_workers_that_know_more()
-> Result<()> {
    let mut house = House::open().await?;
    let finished = house.submit(&small()).await?;
    house.completed(finished).await;
    let film = house.file(finished).await?;
    let unfinished = house.submit(&large()).await?;
    let before = house.in_mid_work(unfinished).await;
    house.stage.coordinator.end().await?;
    house.run(&in_container(&commands("Copy with containers")?)?)?;
    house.stage.coordinator.start_again()?;
    house.stage.ready().await;

    // What comes after the copy is forgotten, but not by workers and broker.
    let forgotten = house.submit(&large()).await?;
    until("work on it", LIMIT, async || {
        let view = house.stage.film(forgotten).await?;
        let is_pictured =
            |job: &JobView| job.kind != JobKind::Story && job.status == JobStatus::Running;
        ensure!(view.jobs.iter().any(is_pictured), "{:?}", view.summary);
        Ok(())
    })
    .await;
    house.stage.coordinator.kill()?;
    // Its workers go on writing to what they have open there.
    let artifacts = house.stage.folder().join("artifacts");
    std::fs::rename(&artifacts, artifacts.with_extension("lost"))?;
    std::fs::create_dir(artifacts)?;
    house.run(&in_container(&commands("Restore with containers")?)?)?;
    house.stage.coordinator.start_again()?;
    house.stage.ready().await;

    ensure!(house.file(finished).await? == film, "another film came");
    let after = house.completed(unfinished).await;
    ensure_kept(&before, &after)?;
    ensure!(
        house.stage.film(forgotten).await.is_err(),
        "it was not in the copy"
    );
    let next = house.submit(&small()).await?;
    house.completed(next).await;
    Ok(())
}
