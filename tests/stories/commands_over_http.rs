//! `callsheet up`, and every command that speaks to it over HTTP.
#![cfg(unix)]

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::api::{FilmList, FilmStatus, FilmView, SubmitAnswer, WorkerList};
use shared::ids::FilmId;
use support::programs::{Program, path};
use support::wait::{SOON, until};
use tempfile::TempDir;

use crate::SMALL;

/// A script of two scenes.
const SCRIPT: &str = "title = \"The Ferry\"\n[[scenes]]\naction = \"A ferry leaves.\"\n[[scenes]]\naction = \"It is gone.\"\n";
/// An ffmpeg that is fit by all it says of itself and encodes nothing, until the file `mended` lies beside it.
const BROKEN_FFMPEG: &str = "#!/bin/sh
case \"$* \" in *-version*|*-encoders*) exec ffmpeg \"$@\" ;; esac
[ -e \"$(dirname \"$0\")/mended\" ] && exec ffmpeg \"$@\"
echo 'the lens cap is on' >&2
exit 3
";

/// `callsheet up` in a folder of its own, on a free port.
struct Server {
    program: Program,
    url: String,
    folder: TempDir,
}

/// What a command did.
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Server {
    async fn start(settings: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let at = |name: &str| folder.path().join(name).into_os_string();
        std::fs::write(at("settings.toml"), settings)?;
        let arguments: [OsString; 7] = [
            "up".into(),
            "--listen".into(),
            "127.0.0.1:0".into(),
            "--data-dir".into(),
            at("data"),
            "--config".into(),
            at("settings.toml"),
        ];
        let program = Program::start("callsheet", "up", arguments, folder.path())?;
        let url = until("the server to be up", SOON, async || {
            let printed = program.printed();
            let (_, url) = printed.split_once("is up at ").context("not up yet")?;
            let (url, _) = url.split_once('\n').context("half a line")?;
            Ok::<_, anyhow::Error>(url.trim().to_owned())
        })
        .await;
        Ok(Self {
            program,
            url,
            folder,
        })
    }

    fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(path("callsheet")?);
        command
            .args(words)
            .args(["--coordinator", &self.url])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env_remove("RUST_LOG");
        Ok(command)
    }

    fn run(&self, words: &[&str]) -> Result<Done> {
        Ok(self.command(words)?.output()?.into())
    }

    /// What a command prints that must end well.
    fn prints(&self, words: &[&str]) -> Result<String> {
        let done = self.run(words)?;
        ensure!(
            done.code == Some(0),
            "{words:?} ended with {:?}: {}{}",
            done.code,
            done.out,
            done.err
        );
        Ok(done.out)
    }

    /// The JSON in the last line of what a command prints that must end well.
    fn json<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        last_line(&self.prints(words)?)
    }

    fn submit(&self, words: &[&str]) -> Result<FilmId> {
        let words = [&["submit", "--json"][..], words, &SMALL].concat();
        match self.json(&words)? {
            SubmitAnswer::Accepted { film } => Ok(film),
            SubmitAnswer::Mistaken { mistakes } => anyhow::bail!("refused: {mistakes:?}"),
        }
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn last_line<T: DeserializeOwned>(printed: &str) -> Result<T> {
    let line = printed.lines().last().context("a last line")?;
    serde_json::from_str(line).with_context(|| line.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_does_what_every_command_asks_of_it() -> Result<()> {
    let mut server = Server::start("").await?;

    until("the worker to be known", SOON, async || {
        let list: WorkerList = server.json(&["workers", "--json"])?;
        list.workers.first().context("a worker").map(drop)
    })
    .await;
    // A worker that stands still leaves time to look at what waits.
    let table = server.prints(&["workers"])?;
    ensure!(
        table.contains("all-in-one") && table.contains("animatic"),
        "{table}"
    );
    let paused = server.prints(&["pause", "all-in-one"])?;
    ensure!(paused.starts_with("worker all-in-one: paus"), "{paused}");
    until("the worker to stand still", SOON, async || {
        let list: WorkerList = server.json(&["workers", "--json"])?;
        let worker = list.workers.first().context("a worker")?;
        ensure!(worker.state.paused && worker.pause_wanted, "{worker:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await;

    let film = server.submit(&["A storm", "--key", "once"])?;
    assert_eq!(server.submit(&["A storm", "--key", "once"])?, film);
    let other = server.submit(&["A calm"])?;
    let (film, other) = (film.to_string(), other.to_string());
    let table = server.prints(&["list"])?;
    ensure!(
        table.contains(&film) && table.contains(&other) && table.contains("A calm"),
        "{table}"
    );
    let newest: FilmList = server.json(&["list", "--json", "--limit", "1"])?;
    assert_eq!(newest.films[0].id.to_string(), other);
    let older: FilmList = server.json(&["list", "--json", "--before", &other])?;
    let older: Vec<_> = older.films.iter().map(|film| film.id.to_string()).collect();
    assert_eq!(older, [&*film], "a repeated key makes no second film");
    let hint = server.prints(&["list", "--limit", "1"])?;
    let (_, hint) = hint.split_once("older films: ").context("a hint")?;
    let typed = Command::new("sh")
        .args(["-c", hint.trim()])
        .current_dir(server.folder.path())
        .output()?;
    let typed = Done::from(typed);
    ensure!(
        typed.code == Some(0) && typed.out.contains(&film),
        "`{hint}` does not work as printed: {}{}",
        typed.out,
        typed.err
    );
    let shown = server.prints(&["show", &other])?;
    ensure!(
        shown.contains("A calm") && shown.contains("seed 7"),
        "{shown}"
    );

    let cancelled = server.prints(&["cancel", &other])?;
    assert_eq!(cancelled.trim(), format!("film {other}: cancelled"));
    let watched = server.run(&["watch", &other, "--json"])?;
    assert_eq!(watched.code, Some(1), "{}", watched.err);
    let last: Value = last_line(&watched.out)?;
    assert_eq!(
        (last["event"].as_str(), last["film"].as_str()),
        (Some("film_cancelled"), Some(&*other))
    );
    let refused = server.run(&["retry", &other])?;
    assert_eq!(refused.code, Some(2), "{}", refused.err);

    let resumed = server.prints(&["resume", "all-in-one"])?;
    ensure!(!resumed.contains("paused"), "{resumed}");
    let last: Value = server.json(&["watch", &film, "--json"])?;
    assert_eq!(
        (last["event"].as_str(), last["scenes"].as_u64()),
        (Some("film_completed"), Some(3)),
        "{last}"
    );
    let watched = server.prints(&["watch", &film])?;
    let place = format!("{}/v1/films/{film}/film.mp4", server.url);
    ensure!(watched.trim().ends_with(&place), "{watched}");
    let view: FilmView = server.json(&["show", &film, "--json"])?;
    assert_eq!(view.summary.status, FilmStatus::Completed);

    let last: Value = server.json(&["film", "--resume", &film, "--json", "--out", "storm.mp4"])?;
    assert_eq!(last["path"], "storm.mp4");
    std::fs::write(server.folder.path().join("ferry.toml"), SCRIPT)?;
    let size = ["--seconds", "0.5", "--size", "320x180"];
    let words = [&["film", "--script", "ferry.toml", "--json"][..], &size].concat();
    let last: Value = server.json(&words)?;
    assert_eq!(
        (last["path"].as_str(), last["scenes"].as_u64()),
        (Some("the-ferry.mp4"), Some(2)),
        "{last}"
    );
    for name in ["storm.mp4", "storm.json", "the-ferry.mp4", "the-ferry.json"] {
        let length = server.folder.path().join(name).metadata()?.len();
        ensure!(length > 1_000, "{name} has {length} bytes");
    }

    let nowhere = FilmId::from_u128(1).to_string();
    for command in ["show", "watch", "cancel", "retry"] {
        let done = server.run(&[command, &nowhere])?;
        assert_eq!(done.code, Some(2), "{command}: {}", done.err);
        ensure!(done.err.contains("no film"), "{command}: {}", done.err);
    }
    for command in ["pause", "resume"] {
        let done = server.run(&[command, "nobody"])?;
        assert_eq!(done.code, Some(2), "{command}: {}", done.err);
    }
    let status = server.program.end().await?;
    ensure!(status.success(), "{status}: {}", server.program.printed());
    let done = server.run(&["list"])?;
    assert_eq!(done.code, Some(2), "{}", done.err);
    ensure!(done.err.contains(&server.url), "{}", done.err);
    Ok(())
}

fn put_broken_ffmpeg(folder: &Path) -> Result<String> {
    use std::os::unix::fs::PermissionsExt;
    let program = folder.join("ffmpeg");
    std::fs::write(&program, BROKEN_FFMPEG)?;
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
    Ok(program.display().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_that_failed_ends_with_its_reasons_and_is_retried() -> Result<()> {
    let tools = TempDir::new()?;
    let ffmpeg = put_broken_ffmpeg(tools.path())?;
    let settings = format!(
        "[coordinator.retry]\nmax_failures = 2\nbase_ms = 50\ncap_ms = 50\n[ffmpeg]\nffmpeg = '{ffmpeg}'\n"
    );
    let server = Server::start(&settings).await?;
    let words = [
        &["film", "A storm", "--json", "--out", "storm.mp4"][..],
        &SMALL,
    ]
    .concat();
    let failed = server.run(&words)?;
    assert_eq!(failed.code, Some(1), "{}{}", failed.out, failed.err);
    let last: Value = last_line(&failed.out)?;
    assert_eq!(last["event"], "film_failed", "{last}");
    let film = last["film"].as_str().context("a film")?;
    let reasons = last["reasons"].as_array().context("reasons")?;
    ensure!(
        reasons.iter().any(|reason| {
            let reason = reason.as_str().unwrap_or_default();
            reason.starts_with("scene ") && reason.contains("the lens cap is on")
        }),
        "{last}"
    );
    ensure!(failed.err.contains("the lens cap is on"), "{}", failed.err);
    ensure!(failed.err.trim_end().ends_with(film), "{}", failed.err);
    ensure!(!server.folder.path().join("storm.mp4").exists());

    let watched = server.run(&["watch", film])?;
    assert_eq!(watched.code, Some(1), "{}", watched.err);
    ensure!(
        watched.err.contains("the lens cap is on"),
        "{}",
        watched.err
    );

    std::fs::write(tools.path().join("mended"), "")?;
    let retried = server.prints(&["retry", film])?;
    assert_eq!(retried.trim(), format!("film {film}: running"));
    let last: Value = server.json(&["watch", film, "--json"])?;
    assert_eq!(last["event"], "film_completed", "{last}");
    until(
        "the film to be told as completed",
        Duration::from_secs(5),
        async || {
            let view: FilmView = server.json(&["show", film, "--json"])?;
            let status = view.summary.status;
            ensure!(status == FilmStatus::Completed, "{status:?}");
            Ok::<_, anyhow::Error>(())
        },
    )
    .await;
    Ok(())
}
