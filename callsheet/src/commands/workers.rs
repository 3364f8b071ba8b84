//! `callsheet workers`, `callsheet pause` and `callsheet resume`

use clap::Args;
use shared::api::WorkerView;
use shared::ids::WorkerId;

use crate::cli::Coordinator;
use crate::error::CommandError;
use crate::table::table;
use crate::{Context, term};

/// List the workers and what they do
#[derive(Debug, Args)]
pub(crate) struct Workers {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) coordinator: Coordinator,
}

/// Ask a worker to stand still: "I want my card back". What runs is finished first
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// The worker
    worker: WorkerId,
    #[command(flatten)]
    pub(crate) coordinator: Coordinator,
}

/// Ask a paused worker to go on. (An interrupted film goes on with: callsheet film --resume ID)
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The worker
    worker: WorkerId,
    #[command(flatten)]
    pub(crate) coordinator: Coordinator,
}

impl Workers {
    /// Lists them.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        let list = context.client()?.workers().await?;
        if self.json {
            term::say_json(&list);
            return Ok(());
        }
        if list.workers.is_empty() {
            term::say("no workers; start llm-worker and video-worker, or `callsheet up`");
            return Ok(());
        }
        let head = ["WORKER", "STATE", "RUNS", "PROFILES", "NOTE"]
            .map(str::to_owned)
            .to_vec();
        let rows = std::iter::once(head).chain(list.workers.iter().map(row));
        term::say(&table(&rows.collect::<Vec<_>>()));
        Ok(())
    }
}

impl Pause {
    /// Asks it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        let worker = context.client()?.pause(&self.worker).await?;
        term::say(&format!("worker {}: {}", self.worker, state(&worker)));
        Ok(())
    }
}

impl Resume {
    /// Asks it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        let worker = context.client()?.resume(&self.worker).await?;
        term::say(&format!("worker {}: {}", self.worker, state(&worker)));
        Ok(())
    }
}

fn state(worker: &WorkerView) -> &'static str {
    let state = &worker.state;
    match () {
        () if !worker.online => "silent",
        () if state.draining => "draining",
        // It was asked to go on, and has not said yet that it does.
        () if state.paused && !worker.pause_wanted => "resuming",
        () if state.paused => "paused",
        () if worker.pause_wanted => "pausing",
        () if state.running.is_empty() => "idle",
        () => "working",
    }
}

fn row(worker: &WorkerView) -> Vec<String> {
    let told = &worker.state;
    let profiles: Vec<_> = told
        .profiles
        .iter()
        .map(|profile| profile.name.as_str())
        .collect();
    let waits =
        |waiting: &shared::protocol::Waiting| format!("{}: {}", waiting.profile, waiting.reason);
    vec![
        told.worker.worker.to_string(),
        state(worker).to_owned(),
        format!("{}/{}", told.running.len(), told.slots),
        profiles.join(", "),
        term::plain(
            &told
                .waiting
                .iter()
                .map(waits)
                .collect::<Vec<_>>()
                .join("; "),
        ),
    ]
}
