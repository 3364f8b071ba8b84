//! The models that a server has in memory: what is loaded, on its way there, or on its way out.
//!
//! With the traps of the real ones: an unload that is answered before it has happened, or that never happens; memory that is
//! back only later; a second instance of a model that is loaded; a part of the model that went to host memory in silence.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;
use simulated_gpu::Card;
use tokio::sync::watch;
use tokio::time::sleep;

/// How a server treats its models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Behaviour {
    /// What a loaded model holds of the card.
    pub size: ByteSize,
    /// How long loading takes.
    pub load: Duration,
    /// How long a model that was told to go stays on the list.
    pub leaves: Duration,
    /// How long after that its memory is back.
    pub lag: Duration,
    /// So many unloads are answered as if they were done, and are not.
    pub ignores: u32,
    /// So many loads fail.
    pub fails: u32,
    /// Of each model that is loaded, this share is on the card, in hundredths; the rest went to host memory in silence.
    pub on_card: u64,
    /// How long an answer takes that it makes up by itself.
    pub answers: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            size: ByteSize::gib(10),
            load: Duration::ZERO,
            leaves: Duration::ZERO,
            lag: Duration::ZERO,
            ignores: 0,
            fails: 0,
            on_card: 100,
            answers: Duration::ZERO,
        }
    }
}

/// One model in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Which model.
    pub key: String,
    /// What the server calls this instance.
    pub id: String,
    /// It can be asked.
    pub ready: bool,
    /// Its context.
    pub context: u32,
    /// What it holds of the card.
    pub on_card: ByteSize,
}

/// How a server's models stand, and what became of them so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// What is in memory.
    pub instances: Vec<Instance>,
    /// What it holds of the card: more than its instances, while memory is on its way back.
    pub held: ByteSize,
    /// How often it has loaded a model.
    pub loads: u32,
    /// How often it was asked to unload one.
    pub unloads: u32,
    /// The models whose last load has failed.
    pub failed: Vec<String>,
}

/// Why a model is not loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom;

/// The models of one server.
#[derive(Debug, Clone)]
pub struct Models {
    behaviour: Arc<Mutex<Behaviour>>,
    loaded: watch::Sender<Loaded>,
    /// The card that they are on, and the process that holds them there.
    card: Option<(Card, u32)>,
}

impl Models {
    /// Models that are in nobody's memory, or in that process's on that card.
    pub fn new(card: Option<(Card, u32)>) -> Self {
        Self {
            behaviour: Arc::default(),
            loaded: watch::Sender::default(),
            card,
        }
    }

    /// Behaves like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour_now() = behaviour;
    }

    /// How it behaves.
    pub fn behaviour(&self) -> Behaviour {
        self.behaviour_now().clone()
    }

    /// How they stand.
    pub fn loaded(&self) -> Loaded {
        self.loaded.borrow().clone()
    }

    /// Waits until they stand like that.
    pub async fn until(&self, is_so: impl FnMut(&Loaded) -> bool) {
        let mut loaded = self.loaded.subscribe();
        // The sender is this one.
        let _ = loaded.wait_for(is_so).await;
    }

    /// Is loaded from the start, by nobody who is known.
    pub fn is_loaded(&self, key: &str, context: u32) {
        let size = self.behaviour().size;
        self.change(|loaded| {
            loaded
                .instances
                .push(instance(loaded, key, context, size, true));
        });
    }

    /// Loads it, once more if it is loaded; what the new instance is called. Returns when it can be asked.
    ///
    /// # Errors
    /// If it does not fit.
    pub async fn load(&self, key: &str, context: u32) -> Result<String, NoRoom> {
        let id = self.begin_load(key, context);
        self.end_load(&id).await.map(|()| id)
    }

    /// The same, and returns at once.
    pub fn load_later(&self, key: &str, context: u32) {
        let (this, id) = (self.clone(), self.begin_load(key, context));
        tokio::spawn(async move { this.end_load(&id).await });
    }

    fn begin_load(&self, key: &str, context: u32) -> String {
        let mut id = String::new();
        self.change(|loaded| {
            loaded.failed.retain(|failed| failed != key);
            let new = instance(loaded, key, context, ByteSize::ZERO, false);
            id = new.id.clone();
            loaded.instances.push(new);
        });
        id
    }

    async fn end_load(&self, id: &str) -> Result<(), NoRoom> {
        let behaviour = self.behaviour();
        sleep(behaviour.load).await;
        let share = ByteSize::bytes(behaviour.size.as_bytes() / 100 * behaviour.on_card);
        let is_refused = {
            let mut now = self.behaviour_now();
            let refused = now.fails > 0;
            now.fails = now.fails.saturating_sub(1);
            refused
        };
        let fits = !is_refused && self.hold(plus(self.loaded().held, share));
        self.change(|loaded| {
            let Some(place) = loaded.instances.iter().position(|it| it.id == id) else {
                return;
            };
            if fits {
                loaded.loads += 1;
                loaded.held = plus(loaded.held, share);
                loaded.instances[place].ready = true;
                loaded.instances[place].on_card = share;
            } else {
                let gone = loaded.instances.remove(place);
                loaded.failed.push(gone.key);
            }
        });
        match fits {
            true => Ok(()),
            false => Err(NoRoom),
        }
    }

    /// Is told to let that instance go, and says yes; whether it had it.
    pub fn unload(&self, id: &str) -> bool {
        let had = self.loaded().instances.iter().any(|it| it.id == id);
        self.change(|loaded| loaded.unloads += 1);
        let mut behaviour = self.behaviour_now();
        if behaviour.ignores > 0 {
            behaviour.ignores -= 1;
            return had;
        }
        let (leaves, lag) = (behaviour.leaves, behaviour.lag);
        drop(behaviour);
        if !had {
            return false;
        }
        let (this, id) = (self.clone(), id.to_owned());
        let going = async move {
            sleep(leaves).await;
            let mut freed = ByteSize::ZERO;
            this.change(|loaded| {
                let of_it = loaded.instances.iter().find(|it| it.id == id);
                freed = of_it.map_or(ByteSize::ZERO, |it| it.on_card);
                loaded.instances.retain(|it| it.id != id);
            });
            sleep(lag).await;
            let left = ByteSize::bytes(
                this.loaded()
                    .held
                    .as_bytes()
                    .saturating_sub(freed.as_bytes()),
            );
            this.hold(left);
            this.change(|loaded| loaded.held = left);
        };
        tokio::spawn(going);
        true
    }

    /// Holds that much of the card from now on, if it is there.
    fn hold(&self, amount: ByteSize) -> bool {
        match &self.card {
            None => true,
            Some((card, pid)) => card.hold(*pid, amount).is_ok_and(|held| held.is_ok()),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Loaded)) {
        self.loaded.send_modify(change);
    }

    fn behaviour_now(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One more of that model; those after the first have a number.
fn instance(loaded: &Loaded, key: &str, context: u32, on_card: ByteSize, ready: bool) -> Instance {
    let taken = |id: &str| loaded.instances.iter().any(|it| it.id == id);
    let mut names = (2..).map(|number| format!("{key}:{number}"));
    let id = match taken(key) {
        false => key.to_owned(),
        true => names.find(|name| !taken(name)).unwrap_or_default(),
    };
    Instance {
        key: key.to_owned(),
        id,
        ready,
        context,
        on_card,
    }
}

fn plus(one: ByteSize, other: ByteSize) -> ByteSize {
    ByteSize::bytes(one.as_bytes() + other.as_bytes())
}
