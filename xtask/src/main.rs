//! `cargo xtask TASK`: what a newcomer, a developer and the continuous integration type.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of the command line speaks to its user"
)]

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

mod cold_build;
mod compose_test;
mod conformance;
mod platform;
mod pypi;
mod rabbitmq4;
mod units;

const HELP: &str = "\
Usage: cargo xtask TASK

  demo \"PREMISE\" [ARGS]   make a film: installs ffmpeg if it is missing, builds, runs `callsheet film`;
                          ARGS go there, as --scenes 4 --size 1280x720 --out storm.mp4 (demo.mp4 if absent)
  cold-build [PREMISE ARGS]
                          the demo in a fresh clone of HEAD with nothing built before, and how long it takes
  test [ARGS]             run all tests, with a real RabbitMQ, llama.cpp's real server and a real S3 server; installs what they
                          need; ARGS go to `cargo test`
  test-rabbitmq4 [ARGS]   the tests with a broker on RabbitMQ 4 out of Debian 13's packages, in a folder that debootstrap makes (300 MB)
  check                   format, clippy, documentation, licences and advisories of dependencies
  bench [ARGS]            measure; ARGS go to the benchmark, `cargo xtask bench --help` lists them
  gpu-check [ARGS]        look at the cards of this host as a worker does, and measure what that costs;
                          `cargo xtask gpu-check --help` lists ARGS
  gate-race [ARGS]        worker processes race for one simulated card and are killed meanwhile: with the gate, and with
                          a naive one; `cargo xtask gate-race --help` lists ARGS
  compose-test [ARGS]     docker-compose.yml on this machine's Docker engine: builds the image, makes films with each profile, kills
                          each service meanwhile, and takes everything down; `--only cards` tells one story of three
  units-test              the systemd units on two machines with systemd (containers), set up as docs/operations.md says
  conformance llm [KIND URL MODEL [KEY-FILE]]
                          hold the story worker against a real language model server: llama.cpp's, as in the tests, or
                          your own of the KIND openai, ollama or gemini
  conformance comfyui URL hold the video worker's client against a ComfyUI server of yours; it needs no models, takes a
                          minute, and leaves some small files in the server's output folder
  docs                    write the generated parts of docs/ anew: schemas, AsyncAPI, OpenAPI, metrics, keys of workflows

Missing programs are installed with apt on Debian and Ubuntu, and named elsewhere.";

/// Why a task ended early.
enum Failure {
    /// With something to say.
    Said(String),
    /// A program that we started failed and has said why.
    Exit(u8),
}

type Outcome = Result<(), Failure>;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let task = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    let outcome = match task.to_str() {
        Some("demo") => demo(rest),
        Some("test") => test(&rest),
        Some("test-rabbitmq4") => rabbitmq4::rabbitmq4(rest),
        Some("cold-build") => cold_build::cold_build(rest),
        Some("check") => check(),
        Some("bench") => bench(rest),
        Some("gpu-check") => gpu_check(rest),
        Some("gate-race") => gate_race(rest),
        Some("compose-test") => compose_test::compose_test(&rest),
        Some("units-test") => units::units_test(),
        Some("conformance") => conformance::conformance(&rest),
        Some("docs") => docs(),
        Some("help" | "-h" | "--help") => {
            println!("{HELP}");
            Ok(())
        }
        _ => Err(Failure::Said(HELP.to_owned())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Said(message)) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
        Err(Failure::Exit(code)) => ExitCode::from(code),
    }
}

/// Builds the program as it is shipped, which is what is tested, and who tests it.
fn build_what_is_shipped() -> Outcome {
    run(&mut cargo(
        "build --release --locked --package callsheet --features programs",
    ))?;
    run(&mut cargo("build --workspace --exclude xtask --bins"))
}

/// Where paths begin that tasks name.
fn enter_root() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::set_current_dir(root).map_err(|error| Failure::Said(error.to_string()))
}

fn demo(arguments: Vec<OsString>) -> Outcome {
    let is_premise = |text: &OsString| !text.to_string_lossy().starts_with('-');
    if !arguments.first().is_some_and(is_premise) {
        let usage = "say what the film is about: cargo xtask demo \"A lighthouse keeper befriends a storm\"";
        return Err(Failure::Said(usage.to_owned()));
    }
    platform::need(&[platform::FFMPEG])?;
    run(&mut cargo("build --release --package callsheet"))?;
    let mut film = cargo("run --release --quiet --package callsheet -- film");
    let says_where = |text: &OsString| {
        let text = text.to_string_lossy();
        text == "--out" || text.starts_with("--out=")
    };
    if !arguments.iter().any(says_where) {
        film.args(["--out", "demo.mp4"]);
    }
    platform::hand_over(film.args(arguments))
}

fn test(arguments: &[OsString]) -> Outcome {
    test_on(None, arguments)
}

