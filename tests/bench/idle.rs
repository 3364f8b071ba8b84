//! What idle processes use, as Linux counts it in /proc.

use std::time::Duration;

use anyhow::{Context, Result};
use support::stage::{Cast, Stage};

use crate::statistics::Verdicts;

/// At most this share of a core.
const CPU: f64 = 0.01;
/// At most this much resident memory, in MiB.
const MEMORY: f64 = 40.0;

pub(crate) async fn measure(seconds: u32, verdicts: &mut Verdicts) -> Result<()> {
    let stage = Stage::set(Cast::Real).await?;
    // What start-up leaves behind is no part of it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let programs = [
        ("coordinator", &stage.coordinator),
        ("llm-worker", &stage.writer),
        ("video-worker", &stage.painter),
    ];
    let mut before = Vec::new();
    for (_, program) in programs {
        before.push(cpu_seconds(program.id().context("it does not run")?)?);
    }
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    println!("\nidle: {seconds} s, connected to RabbitMQ, nothing to do");
    for ((name, program), before) in programs.into_iter().zip(before) {
        let pid = program.id().context("it does not run")?;
        let share = (cpu_seconds(pid)? - before) / f64::from(seconds);
        let memory = resident_mib(pid)?;
        println!(
            "  {name:13} {:5.2} % of a core, under 1 %: {}; {memory:5.1} MiB, under 40 MiB: {}",
            share * 100.0,
            verdicts.of(share < CPU),
            verdicts.of(memory < MEMORY)
        );
    }
    Ok(())
}

/// Time on a processor so far, of all threads, by the scheduler's own count in nanoseconds. On a virtual machine it holds what its host
/// took meanwhile, too: figures of another hour may be several times these.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let told = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let on_processor = told.split(' ').next().context("odd schedstat")?;
        nanoseconds += on_processor.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}

fn resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .context("no VmRSS")?;
    let kib: f64 = line
        .split_whitespace()
        .nth(1)
        .context("odd VmRSS")?
        .parse()?;
    Ok(kib / 1024.0)
}
