//! A server in a process of its own, which holds its model's memory on a simulated card. How it stands it tells to whoever has started
//! it, over its standard input and output: that needs no network.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;
use simulated_gpu::Leashed;

use crate::behaviour::{Card, Content};
use crate::state::{Double, Flavour};

/// How often the card is told what the server holds of it.
const LOOK: Duration = Duration::from_millis(10);

/// How a server in a process of its own is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The card that it works on.
    pub card: simulated_gpu::Card,
    /// All memory of that card.
    pub memory: ByteSize,
    /// What its model holds of the card from its first render on, until it is asked to free it.
    pub load: ByteSize,
    /// What it holds while it renders.
    pub peak: ByteSize,
    /// Steps of a render.
    pub steps: u32,
    /// How long each takes.
    pub step: Duration,
    /// The file that it saves every time.
    pub clip: PathBuf,
    /// Model files by folder.
    pub models: BTreeMap<String, Vec<String>>,
}

/// How a server stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The id of the prompt that runs, if one does.
    pub running: Option<String>,
    /// The ids of the prompts that it has taken, in order.
    pub taken: Vec<String>,
    /// The ids of those that it has computed and saved, in order; twice, if it has done so twice.
    pub rendered: Vec<String>,
    /// How often it was asked to interrupt or cancel something.
    pub interrupts: u32,
}

/// A server that was started. It ends when this is dropped, or when the process that holds this is gone, however it went.
#[derive(Debug)]
pub struct Process {
    url: String,
    server: Mutex<Leashed>,
}

impl Process {
    /// Starts a server, and returns when it listens. `program` is to hand its last argument, which is added here, to
    /// [`serve`].
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: &mut Command, settings: &Settings) -> io::Result<Self> {
        let server = Leashed::start(program, settings, &settings.card)?;
        Ok(Self {
            url: server.address().to_owned(),
            server: Mutex::new(server),
        })
    }

    /// Where it is, for whoever is on its host.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it stands now. Blocks until it has said so, which is soon.
    ///
    /// # Errors
    /// If it has ended.
    pub fn standing(&self) -> io::Result<Standing> {
        self.ask("")
    }

    /// From now on each step takes that long, to the millisecond; one that has begun takes as long as it would have.
    ///
    /// # Errors
    /// If it has ended.
    pub fn take_for_a_step(&self, step: Duration) -> io::Result<()> {
        self.ask(&step.as_millis().to_string()).map(drop)
    }

    fn ask(&self, question: &str) -> io::Result<Standing> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(serde_json::from_str(&server.ask(question)?)?)
    }
}

/// Is a server with these settings (as JSON), for as long as standard input is open: that ends with whoever has started it.
/// Says on standard output where it listens, and then, for each line that it reads, how it stands. Such a line may say how many
/// milliseconds a step takes from now on.
///
/// # Errors
/// If the settings are none, or the clip or the card cannot be used.
pub fn serve(settings: &str) -> io::Result<()> {
    let settings: Settings = serde_json::from_str(settings)?;
    let clip = std::fs::read(&settings.clip)?;
    let double = Double::start(Flavour::New);
    double.behave(|it| {
        it.content = Content::Bytes(clip.into());
        it.steps = settings.steps;
        it.step = settings.step;
        it.models = settings.models.clone();
        // As Python has them: the real one is a script, and leaves its interpreter out.
        it.arguments = std::env::args().skip(1).collect();
    });
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let holding = scope.spawn(|| hold(&double, &settings, &ended));
        let told = tell(&double);
        ended.store(true, Ordering::Relaxed);
        let held = holding.join();
        told.and(held.unwrap_or_else(|_| Err(io::Error::other("it held nothing"))))
    })
}

fn tell(double: &Double) -> io::Result<()> {
    let mut answers = io::stdout().lock();
    writeln!(answers, "{}", double.url())?;
    for question in io::stdin().lock().lines() {
        if let Ok(millis) = question?.parse() {
            double.behave(|it| it.step = Duration::from_millis(millis));
        }
        let rendered = double.rendered().into_iter();
        let standing = Standing {
            running: double.running(),
            taken: double.taken(),
            rendered: rendered.map(|it| it.prompt).collect(),
            interrupts: double.interrupts(),
        };
        writeln!(answers, "{}", serde_json::to_string(&standing)?)?;
    }
    Ok(())
}

/// Holds what the server needs of its card until it has ended.
fn hold(double: &Double, settings: &Settings, ended: &AtomicBool) -> io::Result<()> {
    let pid = std::process::id();
    let (mut held, mut is_loaded, mut freed) = (None, false, 0);
    while !ended.load(Ordering::Relaxed) {
        let frees = double.frees();
        if frees != freed {
            (freed, is_loaded) = (frees, false);
        }
        let wanted = match double.running() {
            Some(_) => {
                is_loaded = true;
                settings.peak
            }
            None if is_loaded => settings.load,
            None => ByteSize::ZERO,
        };
        if held != Some(wanted) {
            if wanted == ByteSize::ZERO {
                settings.card.leave(pid)?;
            } else if let Err(refusal) = settings.card.hold(pid, wanted)? {
                // Told on the card, where a test looks.
                return Err(io::Error::other(format!("out of memory: {refusal:?}")));
            }
            double.behave(|it| {
                it.card = Some(Card {
                    total: settings.memory.as_bytes(),
                    held: wanted.as_bytes(),
                });
            });
            held = Some(wanted);
        }
        std::thread::sleep(LOOK);
    }
    settings.card.leave(pid)
}
