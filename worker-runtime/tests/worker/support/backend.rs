//! A backend whose every run is told by the test how to go on.

use std::path::PathBuf;

use async_trait::async_trait;
use shared::failure::Failure;
use shared::ids::ProfileName;
use shared::job::{JobKind, Outcome};
use shared::profile::{Profile, ResourceRequest};
use shared::protocol::{Resident, RunAttempt};
use tokio::sync::{mpsc, oneshot, watch};
use worker_runtime::backend::{AttemptContext, Backend, BackendId, NotReady, OnCard};

use super::within;

/// The profile that it offers if nothing else is said.
pub(crate) const PROFILE: &str = "stub";

/// The backend.
#[derive(Debug)]
pub(crate) struct ScriptedBackend {
    profiles: Vec<Profile>,
    calls: mpsc::UnboundedSender<Call>,
    ready: watch::Receiver<Result<(), NotReady>>,
    on_card: OnCard,
    residents: Vec<Resident>,
    unloads: mpsc::UnboundedSender<Option<ProfileName>>,
}

/// The test's end of it.
#[derive(Debug)]
pub(crate) struct Script {
    calls: mpsc::UnboundedReceiver<Call>,
    ready: watch::Sender<Result<(), NotReady>>,
    unloads: mpsc::UnboundedReceiver<Option<ProfileName>>,
}

/// One run that began.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) attempt: RunAttempt,
    pub(crate) context: AttemptContext,
    then: oneshot::Sender<Then>,
    dropped: oneshot::Receiver<()>,
}

/// How a run goes on.
#[derive(Debug)]
enum Then {
    Return(Box<Result<Outcome, Failure>>),
    Panic(&'static str),
}

/// A backend for [`PROFILE`].
pub(crate) fn scripted() -> (ScriptedBackend, Script) {
    scripted_for(vec![profile(JobKind::Story, PROFILE)])
}

/// A backend for those profiles.
pub(crate) fn scripted_for(profiles: Vec<Profile>) -> (ScriptedBackend, Script) {
    let (sender, calls) = mpsc::unbounded_channel();
    let (ready, is_ready) = watch::channel(Ok(()));
    let (unload, unloads) = mpsc::unbounded_channel();
    let backend = ScriptedBackend {
        profiles,
        calls: sender,
        ready: is_ready,
        on_card: OnCard::default(),
        residents: Vec::new(),
        unloads: unload,
    };
    let script = Script {
        calls,
        ready,
        unloads,
    };
    (backend, script)
}

impl ScriptedBackend {
    /// The same, with a server of that name and process.
    pub(crate) fn serving(self, id: &str, pid: u32) -> Self {
        let on_card = OnCard {
            id: Some(BackendId(id.to_owned())),
            pids: vec![pid],
            ..OnCard::default()
        };
        Self { on_card, ..self }
    }

    /// The same, and its server says of itself that it has that profile's model on the card.
    pub(crate) fn with_loaded(mut self, profile: &Profile, device: &str) -> Self {
        self.residents.push(Resident {
            profile: profile.name.clone(),
            backend: profile.backend.clone(),
            device: device.to_owned(),
            size: None,
        });
        self
    }
}

/// A profile that needs no device.
pub(crate) fn profile(kind: JobKind, name: &str) -> Profile {
    Profile {
        name: name.parse().unwrap(),
        kind,
        backend: "scripted".to_owned(),
        needs: ResourceRequest::default(),
    }
}

impl Script {
    /// The next run that begins.
    pub(crate) async fn call(&mut self) -> Call {
        within(self.calls.recv(), "a run to begin").await.unwrap()
    }

    /// The next word to unload: that model, or everything.
    pub(crate) async fn unload(&mut self) -> Option<ProfileName> {
        within(self.unloads.recv(), "a word to unload")
            .await
            .unwrap()
    }

    /// From now on the backend lacks that, or nothing.
    pub(crate) fn lacks(&self, reason: Option<&str>) {
        let ready = reason.map_or(Ok(()), |reason| Err(NotReady(reason.to_owned())));
        self.ready.send_modify(|now| *now = ready);
    }

    /// Checks that no run has begun that was not looked at.
    pub(crate) fn no_more_calls(&mut self) {
        if let Ok(call) = self.calls.try_recv() {
            panic!("a run began: {:?}", call.attempt);
        }
    }
}

impl Call {
    pub(crate) fn finish(self, result: Result<Outcome, Failure>) {
        // A run that was stopped is not there to hear it.
        let _ = self.then.send(Then::Return(Box::new(result)));
    }

    pub(crate) fn panic(self, message: &'static str) {
        self.then.send(Then::Panic(message)).unwrap();
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.context.scratch.clone()
    }

    /// Waits until the run is told to stop.
    pub(crate) async fn cancelled(&self) {
        within(self.context.cancelled.cancelled(), "the run to be stopped").await;
    }

    /// Does that, upon which the run's future is dropped.
    pub(crate) async fn dropped_by(self, what: impl Future<Output = ()>) {
        what.await;
        self.dropped().await;
    }

    /// Waits until the run's future is dropped.
    pub(crate) async fn dropped(self) {
        let Self { dropped, then, .. } = self;
        assert!(within(dropped, "the run to be dropped").await.is_err());
        drop(then);
    }
}

#[async_trait]
impl Backend for ScriptedBackend {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn profiles(&self) -> Vec<Profile> {
        self.profiles.clone()
    }

    fn on_card(&self) -> OnCard {
        self.on_card.clone()
    }

    fn residents(&self) -> Vec<Resident> {
        self.residents.clone()
    }

    async fn unload(&self, profile: Option<&ProfileName>) -> Result<(), String> {
        self.unloads.send(profile.cloned()).unwrap();
        Ok(())
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        self.ready.borrow().clone()
    }

    async fn run(
        &self,
        attempt: &RunAttempt,
        context: &AttemptContext,
    ) -> Result<Outcome, Failure> {
        let (then, told) = oneshot::channel();
        let (_held, dropped) = oneshot::channel();
        let call = Call {
            attempt: attempt.clone(),
            context: context.clone(),
            then,
            dropped,
        };
        self.calls.send(call).unwrap();
        match told.await {
            Ok(Then::Return(result)) => *result,
            Ok(Then::Panic(message)) => panic!("{message}"),
            // The test has let go of the call: the run hangs.
            Err(_) => std::future::pending().await,
        }
    }
}
