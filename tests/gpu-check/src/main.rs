//! Looks at the cards of this host as a worker does, and measures what that costs and whether the figures fit together. Takes
//! nothing from anybody: the one allocation that it makes lives for a moment, in a process of its own.
#![expect(
    clippy::print_stdout,
    reason = "a program of the command line speaks to its user"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::{Parser, Subcommand};
use nvml_wrapper::Nvml;
use worker_runtime::gpu::probe::nvml::{NvmlOptions, NvmlProbe};
use worker_runtime::gpu::probe::{FoundDevice, GpuProbe};

mod admission;
mod allocation;
mod costs;
mod cuda;
mod figures;

/// Looks at the cards of this host as a worker does, and measures what that costs.
#[derive(Debug, Parser)]
struct Arguments {
    /// NVIDIA's management library, in place of the system's own
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// How often each reading is measured; the median is shown
    #[arg(long, value_name = "N", default_value_t = 101, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// How much to allocate on each card for a moment, in MiB; 0 allocates nothing
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    hold_mib: u64,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Allocates that many MiB on the first card that CUDA sees, says so, and holds them until it is killed.
    #[command(hide = true)]
    Hold { mib: u64 },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Hold { mib }) => cuda::hold(mib),
        None => check(&arguments),
    }
}

fn check(arguments: &Arguments) -> Result<()> {
    let probe = Arc::new(NvmlProbe::new(NvmlOptions {
        library: arguments.library.clone(),
        ..NvmlOptions::default()
    }));
    let devices = match probe.devices() {
        Ok(devices) => devices,
        // A host like any other: it runs what needs no card.
        Err(fault) if fault.is_no_driver() => {
            println!("{fault}");
            return Ok(());
        }
        Err(fault) => return Err(fault.into()),
    };
    let driver = probe.driver_version();
    let driver = driver.unwrap_or_else(|fault| format!("of unknown version: {fault}"));
    println!("driver {driver}, devices: {}", devices.len());
    costs::of_host(arguments.times);
    let nvml = open(arguments.library.as_deref())?;
    for device in &devices {
        let FoundDevice { uuid, name } = device;
        println!("\n{name}, {uuid}");
        costs::of_device(&probe, &nvml, uuid, arguments.times);
        figures::compare(&probe, uuid);
        admission::measure(&probe, uuid, arguments.times)?;
        if arguments.hold_mib > 0 {
            allocation::measure(&probe, uuid, arguments.hold_mib)?;
        }
    }
    Ok(())
}

/// The library itself, to measure calls one by one.
fn open(library: Option<&Path>) -> Result<Nvml> {
    let mut builder = Nvml::builder();
    if let Some(library) = library {
        builder.lib_path(library.as_os_str());
    }
    Ok(builder.init()?)
}
