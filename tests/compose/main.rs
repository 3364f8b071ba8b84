//! The compose file that we ship, on a real Docker engine. `cargo xtask compose-test` makes the images and runs this.

#![expect(clippy::print_stdout, reason = "it tells what it does")]

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser as _;

mod builtins;
mod cards;
mod observers;
mod over_tls;
mod parts;
mod project;
mod reservation;
mod secrets;
mod studio;
mod tls;

use self::parts::{Parts, Story};
use self::project::Project;
use self::secrets::Secrets;

/// What one film may take, on a busy machine, with its broker killed on the way.
const FILM_LIMIT: Duration = Duration::from_secs(150);

const BROKER: &str = "rabbitmq";
const COORDINATOR: &str = "coordinator";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let parts = Parts::parse();
    let is_told = |story| parts.only.is_none_or(|only| only == story);
    if is_told(Story::Builtins) {
        builtins::story(&parts).await?;
    }
    if is_told(Story::Tls) {
        over_tls::story(&parts).await?;
    }
    if is_told(Story::Cards) {
        cards::story(&parts).await?;
    }
    Ok(())
}

/// Takes everything down after what was told, and shows what its programs said if that has failed.
async fn in_the_end_nothing_is_left(
    project: &Project,
    told: impl Future<Output = Result<()>>,
) -> Result<()> {
    let told = told.await;
    if told.is_err() {
        println!("{}", project.logs().unwrap_or_default());
    }
    let down = project.down();
    told?;
    down?;
    let left = project.left_over()?;
    ensure!(left.is_empty(), "this was left behind: {left}");
    println!("nothing is left behind");
    Ok(())
}

/// No program of these services is root, or may write where it has no business to.
fn who_runs_there(project: &Project, services: &[&str]) -> Result<()> {
    for service in services {
        ensure!(
            project.exec(service, "id -u")?.trim() == "10001",
            "{service} is somebody else"
        );
        ensure!(
            project
                .exec(service, "touch /usr/local/bin/x 2>&1 || echo refused")?
                .contains("refused"),
            "{service} can write into its image"
        );
    }
    println!("no program is root, none can write into its image");
    Ok(())
}

/// No secret stands in what the programs have printed.
fn no_secret_is_shown(project: &Project, secrets: &Secrets) -> Result<()> {
    let shown = secrets.shown_in(&project.logs()?)?;
    ensure!(shown.is_empty(), "the logs show {shown:?}");
    Ok(())
}

/// The doctor finds nothing with the eyes of these services, called as docs/operations.md says.
fn all_is_well(project: &Project, services: &[&str]) -> Result<()> {
    for service in services {
        let role = if *service == COORDINATOR {
            COORDINATOR
        } else {
            "worker"
        };
        let doctor = format!(
            "callsheet doctor --config /etc/callsheet/callsheet.toml --role {role} || true"
        );
        let told = project.exec(service, &doctor)?;
        let is_well = told.contains("ok  broker permissions") && !told.contains("!!");
        ensure!(is_well, "{service}: {told}");
    }
    println!("the doctor finds nothing");
    Ok(())
}

/// The coordinator's container has the command, which finds its coordinator by itself.
fn command_of_the_image_works(project: &Project) -> Result<()> {
    let workers = "CALLSHEET_TOKEN_FILE=/run/secrets/token-operate callsheet workers";
    let told = project.exec(COORDINATOR, workers)?;
    ensure!(told.contains("studio-1-video-worker"), "{told}");
    Ok(())
}

fn say(what: &str, since: Instant) {
    println!("{what}: {:.1} s", since.elapsed().as_secs_f64());
}
