//! `callsheet`, as people type it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use shared::api::{FilmEvent, Happening};
use shared::job::JobStatus;
use support::programs::path;
use tempfile::TempDir;

fn callsheet(folder: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(path("callsheet")?);
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .env_remove("RUST_LOG");
    Ok(command)
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

const SMALL: [&str; 8] = [
    "--scenes",
    "3",
    "--seconds",
    "0.5",
    "--size",
    "320x180",
    "--seed",
    "7",
];

#[test]
fn one_command_makes_a_film_and_its_manifest() -> Result<()> {
    let folder = TempDir::new()?;
    let premise = "A \"lighthouse\" keeper: 100% storm's friend\n'; $(touch evil) %s";
    let arguments = [
        &["film", premise, "--json", "--out", "storm.mp4"][..],
        &SMALL,
    ]
    .concat();
    let output = callsheet(folder.path(), &arguments)?.output()?;
    ensure!(output.status.success(), "{}", said(&output));
    let printed = String::from_utf8(output.stdout)?;
    let last: serde_json::Value =
        serde_json::from_str(printed.lines().last().context("a last line")?)?;
    assert_eq!(
        (last["event"].as_str(), last["scenes"].as_u64()),
        (Some("film_completed"), Some(3)),
        "{last}"
    );
    let film = Path::new(last["path"].as_str().context("a path")?).to_owned();
    ensure!(folder.path().join(film).metadata()?.len() > 1_000);
    ensure!(
        folder.path().join("storm.json").exists(),
        "the manifest lies beside it"
    );
    ensure!(!folder.path().join("evil").exists());
    Ok(())
}

#[cfg(unix)]
#[test]
fn an_interrupted_film_is_resumed_without_doing_anything_twice() -> Result<()> {
    let folder = TempDir::new()?;
    let arguments = [
        &["film", "A storm", "--json", "--out", "storm.mp4"][..],
        &SMALL[..2],
        &["--seconds", "4"],
    ]
    .concat();
    let mut child = callsheet(folder.path(), &arguments)?
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut film = None;
    let mut done_before = Vec::new();
    let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines();
    for line in lines.by_ref() {
        let event: FilmEvent = serde_json::from_str(&line?)?;
        film = Some(event.film);
        if let Happening::JobChanged { job } = event.what
            && job.status == JobStatus::Completed
        {
            done_before.push(job.id);
            if done_before.len() == 3 {
                break;
            }
        }
    }
    ensure!(
        Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()?
            .success()
    );
    let rest = lines.map_while(Result::ok).collect::<Vec<_>>();
    let output = child.wait_with_output()?;
    assert_eq!(
        output.status.code(),
        Some(130),
        "{rest:?} {}",
        said(&output)
    );
    let film = film.context("the film's id")?.to_string();
    ensure!(
        said(&output).contains(&format!("--resume {film}")),
        "it says how to go on: {}",
        said(&output)
    );

    let output = callsheet(
        folder.path(),
        &["film", "--resume", &film, "--json", "--out", "storm.mp4"],
    )?
    .output()?;
    ensure!(output.status.success(), "{}", said(&output));
    let mut attempts = std::collections::HashMap::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        if let Ok(FilmEvent {
            what: Happening::JobChanged { job },
            ..
        }) = serde_json::from_str(line)
            && job.status == JobStatus::Completed
        {
            *attempts.entry(job.id).or_insert(0) += 1;
        }
    }
    for job in &done_before {
        ensure!(
            attempts.get(job).copied().unwrap_or(1) == 1,
            "job {job} was done again"
        );
    }
    ensure!(folder.path().join("storm.mp4").exists());
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("a-file");
    std::fs::write(&file, "not a folder")?;
    std::fs::write(
        folder.path().join("twice.toml"),
        "title = \"t\"\n[[scenes]]\nnumber = 1\naction = \"a\"\n[[scenes]]\nnumber = 1\naction = \"b\"\n",
    )?;
    std::fs::write(
        folder.path().join("odd.toml"),
        "[coordinator]\nlisten_on = \"x\"\n",
    )?;
    let not_a_folder = file.to_string_lossy().into_owned();
    let megabyte = "x".repeat(100_000);
    let cases: [(&[&str], &str); 10] = [
        (&["film", " "], "premise"),
        (&["film", "A storm", "--scenes", "0"], "scenes"),
        (&["film", "A storm", "--scenes", "10000"], "scenes"),
        (&["film", &megabyte], "8000"),
        (&["film", "bell \u{7}"], "U+0007"),
        (&["film", "A storm", "--size", "1x1"], "size"),
        (&["film", "A storm", "--fps", "0"], "fps"),
        (
            &["film", "--script", "twice.toml"],
            "scene 1 is there twice",
        ),
        (&["film", "A storm", "--data-dir", &not_a_folder], "a-file"),
        (
            &["film", "A storm", "--coordinator", "http://127.0.0.1:9"],
            "127.0.0.1:9",
        ),
    ];
    for (arguments, expected) in cases {
        let output = callsheet(folder.path(), arguments)?.output()?;
        let shown: Vec<String> = arguments
            .iter()
            .map(|text| text.chars().take(30).collect())
            .collect();
        assert!(
            matches!(output.status.code(), Some(1 | 2)),
            "{shown:?}: {:?} {}",
            output.status,
            said(&output)
        );
        ensure!(
            said(&output).contains(expected),
            "{shown:?} says: {}",
            said(&output)
        );
        ensure!(
            output.stdout.len() + output.stderr.len() < 4_000,
            "{shown:?} says too much"
        );
    }
    let output = callsheet(folder.path(), &["film", "A storm"])?
        .env("CALLSHEET__FFMPEG__FFMPEG", "/nowhere/ffmpeg")
        .output()?;
    ensure!(
        !output.status.success() && said(&output).contains("/nowhere/ffmpeg"),
        "{}",
        said(&output)
    );
    Ok(())
}

#[test]
fn programs_refuse_settings_and_brokers_that_cannot_be_used() -> Result<()> {
    let folder = TempDir::new()?;
    let run =
        |program: &str, arguments: &[&str], variable: Option<(&str, &str)>| -> Result<Output> {
            let mut command = Command::new(path(program)?);
            command
                .args(arguments)
                .current_dir(folder.path())
                .envs(variable);
            Ok(command.output()?)
        };
    for program in ["coordinator", "llm-worker", "video-worker"] {
        let output = run(program, &[], Some(("CALLSHEET__BROKER__URI", "x")))?;
        assert_eq!(
            output.status.code(),
            Some(2),
            "{program}: {}",
            said(&output)
        );
        ensure!(
            said(&output).contains("broker.uri"),
            "{program}: {}",
            said(&output)
        );
        let output = run(program, &["--broker", "http://secret:word@127.0.0.1"], None)?;
        assert_eq!(
            output.status.code(),
            Some(2),
            "{program}: {}",
            said(&output)
        );
        ensure!(
            said(&output).contains("amqp://") && !said(&output).contains("word@"),
            "{program}: {}",
            said(&output)
        );
    }
    Ok(())
}

#[test]
fn help_teaches_every_command() -> Result<()> {
    let folder = TempDir::new()?;
    for command in ["film", "up", "submit", "list", "show", "watch", "cancel"] {
        let output = callsheet(folder.path(), &[command, "--help"])?.output()?;
        ensure!(
            output.status.success() && output.stdout.len() > 200,
            "{command}: {}",
            said(&output)
        );
    }
    Ok(())
}
