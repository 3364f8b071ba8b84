//! What this worker knows of its ComfyUI server beyond one render: whether it is well, what it holds, whose turn it is.

use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use shared::byte_size::ByteSize;
use shared::failure::chain;
use shared::fields;
use shared::ids::{JobId, ProfileName, RunId, Take};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};
use worker_runtime::backend::BackendSays;
use worker_runtime::serving::{KnownBy, lives, processes_of};

use super::client::{Client, ComfyError, SetUpError, Stats, Version};
use super::graph::{Graph, Limits, Output};
use super::settings::ComfyUiSettings;
use super::tag::Tag;

/// The command that starts the server anew ends within this time. The server itself may take longer.
const RESTART_TIMEOUT: Duration = Duration::from_secs(60);
/// A server that was started anew answers within this time: one with many custom nodes takes minutes, and is asked again later.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Freed memory shows within this time: the classic memory manager copies models to the host first.
const FREE_WITHIN: Duration = Duration::from_secs(10);
/// What a server may hold after it has freed everything and be believed.
const FREED: ByteSize = ByteSize::mib(512);
/// A trivial graph ends within this time where anything runs at all.
const TRIAL_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);

/// A server, shared by the backends of its workflows.
#[derive(Debug)]
pub struct Server {
    client: Client,
    settings: ComfyUiSettings,
    state: Mutex<State>,
    /// Held by the one render of this worker: the server runs one prompt at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    stats: Option<Stats>,
    /// Its processes, where they are known.
    pids: Vec<u32>,
    /// Why it is not trusted to run anything; cleared by a trial.
    suspect: Option<String>,
    /// Whose models are loaded, as far as is known.
    resident: Option<ProfileName>,
}

impl Server {
    /// The server of those settings.
    ///
    /// # Errors
    /// If its URL is none.
    pub fn new(settings: &ComfyUiSettings) -> Result<Arc<Self>, SetUpError> {
        Ok(Arc::new(Self {
            client: Client::new(&settings.url)?.asking_for(settings.previews),
            settings: settings.clone(),
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }))
    }

    /// To speak with it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The settings.
    pub fn settings(&self) -> &ComfyUiSettings {
        &self.settings
    }

    /// Whether it is there, of a version that will do, and runs what it is given.
    ///
    /// # Errors
    /// What is wrong and what to do about it.
    pub async fn check(&self) -> Result<Stats, String> {
        if self.suspect().is_some() && self.can_restart() {
            self.restart().await;
        }
        let stats = self.look().await.map_err(|error| chain(&error))?;
        if stats.version < Version::OLDEST {
            return Err(format!(
                "ComfyUI at {} is {}; {} or newer is needed: update it",
                self.client.url(),
                stats.version,
                Version::OLDEST
            ));
        }
        if let Some(why) = self.suspect() {
            let tried = self.trial().await;
            tried.map_err(|error| format!("{why}; a trial says: {error}"))?;
            self.lock().suspect = None;
        }
        Ok(stats)
    }

