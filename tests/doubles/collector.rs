//! Stands in for the OpenTelemetry collector of docker-compose.yml: takes spans on its port, and prints a line for each,
//! `SERVICE TRACE NAME`.

#![expect(clippy::print_stdout, reason = "whoever started it reads there")]

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use shared::shutdown::shutdown_on_signals;
use support::collector::{Collector, Temper};

/// Where OTLP comes over HTTP.
const PORT: u16 = 4318;

#[derive(Debug, Parser)]
struct Arguments {
    /// Settings of the real one: they must be there, and say that port
    #[arg(long)]
    config: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { config } = Arguments::parse();
    let settings = std::fs::read_to_string(&config);
    let settings = settings.with_context(|| config.display().to_string())?;
    ensure!(
        settings.contains(&format!("endpoint: 0.0.0.0:{PORT}")),
        "{} names another port",
        config.display()
    );
    let everywhere = (Ipv4Addr::UNSPECIFIED, PORT).into();
    let collector = Collector::start_at(everywhere, Temper::Takes).await?;
    // Nobody else ends the first process of a container.
    let stop = shutdown_on_signals();
    let mut known = 0;
    while let Some(spans) = stop.run_until_cancelled(collector.spans_after(known)).await {
        known += spans.len();
        for span in spans {
            println!("{} {} {}", span.service, span.trace, span.name);
        }
    }
    Ok(())
}