/// All tests, or those that `arguments` choose, with the RabbitMQ that is installed, or with one that `enter` brings along.
fn test_on(enter: Option<&Path>, arguments: &[OsString]) -> Outcome {
    platform::need(&[
        platform::FFMPEG,
        platform::RABBITMQ,
        platform::OPENSSL,
        platform::SQLITE,
        platform::PIKA,
        platform::PROMETHEUS,
        platform::IPROUTE2,
    ])?;
    let (llama, moto) = (pypi::LLAMA.python()?, pypi::MOTO.python()?);
    // The stories start the programs, which `cargo test` alone would not build.
    run(&mut cargo("build --workspace --exclude xtask --bins"))?;
    let mut tests = cargo("test --workspace --no-fail-fast");
    run(tests
        .args(arguments)
        .envs(enter.map(|enter| ("CALLSHEET_TEST_RABBITMQ", enter)))
        .env("CALLSHEET_TEST_LLAMA_PYTHON", llama)
        .env("CALLSHEET_TEST_MOTO_PYTHON", moto))
}

fn check() -> Outcome {
    run(&mut cargo("fmt --all --check"))?;
    run(&mut cargo(
        "clippy --workspace --all-targets -- -D warnings",
    ))?;
    run(cargo("doc --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings"))?;
    if platform::runs("cargo", &["deny", "--version"]) {
        deny(|words| run(&mut cargo(words)))
    } else {
        println!(
            "NOT checked: licences and advisories of dependencies, as cargo-deny is not installed \
             (`cargo install --locked cargo-deny`)"
        );
        Ok(())
    }
}

/// Advisories come over the network, and what was right yesterday is not wrong because it is down today.
fn deny(mut run: impl FnMut(&'static str) -> Outcome) -> Outcome {
    run("deny check bans licenses sources")?;
    if run("deny fetch").is_err() {
        println!("NOT checked: advisories about dependencies, as their database cannot be fetched");
        return Ok(());
    }
    run("deny check --disable-fetch advisories")
}

fn bench(arguments: Vec<OsString>) -> Outcome {
    platform::need(&[platform::FFMPEG, platform::RABBITMQ])?;
    run(&mut cargo(
        "build --release --workspace --exclude xtask --bins",
    ))?;
    let mut bench = cargo("run --release --quiet --package callsheet-tests --bin bench --");
    platform::hand_over(bench.args(arguments))
}

fn gpu_check(arguments: Vec<OsString>) -> Outcome {
    let mut check = cargo("run --release --quiet --package gpu-check --");
    platform::hand_over(check.args(arguments))
}

fn gate_race(arguments: Vec<OsString>) -> Outcome {
    let mut race = cargo("run --release --quiet --package gate-race --");
    platform::hand_over(race.args(arguments))
}

fn docs() -> Outcome {
    let mut writers =
        cargo("test --quiet --package shared --package coordinator --package video-worker");
    run(writers
        .args([
            "--test",
            "schemas",
            "--test",
            "metrics",
            "--test",
            "openapi",
            "--test",
            "workflows",
        ])
        .env("UPDATE_DOCS", "1"))
}

/// A call of cargo. Words are separated by spaces: what comes from outside is added as arguments of their own.
fn cargo(words: &'static str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // `cargo run` tells us about this package. Cargo started from here must not see it: build scripts that look at such
    // variables would run again, and all that stands on them, whenever cargo is called without us.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command.args(words.split(' '));
    command
}

/// Shows a command, runs it, and fails as it fails.
fn run(command: &mut Command) -> Outcome {
    eprintln!("$ {}", shown(command));
    let status = command
        .status()
        .map_err(|error| Failure::Said(format!("cannot run {}: {error}", shown(command))))?;
    match status.code() {
        Some(0) => Ok(()),
        code => Err(Failure::Exit(
            code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
        )),
    }
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name();
    let words = program.into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Failure, deny};

    #[test]
    fn no_network_is_no_failure_but_a_bad_dependency_is() {
        let outcome = |failing: &str| {
            let mut tried = Vec::new();
            let passes = deny(|words| {
                tried.push(words);
                match words.contains(failing) {
                    true => Err(Failure::Exit(1)),
                    false => Ok(()),
                }
            });
            (passes.is_ok(), tried.len())
        };
        assert_eq!(outcome("nothing"), (true, 3));
        assert_eq!(outcome("fetch"), (true, 2));
        assert_eq!(outcome("licenses"), (false, 1));
        assert_eq!(outcome("check --disable-fetch advisories"), (false, 3));
    }

    const MANIFEST: &str = include_str!("../../Cargo.toml");
    const REASONS: &str = include_str!("../../docs/design/dependencies.md");

    #[test]
    fn every_dependency_stands_with_its_reason_in_the_documentation() {
        let dependencies: BTreeSet<&str> = MANIFEST
            .lines()
            .skip_while(|line| *line != "[workspace.dependencies]")
            .skip(1)
            .take_while(|line| !line.starts_with('['))
            .filter(|line| !line.contains("path ="))
            .filter_map(|line| Some(line.split_once(" = ")?.0))
            .collect();
        let explained: BTreeSet<&str> = REASONS
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split(" |").next())
            .flat_map(|cell| cell.split(", "))
            .map(|name| name.trim_matches('`'))
            .collect();
        assert_eq!(dependencies, explained);
    }
}