    /// Its answers about those sorts of node; those that it does not have are left out.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn object_info(&self, classes: &[String]) -> Result<Map<String, Value>, ComfyError> {
        let mut all = Map::new();
        for class in classes {
            if let Some(info) = self.client.object_info(class).await? {
                all.insert(class.clone(), info);
            }
        }
        Ok(all)
    }

    /// Asks it what it holds and remembers that.
    pub(super) async fn look(&self) -> Result<Stats, ComfyError> {
        let stats = self.client.stats().await?;
        // Only what is on a card is asked for by its process.
        let pids = match (stats.card(), self.client.port()) {
            (Some(_), Some(port)) if self.client.is_here() => {
                let known = KnownBy::Arguments(stats.arguments.clone());
                let found = tokio::task::spawn_blocking(move || processes_of(port, &known));
                found.await.unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let mut state = self.lock();
        state.stats = Some(stats.clone());
        match pids.is_empty() {
            // The system's lists change while they are read.
            true => state.pids.retain(|pid| lives(*pid)),
            false => state.pids = pids,
        }
        drop(state);
        Ok(stats)
    }

    /// What it said last.
    pub(super) fn stats(&self) -> Option<Stats> {
        self.lock().stats.clone()
    }

    /// Its processes, where they are known.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.lock().pids.clone()
    }

    /// It is not trusted before a trial has ended well.
    pub(super) fn suspect_of(&self, why: String) {
        self.lock().suspect = Some(why);
    }

    fn suspect(&self) -> Option<String> {
        self.lock().suspect.clone()
    }

    /// Whose models are loaded, as far as is known.
    pub(super) fn resident(&self) -> Option<ProfileName> {
        self.lock().resident.clone()
    }

    pub(super) fn set_resident(&self, profile: Option<ProfileName>) {
        self.lock().resident = profile;
    }

    /// What it does now.
    pub(super) async fn says(&self) -> BackendSays {
        match self.client.queue().await {
            Ok(queue) if queue.is_empty() => BackendSays::Idle,
            Ok(_) => BackendSays::Busy,
            Err(ComfyError::Unreachable { .. }) => BackendSays::Gone,
            Err(_) => BackendSays::Silent { quiet: false },
        }
    }

    /// Has it free everything, and looks whether it does.
    pub(super) async fn free(&self) -> Result<bool, ComfyError> {
        self.client.free().await?;
        self.set_resident(None);
        let until = Instant::now() + FREE_WITHIN;
        let mut before = None;
        loop {
            let stats = self.look().await?;
            // Where there is no card, nothing tells.
            let (Some(card), Some(held)) = (stats.card(), stats.holds()) else {
                return Ok(true);
            };
            let is_still = before.replace(card.free) == Some(card.free);
            if held <= FREED && is_still {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            sleep(LOOK).await;
        }
    }

    /// Whether there is a command to start it anew.
    pub(super) fn can_restart(&self) -> bool {
        !self.settings.restart.is_empty()
    }

    /// Starts it anew, if that is this worker's to do; whether it answers again.
    pub(super) async fn restart(&self) -> bool {
        let Some((program, arguments)) = self.settings.restart.split_first() else {
            return false;
        };
        tracing::warn!(
            command = self.settings.restart.join(" "),
            "starts ComfyUI anew"
        );
        self.set_resident(None);
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let told = match timeout(RESTART_TIMEOUT, command.status()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("it ended with {status}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it did not end in time".to_owned()),
        };
        if let Err(why) = told {
            tracing::error!(
                { fields::REASON } = why,
                "the command in comfyui.restart failed"
            );
            return false;
        }
        let until = Instant::now() + START_TIMEOUT;
        while Instant::now() < until {
            if self.look().await.is_ok() {
                return true;
            }
            sleep(LOOK).await;
        }
        false
    }

    /// Whether it runs anything: an image of one colour, shown and not kept.
    async fn trial(&self) -> Result<(), String> {
        let node = |class: &str, inputs: Value| json!({"class_type": class, "inputs": inputs});
        let colour = u32::try_from(RunId::generate().as_u128() & 0xff_ffff).unwrap_or(0);
        let image = json!({"width": 16, "height": 16, "batch_size": 1, "color": colour});
        let nodes = [
            ("image".to_owned(), node("EmptyImage", image)),
            (
                "show".to_owned(),
                node("PreviewImage", json!({"images": ["image", 0]})),
            ),
        ];
        let graph = Graph {
            nodes: nodes.into_iter().collect(),
            output: Output {
                node: "show".to_owned(),
                key: None,
            },
            limits: Limits::within(TRIAL_WITHIN),
        };
        let tag = Tag::first(JobId::generate(), Take::FIRST);
        let submitted = self.client.submit(&graph, &tag, "callsheet-trial").await;
        submitted.map_err(|error| chain(&error))?;
        let until = Instant::now() + TRIAL_WITHIN;
        loop {
            let ended = self.client.history(&tag.prompt()).await;
            if ended.map_err(|error| chain(&error))?.is_some() {
                return Ok(());
            }
            let queue = self.client.queue().await.map_err(|error| chain(&error))?;
            // Somebody else's prompt comes first, so that something does run.
            let is_ahead = |prompt: &str| prompt != tag.prompt();
            if queue.running.iter().any(|queued| is_ahead(&queued.prompt))
                || Instant::now() >= until
            {
                let running = !queue.running.is_empty();
                let deleted = self.client.delete(&tag.prompt()).await;
                deleted.map_err(|error| chain(&error))?;
                return match running {
                    true => Err("another prompt runs; waiting for its end".to_owned()),
                    false => Err("it takes prompts and runs none; restart it".to_owned()),
                };
            }
            sleep(LOOK).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
