//! A server in a process of its own, which holds its models' memory on a simulated card.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde::{Deserialize, Serialize};
use simulated_gpu::Card;

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
pub struct Process {
    child: Child,
    #[expect(dead_code, reason = "the server ends when it is closed")]
    leash: Option<ChildStdin>,
    card: Card,
    url: String,
}

impl Process {
    /// Starts a server, and returns when it listens. `program` is to hand its last argument, which is added here, to
    /// [`serve`].
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: &mut Command, settings: &Settings) -> io::Result<Self> {
        let mut child = program
            .arg(serde_json::to_string(settings)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let leash = child.stdin.take();
        let mut url = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut url)?;
        }
        let url = url.trim().to_owned();
        if url.is_empty() {
            let _ = child.kill();
            let status = child.wait()?;
            let why = format!("the server did not say where it listens: {status}");
            return Err(io::Error::other(why));
        }
        Ok(Self {
            child,
            leash,
            card: settings.card.clone(),
            url,
        })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id: what the card lists it by.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How its models stand.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn loaded(&self) -> Loaded {
        let answer = reqwest::get(format!("{}{STATE}", self.url)).await;
        answer.unwrap().json().await.unwrap()
    }

    /// Behaves like this from now on.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn behave(&self, behaviour: &Behaviour) {
        let told = reqwest::Client::new().post(format!("{}{BEHAVE}", self.url));
        told.json(behaviour).send().await.unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What a driver does for real. The card may have gone with its folder.
        let _ = self.card.leave(self.child.id());
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
        let ended = tokio::task::spawn_blocking(|| {
            // Its end is all that is waited for.
            let _ = io::copy(&mut io::stdin().lock().take(u64::MAX), &mut io::sink());
        });
        let _ = ended.await;
        settings.card.leave(pid)
    })
}
