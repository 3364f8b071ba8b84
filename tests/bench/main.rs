//! The figures of the README, measured. `cargo xtask bench` builds everything in release and runs this.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod artifacts;
mod comfyui;
mod film;
mod floor;
mod idle;
mod queue;
mod statistics;

use self::statistics::Verdicts;

/// Measures Callsheet on this machine. Every figure stands beside the one it must reach; exits with 1
/// if one is missed.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// Films of one job through coordinator and worker, beside a raw publisher and consumer on the same broker.
    Queue {
        /// Films (and floor messages) in a round.
        #[arg(long, default_value_t = 3_000)]
        films: u32,
        /// Rounds, floor and films in turn; medians are told.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
    /// A film of 6 scenes of 4 s with the built-ins: wall time, time to the first job, peak memory.
    Film {
        /// Films made one after the other; medians are told.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
    /// A large file to a coordinator over HTTP and back, beside curl.
    Artifacts {
        /// How large, in MiB.
        #[arg(long, default_value_t = 1_024)]
        mebibytes: u32,
        /// Rounds; medians are told.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
    /// A render on a double of ComfyUI, by the workers and by a bare client; the check of a clip.
    Comfyui {
        /// How long the render takes, in seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// What an idle coordinator and an idle worker use.
    Idle {
        /// How long they are watched, in seconds.
        #[arg(long, default_value_t = 20)]
        seconds: u32,
    },
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<ExitCode> {
    let all = [
        What::Film { rounds: 3 },
        What::Idle { seconds: 20 },
        What::Artifacts {
            mebibytes: 1_024,
            rounds: 3,
        },
        What::Comfyui { seconds: 60 },
        What::Queue {
            films: 3_000,
            rounds: 3,
        },
    ];
    let chosen = Arguments::parse()
        .what
        .map_or(all.to_vec(), |what| vec![what]);
    let mut verdicts = Verdicts::default();
    for what in chosen {
        match what {
            What::Queue { films, rounds } => queue::measure(films, rounds, &mut verdicts).await?,
            What::Film { rounds } => film::measure(rounds, &mut verdicts)?,
            What::Artifacts { mebibytes, rounds } => {
                artifacts::measure(mebibytes, rounds, &mut verdicts).await?;
            }
            What::Idle { seconds } => idle::measure(seconds, &mut verdicts).await?,
            What::Comfyui { seconds } => comfyui::measure(seconds, &mut verdicts).await?,
        }
    }
    match verdicts.missed() {
        0 => Ok(ExitCode::SUCCESS),
        missed => {
            println!("\n{missed} figures missed their limit");
            Ok(ExitCode::FAILURE)
        }
    }
}
