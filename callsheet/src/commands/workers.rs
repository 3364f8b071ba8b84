//! `callsheet workers`, `callsheet pause` and `callsheet resume`

use std::collections::BTreeMap;

use clap::Args;
use shared::api::{WorkerList, WorkerView};
use shared::byte_size::ByteSize;
use shared::ids::WorkerId;
use shared::protocol::{Device, Holding};

use crate::cli::Coordinator;
use crate::error::CommandError;
use crate::table::table;
use crate::{Context, term};

/// Width of a bar.
const CELLS: usize = 24;
/// Holders of a card that are named; the rest is small.
const NAMED: usize = 4;

/// List the workers, what they do, and who holds the memory of their cards
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
        term::say(&text(&list));
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

/// The workers, and then their cards.
fn text(list: &WorkerList) -> String {
    let head = ["WORKER", "STATE", "RUNS", "PROFILES", "NOTE"].map(str::to_owned);
    let rows = list.workers.iter().map(row);
    let workers = std::iter::once(head.to_vec()).chain(rows);
    let workers = table(&workers.collect::<Vec<_>>());
    let cards: Vec<_> = cards(list).collect();
    if cards.is_empty() {
        return workers;
    }
    let head = ["HOST", "CARD", "MEMORY", "USED", "PROMISED", "HELD BY"].map(str::to_owned);
    let cards = std::iter::once(head.to_vec()).chain(cards);
    format!("{workers}\n\n{}", table(&cards.collect::<Vec<_>>()))
}

/// One row for each card; several workers may share one, and the one that was heard of last tells of it.
fn cards(list: &WorkerList) -> impl Iterator<Item = Vec<String>> {
    let mut latest: BTreeMap<(&str, &str), (&WorkerView, &Device)> = BTreeMap::new();
    for worker in list.workers.iter().filter(|worker| worker.online) {
        for device in &worker.state.devices {
            let told = (worker, device);
            let place = latest
                .entry((worker.state.host.as_str(), device.uuid.as_str()))
                .or_insert(told);
            if place.0.seen_at < worker.seen_at {
                *place = told;
            }
        }
    }
    latest
        .into_values()
        .map(|(worker, device)| card(&worker.state.host, device))
}

fn card(host: &str, device: &Device) -> Vec<String> {
    let holder = |holding: &Holding| {
        let unnamed = || format!("pid {}", holding.pid);
        let name = holding.program.clone().unwrap_or_else(unnamed);
        format!("{name} {}", holding.used)
    };
    let named: Vec<_> = device.holders.iter().take(NAMED).map(holder).collect();
    let asked = device.asked.iter().map(|asked| {
        let what = asked
            .profile
            .as_ref()
            .map_or("everything", |it| it.as_str());
        format!(
            "{what} on {} was asked to leave {} s ago",
            asked.backend,
            asked.ago.as_secs()
        )
    });
    let notes = [named.join(", ")]
        .into_iter()
        .filter(|named| !named.is_empty())
        .chain(device.trouble.clone())
        .chain(asked);
    vec![
        term::plain(host),
        term::plain(&device.name),
        bar(device.total, device.used, device.promised),
        format!("{} of {}", device.used, device.total),
        device.promised.to_string(),
        term::plain(&notes.collect::<Vec<_>>().join("; ")),
    ]
}

/// A bar of the memory: what is used, then what was promised and not taken yet, then what is left.
fn bar(total: ByteSize, used: ByteSize, promised: ByteSize) -> String {
    let cells = |amount: ByteSize| match total.as_bytes() {
        0 => 0,
        // Anything at all is shown.
        total => {
            usize::try_from((u128::from(amount.as_bytes()) * CELLS as u128).div_ceil(total.into()))
                .unwrap_or(CELLS)
        }
    };
    let used = cells(used).min(CELLS);
    let promised = cells(promised).min(CELLS - used);
    let left = CELLS - used - promised;
    format!(
        "[{}{}{}]",
        "#".repeat(used),
        "+".repeat(promised),
        ".".repeat(left)
    )
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::protocol::AskedToLeave;

    use super::*;

    #[test]
    fn a_bar_shows_what_is_used_what_is_promised_and_what_is_left() {
        let gib = ByteSize::gib;
        assert_eq!(
            bar(gib(24), gib(0), gib(0)),
            format!("[{}]", ".".repeat(24))
        );
        assert_eq!(bar(gib(24), gib(10), gib(8)), "[##########++++++++......]");
        // A promise beyond the end of the card does not make the bar longer, and a little is not nothing.
        assert_eq!(bar(gib(24), gib(20), gib(8)), "[####################++++]");
        assert_eq!(
            bar(gib(24), ByteSize::mib(1), gib(0)),
            format!("[#{}]", ".".repeat(23))
        );
        assert_eq!(bar(gib(0), gib(1), gib(1)), format!("[{}]", ".".repeat(24)));
    }

    #[test]
    fn a_card_names_its_holders_and_what_was_asked_to_leave() {
        let holding = |program: Option<&str>, pid, ours, gib| Holding {
            program: program.map(str::to_owned),
            pid,
            ours,
            used: ByteSize::gib(gib),
        };
        let device = Device {
            uuid: "GPU-1".to_owned(),
            name: "NVIDIA GeForce RTX 4090".to_owned(),
            total: ByteSize::gib(24),
            free: ByteSize::gib(6),
            used: ByteSize::gib(18),
            promised: ByteSize::gib(3),
            age: Duration::ZERO,
            holders: vec![
                holding(Some("comfyui@127.0.0.1:8188"), 7, true, 14),
                holding(None, 300, false, 4),
            ],
            trouble: None,
            queue: Vec::new(),
            asked: vec![AskedToLeave {
                backend: "ollama@127.0.0.1:11434".to_owned(),
                profile: None,
                by: shared::ids::JobId::from_u128(1),
                ago: Duration::from_secs(3),
            }],
        };
        assert_eq!(
            card("studio", &device),
            [
                "studio",
                "NVIDIA GeForce RTX 4090",
                "[##################+++...]",
                "18.0 GiB of 24.0 GiB",
                "3.0 GiB",
                "comfyui@127.0.0.1:8188 14.0 GiB, pid 300 4.0 GiB; everything on ollama@127.0.0.1:11434 was asked \
                 to leave 3 s ago",
            ]
        );
    }
}
