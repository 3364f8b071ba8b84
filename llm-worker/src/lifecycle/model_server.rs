//! One server with those of its models that our profiles stand for: asks what is loaded, loads, unloads, and sees whether it
//! happened. The one place of all this with I/O.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::fields;
use shared::ids::ProfileName;
use shared::protocol::Resident;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use worker_runtime::backend::{BackendId, BackendSays, OnCard};
use worker_runtime::serving::{KnownBy, lives, processes_of};

pub use super::tally::Kept;
use super::tally::{Seen, is_there, one_too_many};
use super::{Held, HeldState, Lifecycle, Wanted, recognised_by};
use crate::provider::{Call, Limit, ProviderError, Reply, Server};

/// What a server is called by all workers of this host, and the port that it has on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub id: BackendId,
    /// Its port, if it is on this host.
    pub port: Option<u16>,
}

/// An answer that has nothing to wait for comes within this time.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// What was seen is looked at anew after this long: others load and unload, too.
const KEEPS: Duration = Duration::from_secs(5);
/// A model that was asked to go is off the list within this time, or is asked again by whoever wants its memory.
const GOES_WITHIN: Duration = Duration::from_secs(2);
/// A model that a server says it has loaded is on its list within this time.
const SHOWS_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two looks at a list that is about to change.
const LOOK_EACH: Duration = Duration::from_millis(100);

/// One server with our models on it.
#[derive(Debug)]
pub struct ModelServer {
    place: Place,
    server: Server,
    /// How its models are loaded and unloaded: known from the start, never to be had, or to be found out.
    known: Option<Option<&'static dyn Lifecycle>>,
    kept: Vec<Kept>,
    seen: Mutex<(Seen, Option<Instant>)>,
    /// Two that load one model at once may get it twice.
    loading: tokio::sync::Mutex<()>,
    looking: AtomicBool,
}

impl ModelServer {
    /// That server. `known`: how its models are loaded and unloaded, or that they are not; absent: to be found out.
    pub fn new(
        place: Place,
        server: Server,
        known: Option<Option<&'static dyn Lifecycle>>,
        kept: Vec<Kept>,
    ) -> Arc<Self> {
        Arc::new(Self {
            place,
            server,
            known,
            kept,
            seen: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            looking: AtomicBool::new(false),
        })
    }

