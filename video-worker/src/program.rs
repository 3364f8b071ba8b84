//! The video worker as a program of its own. `callsheet` becomes it, too, when it is called by its name.

use std::process::ExitCode;

use clap::Parser;
use shared::program::Program;
use worker_runtime::program::{WorkerArguments, WorkerParts};

use crate as video_worker;
use crate::Settings;

/// Makes the keyframes, clips and films: takes their jobs from RabbitMQ and reports back over it.
///
/// Profiles: `storyboard` and `animatic`, drawn and encoded with no model and no GPU, and `ffmpeg`, which joins the clips.
/// ffmpeg must be installed. Told to stop (Ctrl-C, SIGTERM), it takes nothing new,
/// finishes or hands back what it has, and ends.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER)]
struct Arguments {
    #[command(flatten)]
    worker: WorkerArguments,
}

const AFTER: &str = "Example:
  CALLSHEET__BROKER__URL=amqp://callsheet:secret@rabbit:5672/%2f video-worker --name camera-1 --data-dir /var/lib/camera-1";

const PROGRAM: Program = Program {
    name: "video-worker",
    default_settings: video_worker::DEFAULT_SETTINGS,
};

/// Runs it with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.worker.run(PROGRAM, |settings: Settings| {
        let backends = video_worker::backends(&settings.video());
        WorkerParts {
            broker: settings.broker,
            artifacts: settings.artifacts,
            log: settings.log,
            telemetry: settings.telemetry,
            worker: settings.worker.on(settings.gpu),
            backends,
        }
    })
}
