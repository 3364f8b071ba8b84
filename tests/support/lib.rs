//! What the stories need: real servers, test doubles and ways to wait.

pub mod api;
pub mod artifact_conformance;
pub mod broker_conformance;
pub mod certificates;
pub mod clip;
pub mod collector;
pub mod docker;
pub mod http;
pub mod moto;
pub mod place;
pub mod ports;
pub mod programs;
pub mod rabbitmq;
mod reaper;
pub mod relay;
pub mod request;
pub mod stage;
pub mod submitter;
pub mod users;
pub mod wait;
pub mod workflow;

/// Prints what is logged, if `RUST_LOG` says so: for looking into a story that fails.
pub fn log_to_terminal() {
    use tracing_subscriber::{EnvFilter, fmt};
    // Whoever comes first sets it for all.
    let _ = fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .try_init();
}
