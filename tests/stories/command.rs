//! `callsheet`, as people type it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use shared::api::{FilmEvent, Happening, JobView};
use shared::ids::JobId;
use shared::job::JobStatus;
use support::programs::path;
use tempfile::TempDir;

use crate::SMALL;

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

#[test]
fn one_command_makes_a_film_and_its_manifest() -> Result<()> {
    let folder = TempDir::new()?;
    let premise = "A \"lighthouse\" keeper: 100% storm's friend\n'; $(touch evil) %s";
    let arguments = [
        &["film", premise, "--json", "--out", "storm.mp4"][..],
        &SMALL,
    ]
    .concat();
    let mut command = callsheet(folder.path(), &arguments)?;
    // A server that this film is not made with need not be there.
    command.env("CALLSHEET__COMFYUI__URL", "http://127.0.0.1:1");
    let output = command.output()?;
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

/// How each job stands by the last word about it in lines of JSON, and how often it was said to run.
fn jobs_told(lines: &str) -> HashMap<JobId, (JobView, u32)> {
    let mut jobs: HashMap<JobId, (JobView, u32)> = HashMap::new();
    for line in lines.lines() {
        if let Ok(FilmEvent {
            what: Happening::JobChanged { job },
            ..
        }) = serde_json::from_str(line)
        {
            let runs = u32::from(job.status == JobStatus::Running);
            let before = jobs.get(&job.id).map_or(0, |(_, runs)| *runs);
            jobs.insert(job.id, (*job, before + runs));
        }
    }
    jobs
}

#[cfg(unix)]
#[test]
fn an_interrupted_film_is_resumed_without_doing_anything_twice() -> Result<()> {
    use std::os::unix::process::CommandExt;

    let folder = TempDir::new()?;
    let arguments = [
        &["film", "A storm", "--json", "--out", "storm.mp4"][..],
        &["--data-dir", "my films"],
        &SMALL[..2],
        &["--seconds", "4"],
    ]
    .concat();
    let mut child = callsheet(folder.path(), &arguments)?
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut film = None;
    let mut told = String::new();
    let mut done = 0;
    let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines();
    for line in lines.by_ref() {
        let line = line?;
        let event: FilmEvent = serde_json::from_str(&line)?;
        told.push_str(&line);
        told.push('\n');
        film = Some(event.film);
        if let Happening::JobChanged { job } = event.what
            && job.status == JobStatus::Completed
        {
            done += 1;
            if done == 3 {
                break;
            }
        }
    }
    // To the whole group, as a terminal sends it: what this process started gets it too.
    ensure!(
        Command::new("kill")
            .args(["-INT", "--", &format!("-{}", child.id())])
            .status()?
            .success()
    );
    let rest = lines.map_while(Result::ok).collect::<Vec<_>>().join("\n");
    told.push_str(&rest);
    let output = child.wait_with_output()?;
    let all = said(&output);
    assert_eq!(output.status.code(), Some(130), "{rest:?} {all}");
    let film = film.context("the film's id")?.to_string();
    ensure!(
        all.trim_end().ends_with(&format!(" --resume {film}")),
        "{all}"
    );
    let (_, hint) = all.split_once("go on with: ").context("a hint")?;

    // What it says is typed as it stands.
    let output = Command::new("sh")
        .args(["-c", &format!("{} --json", hint.trim())])
        .current_dir(folder.path())
        .output()?;
    ensure!(output.status.success(), "{hint}: {}", said(&output));
    let before = jobs_told(&told);
    // A follower hears everything from the beginning.
    let after = jobs_told(&String::from_utf8(output.stdout)?);
    let completed = |(job, _): &(JobView, u32)| job.status == JobStatus::Completed;
    ensure!(before.values().filter(|told| completed(told)).count() >= 3);
    for (id, told) in before.iter().filter(|(_, told)| completed(told)) {
        let (job, runs) = &told;
        let (now, runs_now) = after.get(id).context("a job is gone")?;
        assert_eq!(
            (now.attempt, now.take, &now.artifact, runs_now),
            (job.attempt, job.take, &job.artifact, runs),
            "{} was done again",
            job.kind
        );
    }
    for (job, _) in after.values() {
        assert_eq!(
            (job.status, job.failures, &job.failure),
            (JobStatus::Completed, 0, &None),
            "{} failed on the way",
            job.kind
        );
    }
    ensure!(folder.path().join("storm.mp4").exists());
    Ok(())
}

#[test]
fn a_proxy_in_the_environment_is_not_asked_for_this_machine() -> Result<()> {
    let folder = TempDir::new()?;
    let arguments = [&["film", "A storm"][..], &SMALL].concat();
    let proxy = "http://127.0.0.1:9";
    let output = callsheet(folder.path(), &arguments)?
        .env("http_proxy", proxy)
        .env("HTTP_PROXY", proxy)
        .env("ALL_PROXY", proxy)
        .output()?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}

#[test]
fn without_ffmpeg_a_film_is_held_and_the_last_word_is_how_to_go_on() -> Result<()> {
    let folder = TempDir::new()?;
    let arguments = [&["film", "A storm", "--json"][..], &SMALL].concat();
    let output = callsheet(folder.path(), &arguments)?
        .env("CALLSHEET__FFMPEG__FFMPEG", "/nowhere/ffmpeg")
        .output()?;
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let printed = String::from_utf8(output.stdout)?;
    let last: serde_json::Value =
        serde_json::from_str(printed.lines().last().context("a last line")?)?;
    assert_eq!(last["event"], "film_stopped", "{last}");
    let reason = last["reason"].as_str().context("a reason")?;
    ensure!(
        reason.contains("/nowhere/ffmpeg") && !reason.contains("--resume"),
        "{last}"
    );
    let film = last["film"].as_str().context("a film")?;
    let told = String::from_utf8(output.stderr)?;
    let program = path("callsheet")?.display().to_string();
    ensure!(
        told.contains(reason) && told.contains(&program) && told.trim_end().ends_with(film),
        "{told}"
    );

    let output = callsheet(folder.path(), &["film", "--resume", film, "--json"])?.output()?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}

#[test]
fn a_film_whose_folder_is_gone_is_kept_and_fetched_elsewhere() -> Result<()> {
    let folder = TempDir::new()?;
    let out = folder.path().join("out");
    std::fs::create_dir(&out)?;
    let arguments = [&["film", "A storm", "--json", "--out", "out"][..], &SMALL].concat();
    let mut child = callsheet(folder.path(), &arguments)?
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines();
    lines.next().context("it has begun")??;
    std::fs::remove_dir(&out)?;
    let last = lines.last().context("a last line")??;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let last: serde_json::Value = serde_json::from_str(&last)?;
    assert_eq!(last["event"], "film_stopped", "{last}");
    let told = String::from_utf8(output.stderr)?;
    let (_, hint) = told.split_once("elsewhere with: ").context("a hint")?;
    let output = Command::new("sh")
        .args(["-c", hint.trim()])
        .current_dir(folder.path())
        .output()?;
    ensure!(output.status.success(), "{hint}: {}", said(&output));
    let printed = String::from_utf8(output.stdout)?;
    let film = printed.lines().last().context("a path")?;
    ensure!(folder.path().join(film).metadata()?.len() > 1_000);
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
    // An argument cannot be longer than 128 KiB on Linux; a file can.
    let long = "x".repeat(100_000);
    let megabyte = format!(
        "title = \"t\"\n[[scenes]]\naction = \"{}\"\n",
        "x".repeat(1 << 20)
    );
    std::fs::write(folder.path().join("megabyte.toml"), megabyte)?;
    let cases: [(&[&str], &str); 11] = [
        (&["film", " "], "premise"),
        (&["film", "A storm", "--scenes", "0"], "scenes"),
        (&["film", "A storm", "--scenes", "10000"], "scenes"),
        (&["film", &long], "8000"),
        (&["film", "--script", "megabyte.toml"], "script"),
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
        assert_eq!(
            output.status.code(),
            Some(2),
            "{shown:?}: {}",
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
    // A shell asks for its completions before anyone can mend the settings.
    let output = callsheet(folder.path(), &["completions", "bash"])?
        .env("CALLSHEET__NO__SUCH", "setting")
        .output()?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}
