//! A server in a process of its own, which holds its models' memory on a simulated card.

use std::io::{self, Write as _};
use std::process::Command;

use serde::{Deserialize, Serialize};
use simulated_gpu::{Card, Leashed, until_let_go};

use crate::double::{BEHAVE, Double, MODEL, STATE};
use crate::kind::Kind;
use crate::models::{Behaviour, Loaded, Models};

/// How a server in a process of its own is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Which kind of server.
    pub kind: Kind,
    /// The card that its models are on.
    pub card: Card,
    /// How it treats its models.
    pub behaviour: Behaviour,
    /// Its model is loaded from the start.
    pub loaded: bool,
}

/// A server that was started. It ends when this is dropped, or when the process that holds this is gone, however it went.
#[derive(Debug)]
pub struct Process(Leashed);

impl Process {
    /// Starts a server, and returns when it listens. `program` is to hand its last argument, which is added here, to
    /// [`serve`].
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: &mut Command, settings: &Settings) -> io::Result<Self> {
        Leashed::start(program, settings, &settings.card).map(Self)
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        self.0.address()
    }

    /// Its process id: what the card lists it by.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// How its models stand.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn loaded(&self) -> Loaded {
        let answer = reqwest::get(format!("{}{STATE}", self.url())).await;
        answer.unwrap().json().await.unwrap()
    }

    /// Behaves like this from now on.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn behave(&self, behaviour: &Behaviour) {
        let told = reqwest::Client::new().post(format!("{}{BEHAVE}", self.url()));
        told.json(behaviour).send().await.unwrap();
    }
}

/// Is a server with these settings (as JSON), for as long as standard input is open: that ends with whoever has started it.
/// Says on standard output where it listens.
///
/// # Errors
/// If the settings are none, or there is no address to be had.
pub fn serve(settings: &str) -> io::Result<()> {
    let settings: Settings = serde_json::from_str(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let pid = std::process::id();
        let models = Models::new(Some((settings.card.clone(), pid)));
        models.behave(settings.behaviour);
        if settings.loaded {
            let name = match settings.kind {
                Kind::Ollama => format!("{MODEL}:latest"),
                _ => MODEL.to_owned(),
            };
            let loaded = models.load(&name, 8_192).await;
            loaded.map_err(|_| io::Error::other("no room for the model"))?;
        }
        let double = Double::that_writes(settings.kind, models).await;
        writeln!(io::stdout(), "{}", double.url)?;
        let _ = tokio::task::spawn_blocking(until_let_go).await;
        settings.card.leave(pid)
    })
}
