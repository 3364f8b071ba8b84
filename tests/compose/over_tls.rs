//! `deploy/compose.tls.yml` with the profiles `builtins` and `worker`: all programs speak to each other over TLS alone.

use std::io::{self, Read as _};
use std::net::{SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use shared::job::JobKind;
use support::api::Api;
use support::request::small;

use crate::cards::{FAR, made_by, on_cards};
use crate::parts::Parts;
use crate::project::{Project, address_of};
use crate::secrets::Secrets;
use crate::studio::Studio;
use crate::tls::Tls;
use crate::{
    BROKER, COORDINATOR, FILM_LIMIT, all_is_well, command_of_the_image_works,
    in_the_end_nothing_is_left, no_secret_is_shown, say,
};

/// What is put on top of the compose file.
const OVER_TLS: &str = "deploy/compose.tls.yml";
/// Lists who is connected there, and whether by TLS.
const CONNECTIONS: &str = "rabbitmqctl --quiet --no-table-headers list_connections user ssl";

/// Brings both hosts up, makes a film on each, and takes everything down.
pub(crate) async fn story(parts: &Parts) -> Result<()> {
    let secrets = Secrets::make(&parts.image, Some("amqps://rabbitmq:5671"))?;
    let address = address_of(3);
    let tls = Tls::make(&parts.image, address)?;
    let project = Project::new(parts, "builtins", "studio-1", &secrets)?
        .at(address)
        .on_top(OVER_TLS)
        .with("CALLSHEET_TLS", tls.path().to_string_lossy());
    // A long story within another: their state is not to be carried about.
    let told = Box::pin(tell(parts, &project, &secrets, &tls));
    in_the_end_nothing_is_left(&project, told).await
}

async fn tell(parts: &Parts, project: &Project, secrets: &Secrets, tls: &Tls) -> Result<()> {
    let begun = Instant::now();
    project.up(&[])?;
    let base = format!("https://{}", project.http());
    let api = Api::trusting(&tls.authority()?, base, secrets.token("token-operate")?)?;
    api.ready().await?;
    let film = api.submit(&small(1)).await?;
    api.completed(film, FILM_LIMIT).await?;
    say("up, ready and a film, over HTTPS and AMQPS", begun);
    all_is_well(
        project,
        &[COORDINATOR, "llm-worker-builtins", "video-worker-builtins"],
    )?;
    command_of_the_image_works(project)?;

    let studio = Studio::open("studio-3", FAR)?;
    let (theirs, known) = (secrets.for_a_further_host()?, tls.for_a_further_host()?);
    let further = studio
        .project(parts, "worker", &theirs)?
        .at(*project.http().ip())
        .on_top(OVER_TLS)
        .with("CALLSHEET_TLS", known.path().to_string_lossy());
    let told = Box::pin(joined(&further, &api));
    in_the_end_nothing_is_left(&further, told).await?;

    let connections = project.exec(BROKER, CONNECTIONS)?;
    let (own, plain): (Vec<_>, Vec<_>) = connections.lines().partition(|it| it.ends_with("true"));
    ensure!(
        own.len() >= 3 && plain.is_empty(),
        "not all speak TLS: {connections}"
    );
    nobody_listens_without(project.amqp())?;
    no_secret_is_shown(project, secrets)
}

/// A further host that trusts the authority, and has a card.
async fn joined(further: &Project, api: &Api) -> Result<()> {
    let begun = Instant::now();
    further.up(&[])?;
    api.workers(4).await?;
    let film = api.submit(&on_cards(2, Some(FAR))).await?;
    let film = api.completed(film, FILM_LIMIT).await?;
    made_by(&film, JobKind::Scene, FAR, "studio-3-video-worker-1")?;
    all_is_well(further, &["llm-worker-remote", "video-worker-remote"])?;
    say("a further host, and a film on its card, over both", begun);
    Ok(())
}

/// The port without TLS leads nowhere, though the compose file publishes it.
fn nobody_listens_without(broker: SocketAddrV4) -> Result<()> {
    let Ok(mut connection) = TcpStream::connect(broker) else {
        return Ok(());
    };
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    // RabbitMQ would wait for the first word; the engine's own proxy takes a connection that leads nowhere, and hangs up.
    let waits = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        )
    };
    match connection.read(&mut [0]) {
        Ok(1..) => bail!("somebody speaks there"),
        Err(error) if waits(&error) => bail!("somebody listens there"),
        Ok(0) | Err(_) => Ok(()),
    }
}
