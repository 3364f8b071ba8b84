//! The compose file that we ship, on a real Docker engine. `cargo xtask compose-test` makes the images and runs this.

#![expect(clippy::print_stdout, reason = "it tells what it does")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use shared::film::FilmRequest;
use shared::ids::FilmId;
use support::api::Api;
use support::submitter::Submitter;
use tokio::time::sleep;

mod project;
mod secrets;
mod tls;

use self::project::Project;
use self::secrets::Secrets;
use self::tls::Tls;

/// What one film may take, on a busy machine, with its broker killed on the way.
const FILM_LIMIT: Duration = Duration::from_secs(150);
/// How long a killed service stays away.
const AWAY: Duration = Duration::from_secs(1);
/// Films under way while the workers become more.
const LOAD: u32 = 4;
/// Workers that make pictures, then.
const MANY: usize = 4;

const BROKER: &str = "rabbitmq";
const COORDINATOR: &str = "coordinator";
const WRITER: &str = "llm-worker-builtins";
const PAINTER: &str = "video-worker-builtins";
/// Lists who is connected there, and whether by TLS.
const CONNECTIONS: &str = "rabbitmqctl --quiet --no-table-headers list_connections user ssl";
const SERVICES: [&str; 4] = [BROKER, COORDINATOR, WRITER, PAINTER];

/// Brings the profile `builtins` up, makes films, kills each service meanwhile, and takes everything down; then once more with TLS.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask compose-test")]
struct Arguments {
    /// The image with the programs
    #[arg(long)]
    image: String,
    /// The image with RabbitMQ
    #[arg(long)]
    rabbitmq: String,
    /// The command that reads compose files, as `docker compose`
    #[arg(long, default_value = "docker-compose")]
    compose: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let image = &arguments.image;
    let secrets = Secrets::make(image, None)?;
    let project = arguments.project(&secrets, None)?;
    in_the_end_nothing_is_left(&project, tell(&project, &secrets)).await?;

    let secrets = Secrets::make(image, Some("amqps://rabbitmq:5671"))?;
    let tls = Tls::make()?;
    let project = arguments.project(&secrets, Some(&tls))?;
    in_the_end_nothing_is_left(&project, with_tls(&project, &secrets, &tls)).await
}

