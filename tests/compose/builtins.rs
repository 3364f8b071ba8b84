//! The profile `builtins`: films without a card, while each service is killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use shared::ids::FilmId;
use support::api::Api;
use support::request::{longer, small};
use support::submitter::Submitter;
use tokio::time::sleep;

use crate::observers::Prometheus;
use crate::parts::Parts;
use crate::project::{Project, address_of};
use crate::secrets::Secrets;
use crate::{
    BROKER, COORDINATOR, FILM_LIMIT, all_is_well, command_of_the_image_works,
    in_the_end_nothing_is_left, no_secret_is_shown, say, who_runs_there,
};

/// How long a killed service stays away.
const AWAY: Duration = Duration::from_secs(1);
/// Films under way while the workers become more.
const LOAD: u64 = 4;
/// Workers that make pictures, then.
const MANY: usize = 4;

const WRITER: &str = "llm-worker-builtins";
const PAINTER: &str = "video-worker-builtins";
const SERVICES: [&str; 4] = [BROKER, COORDINATOR, WRITER, PAINTER];

/// Brings it up, makes films, kills each service meanwhile, and takes everything down.
pub(crate) async fn story(parts: &Parts) -> Result<()> {
    let secrets = Secrets::make(&parts.image, None)?;
    let project = Project::new(parts, "builtins,observability", "studio-1", &secrets)?;
    let project = project.at(address_of(1));
    in_the_end_nothing_is_left(&project, tell(&project, &secrets)).await
}

async fn tell(project: &Project, secrets: &Secrets) -> Result<()> {
    let begun = Instant::now();
    project.up(&[])?;
    let base = format!("http://{}", project.http());
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

    who_runs_there(project, &[COORDINATOR, WRITER, PAINTER])?;
    all_is_well(project, &[COORDINATOR, WRITER, PAINTER])?;
    command_of_the_image_works(project)?;
    for service in SERVICES {
        killed(project, &api, service).await?;
    }
    crashed(project, &api).await?;
    more_workers(project, &api).await?;

    // All that is there without a card; nothing is said to be down that nobody has.
    let prometheus = Prometheus::of(project);
    prometheus
        .sees(&[("coordinator", 1), ("rabbitmq", 1), ("workers", MANY + 1)])
        .await?;
    no_secret_is_shown(project, secrets)
}

async fn over_amqp(project: &Project, secrets: &Secrets) -> Result<FilmId> {
    let mut submitter = Submitter::connect(&secrets.submitter_url(project.amqp())?).await?;
    let films = submitter.submit_all(&[small(2)], "compose").await?;
    films.into_values().next().context("one film")
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
    let load = async |seed: u64| {
        let mut films = Vec::new();
        for more in 0..LOAD {
            films.push(api.submit(&longer(seed + more)).await?);
        }
        Ok::<_, anyhow::Error>(films)
    };
    let before = load(20).await?;
    project.up(&["--no-recreate", "--scale", &format!("{PAINTER}={MANY}")])?;
    api.workers(MANY + 1).await?;
    // What there was may be done by now: how long the engine takes to start one is its own affair.
    let after = load(30).await?;
    for film in before {
        api.completed(film, 2 * FILM_LIMIT).await?;
    }
    let mut painters = std::collections::BTreeSet::new();
    for film in after {
        let view = api.completed(film, 2 * FILM_LIMIT).await?;
        let workers = view.jobs.into_iter().filter_map(|job| job.worker);
        painters.extend(workers.filter(|worker| worker.as_str().contains("video-worker")));
    }
    ensure!(
        painters.len() == MANY,
        "only these have worked: {painters:?}"
    );
    say(
        &format!("{LOAD} films while the video workers became {MANY}, and as many by all of them"),
        begun,
    );
    Ok(())
}
