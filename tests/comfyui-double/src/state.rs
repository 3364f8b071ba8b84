//! The double itself: what lasts over its lives, and what does not.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::extract::ws::Message;
use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::behaviour::{Behaviour, Content};
use crate::messages::{self, ToClient};
use crate::{engine, http};

/// How long a port is waited for that the last life still has.
const BIND_TRIES: u32 = 200;

/// Which version it is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// 0.3.64, of October 2025.
    Old,
    /// 0.33.0, of August 2026.
    New,
}

impl Flavour {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Old, Self::New];

    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::Old => "0.3.64",
            Self::New => "0.33.0",
        }
    }
}

/// A prompt whose result was computed and saved, not taken out of the cache.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// Its id.
    pub prompt: String,
    /// What came with it.
    pub extra_data: Value,
    /// Its graph.
    pub graph: Value,
    /// The files that it saved.
    pub files: Vec<String>,
}

/// A running double. It ends when it is dropped.
#[derive(Debug)]
pub struct Double {
    pub(crate) shared: Arc<Shared>,
    address: SocketAddr,
    life: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// What all lives share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) flavour: Flavour,
    pub(crate) behaviour: Mutex<Behaviour>,
    pub(crate) disk: Mutex<Disk>,
    /// The prompt that runs, for whoever watches from outside.
    pub(crate) running: Mutex<Option<String>>,
    /// Fires when the process is to die by its own fault.
    pub(crate) dies: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// By folder and name.
    pub(crate) outputs: BTreeMap<(String, String), Content>,
    pub(crate) inputs: BTreeMap<String, Bytes>,
    pub(crate) rendered: Vec<Rendered>,
    /// Ids of prompts that were taken, in order.
    pub(crate) taken: Vec<String>,
    /// How many were not.
    pub(crate) refused: u32,
    pub(crate) interrupts: u32,
    pub(crate) frees: u32,
}

/// One life: gone when the process is.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) shared: Arc<Shared>,
    pub(crate) now: Mutex<Now>,
    /// Fires when there is something to run, or a running prompt should look up.
    pub(crate) wake: Notify,
    /// What is told to clients, in order.
    pub(crate) told: mpsc::UnboundedSender<ToClient>,
}

#[derive(Debug, Default)]
pub(crate) struct Now {
    pub(crate) next_number: i64,
    pub(crate) pending: Vec<Prompt>,
    pub(crate) running: Option<Running>,
    pub(crate) history: Map<String, Value>,
    /// The ids in the history, the oldest first.
    pub(crate) ended: Vec<String>,
    pub(crate) interrupted: HashSet<String>,
    pub(crate) cache: HashMap<String, Value>,
    pub(crate) sockets: HashMap<String, Listener>,
    /// The status of the job before, which a lie repeats.
    pub(crate) last_success: bool,
}

/// Who hears, by its client id.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    /// Takes one message and waits with the next.
    pub(crate) hears: mpsc::Sender<Message>,
    /// Whether it has said that it takes pictures with what is said beside them.
    pub(crate) takes_metadata: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    pub(crate) number: Value,
    pub(crate) id: String,
    pub(crate) graph: Map<String, Value>,
    pub(crate) extra: Map<String, Value>,
    pub(crate) outputs: Vec<String>,
}

impl Prompt {
    pub(crate) fn tuple(&self) -> Value {
        serde_json::json!([self.number, self.id, self.graph, self.extra, self.outputs])
    }

    pub(crate) fn client(&self) -> Option<&str> {
        self.extra.get("client_id")?.as_str()
    }
}

#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) prompt: Prompt,
    pub(crate) node: Option<String>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Double {
    /// Starts one on a free port of the loopback interface.
    ///
    /// # Panics
    /// If there is no port.
    pub fn start(flavour: Flavour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            flavour,
            behaviour: Mutex::default(),
            disk: Mutex::default(),
            running: Mutex::default(),
            dies: Notify::new(),
        });
        let life = Some(live(&shared, listener));
        Self {
            shared,
            address,
            life,
        }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) -> &Self {
        change(&mut lock(&self.shared.behaviour));
        self
    }

    /// Kills it in whatever it does: queue, history and sockets are gone, files stay.
    pub fn kill(&mut self) {
        if let Some((stop, thread)) = self.life.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Starts it again on the same port.
    ///
    /// # Panics
    /// If somebody else has taken the port.
    pub fn start_again(&mut self) {
        self.kill();
        for _ in 0..BIND_TRIES {
            if let Ok(listener) = TcpListener::bind(self.address) {
                self.life = Some(live(&self.shared, listener));
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the port {} is taken", self.address.port());
    }

    /// What it has computed and saved, in order, in all its lives.
    pub fn rendered(&self) -> Vec<Rendered> {
        lock(&self.shared.disk).rendered.clone()
    }

    /// The id of the prompt that runs, if one does.
    pub fn running(&self) -> Option<String> {
        lock(&self.shared.running).clone()
    }

    /// The ids of the prompts that it has taken, in order, in all its lives.
    pub fn taken(&self) -> Vec<String> {
        lock(&self.shared.disk).taken.clone()
    }

    /// How many prompts it has turned down, in all its lives.
    pub fn refused(&self) -> u32 {
        lock(&self.shared.disk).refused
    }

    /// How often it was asked to interrupt or cancel something.
    pub fn interrupts(&self) -> u32 {
        lock(&self.shared.disk).interrupts
    }

    /// How often it was asked to free its memory.
    pub fn frees(&self) -> u32 {
        lock(&self.shared.disk).frees
    }

    /// The names of its output files, folder included.
    pub fn outputs(&self) -> Vec<String> {
        let disk = lock(&self.shared.disk);
        let names = disk.outputs.keys();
        names
            .map(|(folder, name)| format!("{folder}/{name}"))
            .collect()
    }

    /// The names of its input files, folder included.
    pub fn inputs(&self) -> Vec<String> {
        lock(&self.shared.disk).inputs.keys().cloned().collect()
    }

    /// Removes its output files, as a person might.
    pub fn remove_outputs(&self) {
        lock(&self.shared.disk).outputs.clear();
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.kill();
    }
}

fn live(shared: &Arc<Shared>, listener: TcpListener) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel();
    let shared = Arc::clone(shared);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        runtime.block_on(async {
            listener.set_nonblocking(true).expect("it can be");
            let listener = tokio::net::TcpListener::from_std(listener).expect("it is one");
            let (told, to_tell) = mpsc::unbounded_channel();
            let life = Arc::new(Life {
                shared: Arc::clone(&shared),
                now: Mutex::default(),
                wake: Notify::new(),
                told,
            });
            let app = http::app(Arc::clone(&life));
            tokio::select! {
                _ = stopped => {}
                () = shared.dies.notified() => {}
                () = messages::deliver(Arc::clone(&life), to_tell) => {}
                () = engine::run(life) => {}
                _ = async { axum::serve(listener, app).await } => {}
            }
        });
        // With the runtime go all connections.
        drop(runtime);
        *lock(&shared.running) = None;
    });
    (stop, thread)
}