impl Arguments {
    fn project(&self, secrets: &Secrets, tls: Option<&Tls>) -> Result<Project> {
        Project::new(&self.compose, &self.image, &self.rabbitmq, secrets, tls)
    }
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

async fn tell(project: &Project, secrets: &Secrets) -> Result<()> {
    let begun = Instant::now();
    project.up(&[])?;
    let base = format!("http://127.0.0.1:{}", project.http_port());
    let api = Api::new(base, secrets.token("token-operate")?);
    api.ready().await?;
    say("up and ready", begun);

    let begun = Instant::now();
    let film = api.submit(&small(1)).await?;
    api.completed(film, FILM_LIMIT).await?;
    say("a film over HTTP", begun);

    let begun = Instant::now();
    let film = over_amqp(project, secrets).await?;
    api.completed(film, FILM_LIMIT).await?;
    say("a film over AMQP, by the submitter's user", begun);

    who_runs_there(project)?;
    for service in SERVICES {
        killed(project, &api, service).await?;
    }
    crashed(project, &api).await?;
    more_workers(project, &api).await?;

    let logs = project.logs()?;
    let shown = secrets.shown_in(&logs)?;
    ensure!(shown.is_empty(), "the logs show {shown:?}");
    Ok(())
}

/// The same installation, whose programs speak to each other over TLS alone.
async fn with_tls(project: &Project, secrets: &Secrets, tls: &Tls) -> Result<()> {
    let begun = Instant::now();
    project.up(&[])?;
    let base = format!("https://localhost:{}", project.http_port());
    let api = Api::trusting(&tls.authority()?, base, secrets.token("token-operate")?)?;
    api.ready().await?;
    let film = api.submit(&small(1)).await?;
    api.completed(film, FILM_LIMIT).await?;
    say("up, ready and a film, over HTTPS and AMQPS", begun);
    let connections = project.exec(BROKER, CONNECTIONS)?;
    let (own, plain): (Vec<_>, Vec<_>) = connections.lines().partition(|it| it.ends_with("true"));
    ensure!(
        own.len() >= 3 && plain.is_empty(),
        "not all speak TLS: {connections}"
    );
    let shown = secrets.shown_in(&project.logs()?)?;
    ensure!(shown.is_empty(), "the logs show {shown:?}");
    Ok(())
}

/// A film of a few seconds of work.
fn small(seed: u64) -> FilmRequest {
    FilmRequest {
        premise: Some("A lighthouse keeper befriends a storm".to_owned()),
        scenes: Some(3),
        seconds: Some(1.0),
        size: "320x180".parse().ok(),
        seed: Some(seed),
        ..FilmRequest::default()
    }
}

/// A film that is still being made when somebody has been killed.
fn longer(seed: u64) -> FilmRequest {
    FilmRequest {
        seconds: Some(6.0),
        size: "640x360".parse().ok(),
        ..small(seed)
    }
}

async fn over_amqp(project: &Project, secrets: &Secrets) -> Result<FilmId> {
    let mut submitter = Submitter::connect(&secrets.submitter_url(project.amqp_port())?).await?;
    let films = submitter.submit_all(&[small(2)], "compose").await?;
    films.into_values().next().context("one film")
}

/// No program is root, or may write where it has no business to.
fn who_runs_there(project: &Project) -> Result<()> {
    for service in [COORDINATOR, WRITER, PAINTER] {
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

/// Kills a service while a film is being made and another one is asked for, and starts it again as a person would: an engine
/// leaves what was killed by command as it is.
async fn killed(project: &Project, api: &Api, service: &str) -> Result<()> {
    let begun = Instant::now();
    let container = project.container(service)?;
    let mut films = vec![api.submit(&longer(10)).await?];
    api.begun(films[0]).await?;
    project.kill(&container)?;
    if service != COORDINATOR {
        films.push(api.submit(&small(12)).await?);
    }
    sleep(AWAY).await;
    project.start(&container)?;
    api.ready().await?;
    for film in films {
        api.completed(film, FILM_LIMIT).await?;
    }
    say(&format!("films whose {service} was killed"), begun);
    Ok(())
}

/// A program that ends by itself is started again by the engine.
async fn crashed(project: &Project, api: &Api) -> Result<()> {
    let begun = Instant::now();
    let container = project.container(PAINTER)?;
    let film = api.submit(&longer(11)).await?;
    api.begun(film).await?;
    project.crash(&container)?;
    api.completed(film, FILM_LIMIT).await?;
    say(
        "a film whose worker crashed, and was started again by the engine",
        begun,
    );
    Ok(())
}

/// Makes more of the workers while they are busy: each has a name of its own, and all of them work.
async fn more_workers(project: &Project, api: &Api) -> Result<()> {
    let begun = Instant::now();
    let mut films = Vec::new();
    for seed in 0..LOAD {
        films.push(api.submit(&longer(20 + u64::from(seed))).await?);
    }
    project.up(&["--no-recreate", "--scale", &format!("{PAINTER}={MANY}")])?;
    api.workers(MANY + 1).await?;
    let mut painters = std::collections::BTreeSet::new();
    for film in films {
        let view = api.completed(film, 2 * FILM_LIMIT).await?;
        let workers = view.jobs.into_iter().filter_map(|job| job.worker);
        painters.extend(workers.filter(|worker| worker.as_str().contains("video-worker")));
    }
    ensure!(
        painters.len() == MANY,
        "only these have worked: {painters:?}"
    );
    say(
        &format!("{LOAD} films while the video workers became {MANY}"),
        begun,
    );
    Ok(())
}

fn say(what: &str, since: Instant) {
    println!("{what}: {:.1} s", since.elapsed().as_secs_f64());
}
