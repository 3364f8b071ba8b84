//! The systemd units that we ship, on machines with systemd, set up by the commands of docs/operations.md. `cargo xtask units-test`
//! makes the image and runs this.

#![expect(clippy::print_stdout, reason = "it tells what it does")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use shared::api::FilmView;
use shared::job::JobKind;
use support::api::Api;
use support::request::{longer, small};

mod host;
mod page;

use self::host::Host;
use self::page::Steps;

/// What one film may take, on a busy machine, with its services killed on the way.
const FILM_LIMIT: Duration = Duration::from_secs(150);
const SERVICES: [&str; 3] = [
    "callsheet-coordinator",
    "callsheet-llm-worker@1",
    "callsheet-video-worker@1",
];
const SECRETS: &str = "/etc/callsheet/secrets";
const SETTINGS: &str = "/etc/callsheet/callsheet.toml";
/// What a further host is given.
const OF_A_WORKER: [&str; 2] = ["broker-url-worker", "token-worker"];
/// What systemd finds to complain of in how a service is closed, of 10.0 at most.
const EXPOSURE_MAX: f64 = 2.0;

/// Sets two machines up by the page, makes films, kills each service meanwhile, boots the first one anew, and takes both down.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask units-test")]
struct Arguments {
    /// The image of a machine with systemd
    #[arg(long)]
    image: String,
    /// The program
    #[arg(long)]
    program: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // Whoever interrupts it has the machines taken down, too.
    tokio::select! {
        told = story(&arguments) => told,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

async fn story(arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let first = Host::boot(&arguments.image, "studio-1").await?;
    let further = Host::boot(&arguments.image, "studio-2").await?;
    say("two machines are up", begun);
    let told = tell(&arguments.program, &first, &further).await;
    if told.is_err() {
        for host in [&first, &further] {
            println!("{}", host.journal().unwrap_or_default());
        }
    }
    told
}

async fn tell(program: &Path, first: &Host, further: &Host) -> Result<()> {
    let begun = Instant::now();
    let address = first.address()?;
    let steps = Steps::read(&address)?;
    install(first, program, &steps)?;
    first.run(&steps.broker)?;
    first.write(&steps.settings, SETTINGS)?;
    first.run(&steps.start)?;
    let token = first.run(&format!("cat {SECRETS}/token-operate"))?;
    let api = Api::new(format!("http://{address}:7420"), token.trim().to_owned());
    api.ready().await?;
    api.workers(2).await?;
    let told = first.run(&steps.ask)?;
    ensure!(told.contains("studio-1-video-worker-1"), "{told}");
    say("the first host is set up", begun);
    are_closed(first)?;
    is_well(first, SERVICES.len())?;

    let begun = Instant::now();
    let film = api.submit(&small(1)).await?;
    api.completed(film, FILM_LIMIT).await?;
    say("a film", begun);
    for service in SERVICES {
        is_killed(first, &api, service).await?;
    }

    let begun = Instant::now();
    install(further, program, &steps)?;
    // Text is all that goes between the two here.
    let packed = first.run(&format!("{} | base64", steps.pack.trim_end()))?;
    further.write(&packed, "/root/packed")?;
    further.run(&format!("base64 --decode packed | ({})", steps.unpack))?;
    let there = further.run(&format!("stat --format '%U %a %n' {SECRETS}/*"))?;
    let there: Vec<_> = there.lines().collect();
    let expected = OF_A_WORKER.map(|secret| format!("root 644 {SECRETS}/{secret}"));
    ensure!(there == expected, "{there:?}");
    further.write(&steps.further_settings, SETTINGS)?;
    further.run(&steps.further_start)?;
    api.workers(4).await?;
    say("another host has joined", begun);
    is_well(further, SERVICES.len() - 1)?;
    first.run("systemctl stop callsheet-video-worker@1")?;
    let begun = Instant::now();
    let film = api.submit(&small(2)).await?;
    let view = api.completed(film, FILM_LIMIT).await?;
    ensure!(
        painters(&view) == ["studio-2-video-worker-1"],
        "{:?}",
        painters(&view)
    );
    say("a film with clips of the other host", begun);

    let begun = Instant::now();
    let film = api.submit(&longer(3)).await?;
    api.begun(film).await?;
    first.boot_again().await?;
    ensure!(first.address()? == address, "it has another address now");
    api.completed(film, FILM_LIMIT).await?;
    api.workers(4).await?;
    say(
        "a film while the first host lost its power and came back",
        begun,
    );

    let begun = Instant::now();
    stops(further, &SERVICES[1..])?;
    stops(first, &SERVICES)?;
    say("all services are stopped", begun);
    for host in [first, further] {
        shows_no_secret(host)?;
    }
    Ok(())
}

fn install(host: &Host, program: &Path, steps: &Steps) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    host.put(&root.join("deploy"), "/root/deploy")?;
    host.put(program, "/root/target/release/callsheet")?;
    host.run(&steps.install)?;
    // It complains of what it does not know, and of programs that are not there.
    let complaints =
        host.run("systemd-analyze verify /etc/systemd/system/callsheet-*.service 2>&1")?;
    ensure!(complaints.trim().is_empty(), "{complaints}");
    Ok(())
}

/// Services are no root's, and closed.
fn are_closed(host: &Host) -> Result<()> {
    for service in SERVICES {
        let who = host.run(&format!(
            "stat --format %U /proc/$(systemctl show --property MainPID --value {service})"
        ))?;
        ensure!(who.trim() == "callsheet", "{service} is {who}");
        let exposure = host.run(&format!(
            "systemd-analyze security --no-pager {service} | tail --lines 1 | sed 's/.*service: //'"
        ))?;
        let number: f64 = exposure
            .split_whitespace()
            .next()
            .and_then(|number| number.parse().ok())
            .with_context(|| exposure.clone())?;
        ensure!(number <= EXPOSURE_MAX, "{service}: {exposure}");
        println!("{service}: exposure {number}");
    }
    Ok(())
}

/// The doctor finds nothing with the eyes of so many services, and leaves nothing that keeps one out.
fn is_well(host: &Host, count: usize) -> Result<()> {
    let told = host.run("callsheet-doctor 2>&1")?;
    ensure!(!told.contains("!!"), "{told}");
    let services = SERVICES.iter().filter(|it| told.contains(**it)).count();
    ensure!(services == count, "of {services} services: {told}");
    let by_root = "callsheet doctor --config /etc/callsheet/callsheet.toml || true";
    host.run(by_root)?;
    let left = host.run("find /srv/callsheet /var/lib/callsheet -mindepth 1 ! -user callsheet")?;
    ensure!(left.trim().is_empty(), "not of the services' user: {left}");
    Ok(())
}

/// A service that is killed while it works is started again by systemd, and its film is made.
async fn is_killed(host: &Host, api: &Api, service: &str) -> Result<()> {
    let begun = Instant::now();
    let film = api.submit(&longer(10)).await?;
    api.begun(film).await?;
    host.run(&format!("systemctl kill --signal KILL {service}"))?;
    api.completed(film, FILM_LIMIT).await?;
    let restarts = host.run(&format!("systemctl show --property NRestarts {service}"))?;
    ensure!(restarts.trim() == "NRestarts=1", "{service}: {restarts}");
    say(&format!("a film whose {service} was killed"), begun);
    Ok(())
}

fn stops(host: &Host, services: &[&str]) -> Result<()> {
    let all = services.join(" ");
    host.run(&format!("systemctl stop {all}"))?;
    for service in services {
        let how = host.run(&format!(
            "systemctl show --property ActiveState,Result {service}"
        ))?;
        let is_well = how.contains("ActiveState=inactive") && how.contains("Result=success");
        ensure!(is_well, "{service}: {how}");
    }
    Ok(())
}

/// Nothing of what the secrets hold was logged.
fn shows_no_secret(host: &Host) -> Result<()> {
    let journal = host.journal()?;
    ensure!(journal.contains("connected to the broker"), "it was read");
    let secrets = host.run(&format!(
        "cd {SECRETS} && for it in token-* broker-password-*; do [ ! -f $it ] || cat $it; echo; done"
    ))?;
    let urls = host.run(&format!("cat {SECRETS}/broker-url-*"))?;
    let passwords = urls.lines().filter_map(|url| {
        let (credentials, _) = url.split_once("://")?.1.split_once('@')?;
        Some(credentials.split_once(':')?.1)
    });
    let mut count = 0;
    for secret in secrets.lines().chain(passwords).filter(|it| !it.is_empty()) {
        ensure!(!journal.contains(secret), "a secret was logged");
        count += 1;
    }
    ensure!(count >= OF_A_WORKER.len(), "secrets were looked for");
    Ok(())
}

/// Who has made the clips.
fn painters(view: &FilmView) -> Vec<String> {
    let clips = view.jobs.iter().filter(|job| job.kind == JobKind::Scene);
    let mut by: Vec<_> = clips
        .filter_map(|job| job.worker.as_ref().map(ToString::to_string))
        .collect();
    by.sort();
    by.dedup();
    by
}

fn say(what: &str, since: Instant) {
    println!("{what}: {:.1} s", since.elapsed().as_secs_f64());
}
