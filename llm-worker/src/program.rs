//! The story worker as a program of its own. `callsheet` becomes it, too, when it is called by its name.

use std::process::ExitCode;

use clap::Parser;
use shared::program::Program;
use worker_runtime::program::{WorkerArguments, WorkerParts};

use crate as llm_worker;
use crate::Settings;

/// Writes the stories of films: takes story jobs from RabbitMQ and reports back over it.
///
/// Profiles: `outline`, a story by rule, with no model and no GPU; and one for each model in the settings. Told to stop
/// (Ctrl-C, SIGTERM), it takes nothing new, finishes or hands back what it has, and ends.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER)]
struct Arguments {
    #[command(flatten)]
    worker: WorkerArguments,
    /// Take stories without asking first whether the model's server is there and has the model
    #[arg(long)]
    skip_llm_health_check: bool,
}

const AFTER: &str = "Example:
  CALLSHEET__BROKER__URL=amqp://callsheet:secret@rabbit:5672/%2f llm-worker --name writer-1 --data-dir /var/lib/writer-1";

const PROGRAM: Program = Program {
    name: "llm-worker",
    default_settings: llm_worker::DEFAULT_SETTINGS,
};

/// Runs it with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let skip_health_check = arguments.skip_llm_health_check;
    arguments.worker.run(PROGRAM, |mut settings: Settings| {
        settings.llm.skip_health_check |= skip_health_check;
        WorkerParts {
            backends: llm_worker::backends(&settings.llm),
            broker: settings.broker,
            artifacts: settings.artifacts,
            log: settings.log,
            telemetry: settings.telemetry,
            worker: settings.worker.on(settings.gpu),
        }
    })
}
