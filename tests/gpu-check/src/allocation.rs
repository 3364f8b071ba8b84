//! How fast memory comes back. A process of ours takes some, is killed without warning, and we look how long the card still
//! counts it.
#![expect(
    clippy::print_stdout,
    reason = "a program of the command line speaks to its user"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use shared::byte_size::ByteSize;
use worker_runtime::gpu::probe::GpuProbe;
use worker_runtime::gpu::probe::nvml::NvmlProbe;
use worker_runtime::gpu::reading::{DeviceUuid, Holders};

use crate::cuda::HELD;

const ROUNDS: u32 = 3;
/// As close to what was free before counts as the same.
const CLOSE: ByteSize = ByteSize::mib(32);
/// After so long it does not come back.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shows how fast it comes back.
pub(crate) fn measure(probe: &NvmlProbe, uuid: &DeviceUuid, mib: u64) -> Result<()> {
    for _ in 0..ROUNDS {
        let before = probe.memory(uuid)?.free;
        let mut holder = start(uuid, mib)?;
        let outcome = held(&mut holder)
            .and_then(|said| Ok((said, release(probe, uuid, before, mib, &mut holder)?)));
        // It may have ended by itself.
        let _ = holder.kill();
        holder.wait()?;
        match outcome {
            Ok((said, line)) => println!("  {said}: {line}"),
            Err(error) => {
                println!("  NOT measured, how fast memory comes back: {error:#}");
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A process that holds that much on the device: CUDA counts the devices that it may see from 0, so it may see this one only.
fn start(uuid: &DeviceUuid, mib: u64) -> Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["hold", &mib.to_string()])
        .env("CUDA_VISIBLE_DEVICES", &uuid.0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting a process that holds memory")
}

/// Waits until the process has what it shall hold. What it says then.
fn held(holder: &mut Child) -> Result<String> {
    let stdout = holder.stdout.take().context("it has an output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    if line.starts_with(HELD) {
        return Ok(line.trim_end().to_owned());
    }
    let mut why = String::new();
    if let Some(stderr) = holder.stderr.take() {
        BufReader::new(stderr).read_line(&mut why)?;
    }
    anyhow::bail!("{}", why.trim_start_matches("Error: ").trim_end())
}

/// Kills the process, and tells how long its memory was counted and how what it held was shown.
fn release(
    probe: &NvmlProbe,
    uuid: &DeviceUuid,
    before: ByteSize,
    mib: u64,
    holder: &mut Child,
) -> Result<String> {
    let reading = probe.reading(uuid);
    let fell = before.as_bytes().saturating_sub(reading.free.as_bytes());
    // What never seemed taken would seem to come back at once.
    anyhow::ensure!(
        fell >= ByteSize::mib(mib).as_bytes() / 2,
        "with {} taken, free fell by {} only",
        ByteSize::mib(mib),
        ByteSize::bytes(fell)
    );
    let listed = match &reading.holders {
        Holders::Known(holders) => holders
            .iter()
            .find(|known| known.pid == holder.id())
            .map_or("it is not listed".to_owned(), |known| {
                format!("it is listed with {}", known.used)
            }),
        Holders::Unknown(why) => why.clone(),
    };
    let killed_at = Instant::now();
    holder.kill()?;
    holder.wait()?;
    let ended_after = killed_at.elapsed();
    let enough = before.as_bytes().saturating_sub(CLOSE.as_bytes());
    while probe.memory(uuid)?.free.as_bytes() < enough {
        anyhow::ensure!(
            killed_at.elapsed() < PATIENCE,
            "{} s after it was killed its memory was not free",
            PATIENCE.as_secs()
        );
        sleep(Duration::from_millis(1));
    }
    let free_after = killed_at.elapsed();
    Ok(format!(
        "free fell by {}, {listed}; killed, it had ended after {ended_after:.1?} and its memory was free after {free_after:.1?}",
        ByteSize::bytes(fell)
    ))
}
