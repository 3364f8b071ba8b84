//! The command people type: arguments, settings, log, exit code; each command is a file under `commands`.

mod again;
mod all_in_one;
mod cli;
mod client;
mod comfyui;
mod commands;
mod doctor;
mod error;
mod film_args;
mod follow;
mod names;
mod report;
mod save;
mod secrets;
mod settings;
mod sse;
mod table;
mod term;

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use indicatif::MultiProgress;
use shared::telemetry;
use shared::trace::TraceContext;

use crate::again::Again;
use crate::cli::{Alone, Asked, Cli, Command};
use crate::error::CommandError;
use crate::settings::{Settings, Unusable};

/// The name that this was called by. The image has one file with four names, as each of the others would bring most of the
/// same code along.
fn name() -> Option<String> {
    let called = std::env::args_os().next()?;
    Path::new(&called).file_stem()?.to_str().map(str::to_owned)
}

fn main() -> ExitCode {
    match name().as_deref() {
        Some("coordinator") => return coordinator::program::main(),
        Some("llm-worker") => return llm_worker::program::main(),
        Some("video-worker") => return video_worker::program::main(),
        _ => {}
    }
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            term::complain(&format!("callsheet: {}", error.message()));
            ExitCode::from(error.code())
        }
    }
}

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// The settings, flags included.
    pub(crate) settings: Settings,
    /// The terminal, if progress bars can be drawn on it; the log shares it with them.
    pub(crate) screen: Option<MultiProgress>,
    /// Writes what to type next.
    pub(crate) again: Again,
    /// The settings file that was named.
    pub(crate) config: Option<PathBuf>,
    /// The trace that whoever calls us has begun: `TRACEPARENT`, as such callers pass it on.
    pub(crate) part_of: Option<TraceContext>,
    /// Why the settings could not be used, where a command goes on nevertheless.
    pub(crate) unusable: Option<Unusable>,
}

#[tokio::main]
async fn run(cli: Cli) -> Result<(), CommandError> {
    let program = std::env::args_os().next();
    let again = Again::new(program.as_deref().and_then(OsStr::to_str), &cli);
    let command = match cli.asked {
        Asked::Command(command) => command,
        Asked::Alone(Alone::Completions(completions)) => {
            completions.run();
            return Ok(());
        }
        Asked::Alone(Alone::Secrets(secrets)) => return secrets.run(),
        Asked::Alone(Alone::Probe(probe)) => return probe.run().await,
    };
    let mut overrides = command.overrides();
    // A file that a flag or the environment names goes first. No flag takes a token itself: others can read a command line.
    let names_file = overrides.iter().any(|(key, _)| *key == "client.token_file");
    if let (false, Ok(token)) = (names_file, std::env::var("CALLSHEET_TOKEN")) {
        overrides.push(("client.token", token));
    }
    match cli.verbose {
        0 => {}
        1 => overrides.push(("log.filter", "info".to_owned())),
        _ => overrides.push(("log.filter", "debug".to_owned())),
    }
    let (settings, unusable) = match *command {
        // That is what it is asked for: it tells of mistakes beside everything else.
        Command::Doctor(_) => Settings::load_whatever(cli.config.as_ref(), overrides)?,
        _ => (Settings::load(cli.config.as_ref(), overrides)?, None),
    };
    let is_terminal = io::stdout().is_terminal() && io::stderr().is_terminal();
    let screen = is_terminal.then(MultiProgress::new);
    let _guard = match screen.clone() {
        Some(screen) => telemetry::init_with(
            &settings.log,
            move || term::BesideBars::new(screen.clone()),
            true,
        )?,
        None => telemetry::init(&settings.log)?,
    };
    // The file of settings serves all programs: what it says of a collector is no mistake where this one cannot export.
    #[cfg(feature = "otlp")]
    let _guard = {
        let service = telemetry::Service::new("all-in-one", "callsheet", &settings.telemetry);
        _guard.exporting(&service, &settings.telemetry)?
    };
    let context = Context {
        settings,
        screen,
        again,
        config: cli.config,
        part_of: std::env::var("TRACEPARENT")
            .ok()
            .and_then(|text| text.parse().ok()),
        unusable,
    };
    match *command {
        Command::Film(film) => film.run(context).await,
        Command::Up(up) => up.run(context).await,
        Command::Submit(submit) => submit.run(&context).await,
        Command::List(list) => list.run(&context).await,
        Command::Show(show) => show.run(&context).await,
        Command::Explain(explain) => explain.run(&context).await,
        Command::Watch(watch) => watch.run(&context).await,
        Command::Cancel(cancel) => cancel.run(&context).await,
        Command::Retry(retry) => retry.run(&context).await,
        Command::Workers(workers) => workers.run(&context).await,
        Command::Pause(pause) => pause.run(&context).await,
        Command::Resume(resume) => resume.run(&context).await,
        Command::Workflows(workflows) => workflows.run(&context).await,
        Command::Doctor(doctor) => doctor.run(&context).await,
    }
}