    /// Looks at what is loaded.
    ///
    /// # Errors
    /// If the server does not tell.
    pub async fn look(&self) -> Result<Vec<Held>, ProviderError> {
        let looked = self.ask_for_list().await;
        let (lifecycle, held) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                *self.seen() = (Seen::default(), Some(Instant::now()));
                return Err(error);
            }
        };
        let pids = self.pids(lifecycle, &held).await;
        let now = Seen {
            answers: true,
            lifecycle,
            held: held.clone(),
            pids,
        };
        let before = std::mem::replace(&mut *self.seen(), (now.clone(), Some(Instant::now()))).0;
        self.name_strangers(&before, &now);
        Ok(held)
    }

    /// Sees to it that this profile's model is loaded; its context in tokens, where the server tells it. Does nothing at a
    /// server that offers no loading. `told` hears that it takes a while.
    ///
    /// # Errors
    /// Why it is not loaded.
    pub async fn ready(
        &self,
        profile: &ProfileName,
        limit: &Limit,
        told: &(dyn Fn(&str) + Sync),
    ) -> Result<Option<u32>, ProviderError> {
        let Some(kept) = self.kept.iter().find(|kept| kept.profile == *profile) else {
            return Ok(None);
        };
        tokio::select! {
            biased;
            () = limit.cancelled.cancelled() => Err(ProviderError::Cancelled),
            () = sleep_until(limit.deadline) => Err(ProviderError::TimedOut),
            loaded = self.load(kept, told) => loaded,
        }
    }

    async fn load(
        &self,
        kept: &Kept,
        told: &(dyn Fn(&str) + Sync),
    ) -> Result<Option<u32>, ProviderError> {
        let Some(lifecycle) = self.lifecycle().await? else {
            return Ok(None);
        };
        let _alone = self.loading.lock().await;
        let mut asked: Option<(String, Instant)> = None;
        loop {
            let held = self.look().await?;
            let of_it = held
                .iter()
                .filter(|held| lifecycle.is(held, &kept.wanted.model));
            let (there, failed): (Vec<&Held>, Vec<&Held>) = of_it.partition(|held| held.is_there());
            match (there.first(), &asked) {
                (Some(first), _) if first.state == HeldState::Loading => {}
                (Some(first), asked) => {
                    if let Some((ours, _)) = asked
                        && let Some(extra) = one_too_many(&there, ours)
                    {
                        self.drop_instance(lifecycle, extra).await;
                    }
                    return self.accept(lifecycle, kept, first).await;
                }
                (None, None) => {
                    told("loading the model");
                    let instance = self.ask_to_load(lifecycle, &kept.wanted).await?;
                    asked = Some((instance, Instant::now()));
                    continue;
                }
                (None, Some(_)) if !failed.is_empty() => {
                    let why = failed.iter().find_map(|held| match &held.state {
                        HeldState::Failed(why) => Some(why.clone()),
                        HeldState::Loading | HeldState::Ready | HeldState::Asleep => None,
                    });
                    let model = &kept.wanted.model;
                    let why = why.unwrap_or_default();
                    return Err(ProviderError::Failed(format!(
                        "`{model}` did not load: {why}"
                    )));
                }
                (None, Some((_, at))) if at.elapsed() > SHOWS_WITHIN => {
                    let (who, model) = (lifecycle.name(), &kept.wanted.model);
                    let problem =
                        format!("{who} said that it loaded `{model}`, and does not list it");
                    return Err(ProviderError::Failed(problem));
                }
                (None, Some(_)) => {}
            }
            told("loading the model");
            sleep(LOOK_EACH).await;
        }
    }

    /// Asks for the model; what the new instance is called.
    async fn ask_to_load(
        &self,
        lifecycle: &dyn Lifecycle,
        wanted: &Wanted,
    ) -> Result<String, ProviderError> {
        tracing::info!({ fields::BACKEND } = %self.place.id, model = wanted.model, "loads a model");
        let reply = self.server.fetch(&lifecycle.load(wanted)).await?;
        lifecycle.judge_load(&reply)?;
        let instance = reply.json().unwrap_or_default()["instance_id"]
            .as_str()
            .map(str::to_owned);
        Ok(instance.unwrap_or_else(|| wanted.model.clone()))
    }

    /// The model is loaded; whether it is as it was declared.
    async fn accept(
        &self,
        lifecycle: &dyn Lifecycle,
        kept: &Kept,
        held: &Held,
    ) -> Result<Option<u32>, ProviderError> {
        if let Err(error) = is_there(kept, held) {
            if !kept.pinned {
                self.drop_instance(lifecycle, held).await;
                let _ = self.look().await;
            }
            return Err(error);
        }
        Ok(held.context)
    }

    async fn drop_instance(&self, lifecycle: &dyn Lifecycle, held: &Held) {
        let dropped = match self.quickly(&lifecycle.unload(held)).await {
            Ok(reply) => lifecycle.judge_unload(&reply),
            Err(error) => Err(error),
        };
        if let Err(error) = dropped {
            tracing::warn!(
                { fields::BACKEND } = %self.place.id,
                { fields::ERROR } = %error,
                instance = held.instance,
                "an instance that is of no use could not be unloaded"
            );
        }
    }

    /// Puts that profile's model out, or all of ours, and sees whether the server still has it. What others have loaded stays,
    /// and so does what is pinned.
    ///
    /// # Errors
    /// What stays, and why.
    pub async fn unload(&self, profile: Option<&ProfileName>) -> Result<(), String> {
        let lifecycle = match self.lifecycle().await {
            Ok(Some(lifecycle)) => lifecycle,
            Ok(None) => {
                return Err(format!(
                    "{} has no way to unload its model, which stays until somebody stops the server",
                    self.place.id
                ));
            }
            Err(error) => return gone_or(&error),
        };
        let named = |kept: &&Kept| profile.is_none_or(|profile| kept.profile == *profile);
        let (pinned, wanted): (Vec<&Kept>, Vec<&Kept>) =
            self.kept.iter().filter(named).partition(|kept| kept.pinned);
        if wanted.is_empty() && !pinned.is_empty() {
            let names: Vec<&str> = pinned.iter().map(|it| it.wanted.model.as_str()).collect();
            return Err(format!(
                "pinned in the settings, so it stays: {}",
                names.join(", ")
            ));
        }
        let is_to_go = |held: &&Held| {
            held.is_there() && wanted.iter().any(|it| lifecycle.is(held, &it.wanted.model))
        };
        let held = match self.look().await {
            Ok(held) => held,
            Err(error) => return gone_or(&error),
        };
        let mut refused = Ok(());
        for held in held.iter().filter(is_to_go) {
            let answered = self.quickly(&lifecycle.unload(held)).await;
            let judged = answered.and_then(|reply| lifecycle.judge_unload(&reply));
            // A server that answers only when all is done may take long; the list tells.
            if let Err(error) = judged
                && !matches!(error, ProviderError::TimedOut)
            {
                refused = Err(format!(
                    "`{}` could not be unloaded: {error}",
                    held.instance
                ));
            }
        }
        refused?;
        let until = Instant::now() + GOES_WITHIN;
        loop {
            let held = match self.look().await {
                Ok(held) => held,
                Err(error) => return gone_or(&error),
            };
            let left: Vec<&str> = held
                .iter()
                .filter(is_to_go)
                .map(|it| it.instance.as_str())
                .collect();
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                let (who, left) = (lifecycle.name(), left.join(", "));
                return Err(format!(
                    "{who} answered that it unloads, and still has {left}"
                ));
            }
            sleep(LOOK_EACH).await;
        }
    }

    /// How the server uses the card, as it was seen last. `profile`: for whom it is asked.
    pub fn on_card(self: &Arc<Self>, profile: &ProfileName) -> OnCard {
        self.look_if_old();
        let pinned = self
            .kept
            .iter()
            .any(|kept| kept.profile == *profile && kept.pinned);
        self.seen().0.on_card(&self.place.id, &self.kept, pinned)
    }

    /// Those of our models that hold device memory, as it was seen last.
    pub fn residents(&self) -> Vec<Resident> {
        self.seen().0.residents(&self.place.id, &self.kept)
    }

    /// What it does for us: a connection that was closed ends an answer at once, so whoever answers has nothing to do.
    pub async fn says(&self) -> BackendSays {
        match self.look().await {
            Ok(_) => BackendSays::Idle,
            Err(ProviderError::Unreachable(_)) => BackendSays::Gone,
            Err(_) => BackendSays::Silent { quiet: false },
        }
    }

    /// Others load and unload, too: what was seen is looked at anew now and then, for as long as somebody wants to know.
    fn look_if_old(self: &Arc<Self>) {
        let is_new = self.seen().1.is_some_and(|at| at.elapsed() < KEEPS);
        let nobody_cares = self.kept.iter().all(|kept| kept.device.is_none());
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if is_new || nobody_cares || self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        runtime.spawn(async move {
            // What comes of it is what is seen next.
            let _ = timeout(ANSWERS_WITHIN, this.look()).await;
            this.looking.store(false, Ordering::Release);
        });
    }

    async fn ask_for_list(
        &self,
    ) -> Result<(Option<&'static dyn Lifecycle>, Vec<Held>), ProviderError> {
        if matches!(self.known, Some(None)) {
            return Ok((None, Vec::new()));
        }
        let Some(lifecycle) = self.lifecycle().await? else {
            // Whatever it says: it is there.
            self.quickly(&Call::get("/v1/models")).await?;
            return Ok((None, Vec::new()));
        };
        let reply = self.quickly(&lifecycle.list()).await?;
        Ok((Some(lifecycle), lifecycle.held(&reply)?))
    }

    /// How its models are loaded and unloaded, if it offers that.
    async fn lifecycle(&self) -> Result<Option<&'static dyn Lifecycle>, ProviderError> {
        if let Some(known) = self.known {
            return Ok(known);
        }
        let (answered, found) = {
            let seen = self.seen();
            (seen.0.answers, seen.0.lifecycle)
        };
        if answered {
            return Ok(found);
        }
        for (call, recognise) in recognised_by() {
            let reply = self.quickly(&call).await?;
            // Who may not ask, or asks too early, is told nothing of the kind.
            if matches!(reply.status, 401 | 403 | 502..=504) {
                return Err(self.server.provider().refusal(&reply));
            }
            if let Some(lifecycle) = recognise(&reply) {
                return Ok(Some(lifecycle));
            }
        }
        Ok(None)
    }

    async fn quickly(&self, call: &Call) -> Result<Reply, ProviderError> {
        let answered = timeout(ANSWERS_WITHIN, self.server.fetch(call)).await;
        answered.map_err(|_| ProviderError::TimedOut)?
    }

    /// Its processes. Looked for again only when something has changed: it costs some milliseconds.
    async fn pids(&self, lifecycle: Option<&'static dyn Lifecycle>, held: &[Held]) -> Vec<u32> {
        let Some(port) = self.place.port else {
            return Vec::new();
        };
        if self.kept.iter().all(|kept| kept.device.is_none()) {
            return Vec::new();
        }
        let (same, known) = {
            let seen = self.seen();
            (seen.0.answers && seen.0.held == held, seen.0.pids.clone())
        };
        if same && !known.is_empty() && known.iter().all(|pid| lives(*pid)) {
            return known;
        }
        let known = match lifecycle {
            Some(lifecycle) => KnownBy::Name(lifecycle.program().to_owned()),
            None => KnownBy::Nothing,
        };
        let found = tokio::task::spawn_blocking(move || processes_of(port, &known));
        found.await.unwrap_or_default()
    }

    /// Says once what stays in memory because it is not ours.
    fn name_strangers(&self, before: &Seen, now: &Seen) {
        let strangers = now.strangers(&self.kept);
        if strangers != before.strangers(&self.kept) && !strangers.is_empty() {
            tracing::info!(
                { fields::BACKEND } = %self.place.id,
                models = strangers.join(", "),
                "models of others are loaded there; they are left alone"
            );
        }
    }

    fn seen(&self) -> MutexGuard<'_, (Seen, Option<Instant>)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that is gone has taken its models with it.
fn gone_or(error: &ProviderError) -> Result<(), String> {
    match error {
        ProviderError::Unreachable(_) => Ok(()),
        other => Err(other.to_string()),
    }
}
