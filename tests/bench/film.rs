//! One film with the built-ins, as a newcomer makes it: `callsheet film` in a folder of its own.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use shared::api::{FilmEvent, Happening};
use shared::job::JobStatus;

use crate::statistics::{Verdicts, median};

/// Running time of the film, in seconds: 6 scenes of 4 s.
const RUNNING_TIME: f64 = 24.0;
/// Longest wall time, as a share of the running time.
const WALL: f64 = 0.5;
/// Longest time from process start to the first job running, in milliseconds.
const FIRST_JOB: f64 = 500.0;
/// Largest peak of the process's own memory, in MiB.
const MEMORY: f64 = 150.0;

pub(crate) fn measure(rounds: u32, verdicts: &mut Verdicts) -> Result<()> {
    let (mut walls, mut firsts, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let made = make()?;
        walls.push(made.wall);
        firsts.push(made.first_job);
        peaks.push(made.peak);
    }
    let (wall, first, peak) = (median(&walls), median(&firsts), median(&peaks));
    println!("\nfilm: 6 scenes of 4 s, 854x480, 24 fps, built-ins, median of {rounds}");
    println!(
        "  wall time     {wall:7.2} s, at most {} s: {}",
        RUNNING_TIME * WALL,
        verdicts.of(wall <= RUNNING_TIME * WALL)
    );
    println!(
        "  first job     {first:7.0} ms after the start, at most {FIRST_JOB} ms: {}",
        verdicts.of(first <= FIRST_JOB)
    );
    println!(
        "  peak memory   {peak:7.1} MiB, at most {MEMORY} MiB: {}",
        verdicts.of(peak <= MEMORY)
    );
    Ok(())
}

struct Made {
    wall: f64,
    first_job: f64,
    peak: f64,
}

fn make() -> Result<Made> {
    let folder = tempfile::TempDir::new()?;
    let begun = Instant::now();
    let mut child = Command::new(support::programs::path("callsheet")?)
        .args([
            "film",
            "A lighthouse keeper befriends a storm",
            "--seed",
            "7",
            "--json",
            "--out",
            "film.mp4",
        ])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let pid = child.id();
    let lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
    let (mut first_job, mut peak) = (None, 0.0_f64);
    for line in lines {
        let line = line?;
        peak = peak.max(peak_mib(pid).unwrap_or(0.0));
        let is_running = |event: FilmEvent| matches!(event.what, Happening::JobChanged { job } if job.status == JobStatus::Running);
        if first_job.is_none() && serde_json::from_str(&line).is_ok_and(is_running) {
            first_job = Some(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    let status = child.wait()?;
    let wall = begun.elapsed().as_secs_f64();
    ensure!(
        status.success() && folder.path().join("film.mp4").exists(),
        "no film: {status}"
    );
    Ok(Made {
        wall,
        first_job: first_job.context("no job was seen running")?,
        peak,
    })
}

/// The largest resident memory that the process has had so far.
pub(crate) fn peak_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}
