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
        before.push(Use::of(program.id().context("it does not run")?)?);
    }
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    println!("\nidle: {seconds} s, connected to RabbitMQ, nothing to do");
    for ((name, program), before) in programs.into_iter().zip(before) {
        let pid = program.id().context("it does not run")?;
        let now = Use::of(pid)?;
        let share = (now.seconds - before.seconds) / f64::from(seconds);
        let wakes = (now.wakes - before.wakes) / f64::from(seconds);
        let memory = resident_mib(pid)?;
        println!(
            "  {name:13} {:5.2} % of a core, under 1 %: {}; {wakes:4.1} wakes/s; {memory:5.1} MiB, under 40 MiB: {}",
            share * 100.0,
            verdicts.of(share < CPU),
            verdicts.of(memory < MEMORY)
        );
    }
    Ok(())
}

/// What a process has used so far, all its threads together.
struct Use {
    /// On a processor, by the scheduler's own count in nanoseconds. On a virtual machine it holds what its host took meanwhile,
    /// too: figures of another hour may be several times these.
    seconds: f64,
    /// How often a thread had waited for something and went on. The same on every machine.
    wakes: f64,
}

impl Use {
    fn of(pid: u32) -> Result<Self> {
        let (mut nanoseconds, mut wakes) = (0.0, 0.0);
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let folder = task?.path();
            let told = std::fs::read_to_string(folder.join("schedstat"))?;
            let on_processor = told.split(' ').next().context("odd schedstat")?;
            nanoseconds += on_processor.parse::<f64>()?;
            let status = std::fs::read_to_string(folder.join("status"))?;
            wakes += number_after("voluntary_ctxt_switches:", &status)?;
        }
        Ok(Self {
            seconds: nanoseconds / 1e9,
            wakes,
        })
    }
}

fn resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(number_after("VmRSS:", &status)? / 1024.0)
}

/// The number behind that word at the beginning of a line.
fn number_after(word: &str, text: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.with_context(|| format!("no {word}"))?.parse()?)
}
