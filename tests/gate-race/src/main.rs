//! `gate-race`: both strategies, a line of figures for each, and whether the gate holds what it promises.
#![expect(
    clippy::print_stdout,
    reason = "a program of the command line speaks to its user"
)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use gate_race::figures::missed;
use gate_race::plan::{Plan, Strategy};
use gate_race::{race, worker};

/// Worker processes race for one simulated card of 24 GiB, and are killed meanwhile: with the gate, and with a naive one
#[derive(Debug, Parser)]
struct Arguments {
    /// How long each of the two races takes
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How many workers
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(3..=64))]
    workers: u32,
    /// What jobs and kills are drawn from
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// One worker of a race.
    #[command(hide = true)]
    Worker { orders: String },
    /// One simulated backend.
    #[command(hide = true)]
    Backend { settings: String },
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    match &arguments.part {
        Some(Part::Worker { orders }) => worker::work(orders).map(|()| ExitCode::SUCCESS),
        Some(Part::Backend { settings }) => {
            simulated_gpu::serve(settings)?;
            Ok(ExitCode::SUCCESS)
        }
        None => both(&arguments),
    }
}

fn both(arguments: &Arguments) -> Result<ExitCode> {
    let program = std::env::current_exe()?;
    let plan = Plan::new(arguments.workers, arguments.seconds, arguments.seed);
    println!("{plan}");
    let gate = race::run(&program, &plan, Strategy::Gate)?;
    println!("gate:  {gate}");
    let naive = race::run(&program, &plan, Strategy::Naive)?;
    println!("naive: {naive}");
    let missed = missed(&plan, &gate, &naive);
    Ok(match missed.is_empty() {
        true => {
            println!("the gate holds");
            ExitCode::SUCCESS
        }
        false => {
            println!("MISSED: {}", missed.join("; "));
            ExitCode::FAILURE
        }
    })
}
