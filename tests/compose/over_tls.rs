//! The profile `builtins` with `deploy/compose.tls.yml`: its programs speak to each other over TLS alone.

use std::time::Instant;

use anyhow::{Result, ensure};
use support::api::Api;
use support::ports;
use support::request::small;

use crate::parts::Parts;
use crate::project::Project;
use crate::secrets::Secrets;
use crate::tls::Tls;
use crate::{BROKER, FILM_LIMIT, in_the_end_nothing_is_left, no_secret_is_shown, say};

/// Lists who is connected there, and whether by TLS.
const CONNECTIONS: &str = "rabbitmqctl --quiet --no-table-headers list_connections user ssl";

/// Brings it up, makes a film, and takes everything down.
pub(crate) async fn story(parts: &Parts) -> Result<()> {
    let secrets = Secrets::make(&parts.image, Some("amqps://rabbitmq:5671"))?;
    let tls = Tls::make()?;
    let amqps_port = ports::free()?;
    let project = Project::new(parts, "builtins", "studio-1", &secrets)?
        .with("COMPOSE_FILE", "docker-compose.yml:deploy/compose.tls.yml")
        .with("CALLSHEET_TLS", tls.path().to_string_lossy())
        .with("CALLSHEET_AMQPS_PORT", amqps_port.to_string());
    in_the_end_nothing_is_left(&project, tell(&project, &secrets, &tls)).await
}

async fn tell(project: &Project, secrets: &Secrets, tls: &Tls) -> Result<()> {
    let begun = Instant::now();
    project.up(&[])?;
    let base = format!("https://localhost:{}", project.http().port());
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
    no_secret_is_shown(project, secrets)
}
