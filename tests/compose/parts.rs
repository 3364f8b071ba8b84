//! What an installation is made of.

use clap::Parser;

/// Runs what docker-compose.yml ships on a real engine: makes films without a card, kills each service meanwhile; the same with TLS;
/// then two hosts with a card each, as far as there can be cards without one, and all that looks on
#[derive(Debug, Parser)]
#[command(name = "cargo xtask compose-test")]
pub(crate) struct Parts {
    /// The image with the programs
    #[arg(long)]
    pub(crate) image: String,
    /// The image with RabbitMQ
    #[arg(long)]
    pub(crate) rabbitmq: String,
    /// The image with Prometheus
    #[arg(long)]
    pub(crate) prometheus: String,
    /// The image with what stands in for the OpenTelemetry collector
    #[arg(long)]
    pub(crate) collector: String,
    /// The command that reads compose files, as `docker compose`
    #[arg(long, default_value = "docker-compose")]
    pub(crate) compose: String,
    /// Tell only this story
    #[arg(long)]
    pub(crate) only: Option<Story>,
}

/// One of the stories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Story {
    /// The profile `builtins`
    Builtins,
    /// The same with TLS
    Tls,
    /// The profiles `gpu`, `worker` and `observability`
    Cards,
}
