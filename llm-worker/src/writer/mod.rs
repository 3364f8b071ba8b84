//! The backend that writes stories with a language model: asks what [`Draft`] says, and hands it the answers.

mod chain;
mod pause;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::failure::{Failure, FailureKind};
use shared::ids::ProfileName;
use shared::job::{JobKind, Outcome, Payload, Product, StoryPayload};
use shared::profile::{Profile, ResourceRequest};
use shared::protocol::{Resident, RunAttempt};
use shared::story::Story;
use tokio::time::{Instant, sleep, sleep_until};
use worker_runtime::backend::{AttemptContext, Backend, BackendSays, NotReady, OnCard};

pub use self::chain::{Chain, Stand};
use self::pause::Pause;
use crate::lifecycle::ModelServer;
use crate::outline;
use crate::provider::{Answer, Ask, Limit, ProviderError, Server, SetUpError};
use crate::settings::{CONTEXT, LlmSettings, ModelSettings, ProviderKind};
use crate::writing::{Draft, Next, Order, Said};

/// Pause between two looks at a server that still loads its model.
const LOADING_PAUSE: Duration = Duration::from_secs(1);
/// Pause before a busy server is asked again, if it does not say when.
const BUSY_PAUSE: Duration = Duration::from_secs(5);
/// How often one question is put off because a server is busy or a minute's quota is used up.
const PATIENCE: u32 = 5;

/// Writes stories with one model.
#[derive(Debug)]
pub struct Writer {
    profile: ProfileName,
    needs: ResourceRequest,
    model: String,
    server: Server,
    /// The same server, with all of our models there.
    models: Arc<ModelServer>,
    context: u32,
    temperature: f64,
    timeout: Duration,
    checks: bool,
    pause: Pause,
}

impl Writer {
    /// The writer with that model, which is the only one of ours on its server.
    ///
    /// # Errors
    /// If its server's URL is none.
    pub fn new(settings: &LlmSettings, model: &ModelSettings) -> Result<Self, SetUpError> {
        let models = model.models(settings.key_of(model), vec![model.kept()])?;
        Self::on(settings, model, models)
    }

    /// The writers with all models in the settings. Those on one server know of each other.
    ///
    /// # Errors
    /// If a server's URL is none.
    pub fn all(settings: &LlmSettings) -> Result<Vec<Self>, SetUpError> {
        type At<'a> = (ProviderKind, Option<&'a str>);
        let mut servers: Vec<(At<'_>, Arc<ModelServer>)> = Vec::new();
        let mut writers = Vec::new();
        for model in &settings.models {
            let place = (model.provider, model.url());
            let known = servers.iter().find(|(known, _)| *known == place);
            let models = match known {
                Some((_, models)) => Arc::clone(models),
                None => {
                    let all = settings.models.iter();
                    let on_it = all.filter(|other| (other.provider, other.url()) == place);
                    let kept = on_it.map(ModelSettings::kept).collect();
                    let models = model.models(settings.key_of(model), kept)?;
                    servers.push((place, Arc::clone(&models)));
                    models
                }
            };
            writers.push(Self::on(settings, model, models)?);
        }
        Ok(writers)
    }

    fn on(
        settings: &LlmSettings,
        model: &ModelSettings,
        models: Arc<ModelServer>,
    ) -> Result<Self, SetUpError> {
        let key = settings.key_of(model);
        Ok(Self {
            profile: model.profile.clone(),
            needs: model.needs(),
            model: model.model.clone(),
            server: model.server(key)?,
            models,
            context: model.context,
            temperature: model.temperature,
            timeout: model.timeout,
            checks: !settings.skip_health_check,
            pause: Pause::default(),
        })
    }

    fn profile(&self) -> Profile {
        Profile {
            name: self.profile.clone(),
            kind: JobKind::Story,
            backend: self.server.provider().name().to_owned(),
            needs: self.needs,
        }
    }

    /// The server in a word, with its place.
    fn who(&self) -> String {
        let url = self.server.url().as_str().trim_end_matches('/');
        format!("{} at {url}", self.server.provider().name())
    }

    fn failure(&self, error: &ProviderError) -> Failure {
        error.failure(&self.who())
    }

    async fn write(
        &self,
        payload: &StoryPayload,
        context: &AttemptContext,
        deadline: Instant,
    ) -> Result<Story, Failure> {
        let mut order = self.order(payload)?;
        if self.checks {
            self.wait_until_loaded(context, deadline).await?;
        }
        order.context = self.load(context, deadline).await?;
        let mut draft = Draft::new(order);
        loop {
            let ask = match draft.next()? {
                Next::Done(story) => return Ok(*story),
                Next::Ask(ask) => Ask {
                    threads: context.threads,
                    ..*ask
                },
            };
            let (phase, written) = (draft.phase(), draft.written());
            let told = |tokens| {
                let phase = format!("{phase}, {tokens} tokens");
                context.progress.tell(&phase, written, payload.scenes);
            };
            told(0);
            let said = match self.patiently(&ask, context, deadline, &told).await {
                Ok(answer) => Said::Whole(answer.text),
                Err(ProviderError::Cut { .. }) => Said::Cut,
                Err(error) => {
                    self.pause.after(&error, Instant::now());
                    return Err(self.failure(&error));
                }
            };
            draft.answer(said)?;
        }
    }

    fn order(&self, payload: &StoryPayload) -> Result<Order, Failure> {
        let premise = payload.premise.as_deref().unwrap_or_default();
        let problem = match payload.scenes {
            _ if premise.trim().is_empty() => {
                "the job has neither a premise nor a script".to_owned()
            }
            scenes if !shared::film::SCENES.contains(&scenes) => {
                format!("a story of {scenes} scenes cannot be written; 3 to 24 can")
            }
            scenes => {
                return Ok(Order {
                    premise: premise.to_owned(),
                    title: payload.title.clone(),
                    scenes,
                    seconds: payload.seconds,
                    seed: payload.seed,
                    context: self.context,
                    temperature: self.temperature,
                });
            }
        };
        Err(Failure::new(FailureKind::Permanent, problem))
    }

    /// A server that loads is waited for; any other trouble ends the attempt before anything is paid.
    async fn wait_until_loaded(
        &self,
        context: &AttemptContext,
        deadline: Instant,
    ) -> Result<(), Failure> {
        loop {
            let checked = tokio::select! {
                () = context.cancelled.cancelled() => Err(ProviderError::Cancelled),
                checked = self.server.check() => checked,
            };
            let error = match checked {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !matches!(error, ProviderError::Loading(_))
                || Instant::now() + LOADING_PAUSE > deadline
            {
                return Err(self.failure(&error));
            }
            context.progress.tell("waiting for the model to load", 0, 0);
            self.rest(LOADING_PAUSE, context).await?;
        }
    }

    /// Sees to it that the model is loaded, where the server lets us; the context that it has then.
    async fn load(&self, context: &AttemptContext, deadline: Instant) -> Result<u32, Failure> {
        let limit = Limit {
            deadline,
            cancelled: context.cancelled.clone(),
        };
        let told = |phase: &str| context.progress.tell(phase, 0, 0);
        let loaded = self.models.ready(&self.profile, &limit, &told).await;
        match loaded.map_err(|error| self.failure(&error))? {
            // Somebody has loaded it with less: the story is asked for in smaller parts.
            Some(has) if has < *CONTEXT.start() => {
                let (profile, least) = (&self.profile, CONTEXT.start());
                let problem = format!(
                    "{}: the model of `{profile}` is loaded with a context of {has} tokens, and a story needs {least}; unload \
                     it there, or load it with more",
                    self.who()
                );
                Err(Failure::new(FailureKind::Transient, problem))
            }
            Some(has) => Ok(has.min(self.context)),
            None => Ok(self.context),
        }
    }

    /// Asks, and asks again when the server says that it was only the wrong moment.
    async fn patiently(
        &self,
        ask: &Ask,
        context: &AttemptContext,
        deadline: Instant,
        told: &(impl Fn(u32) + Sync),
    ) -> Result<Answer, ProviderError> {
        let mut tries = 0;
        loop {
            let limit = Limit {
                deadline: deadline.min(Instant::now() + self.timeout),
                cancelled: context.cancelled.clone(),
            };
            let error = match self
                .server
                .ask(ask, &limit, &mut |tokens| told(tokens))
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tries += 1;
            let Some(pause) = error.passes_after(BUSY_PAUSE).filter(|_| tries < PATIENCE) else {
                return Err(error);
            };
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            context.progress.tell(&format!("waiting: {error}"), 0, 0);
            tokio::select! {
                () = context.cancelled.cancelled() => return Err(ProviderError::Cancelled),
                () = sleep_until(Instant::now() + pause) => {}
            }
        }
    }

    async fn rest(&self, pause: Duration, context: &AttemptContext) -> Result<(), Failure> {
        tokio::select! {
            () = context.cancelled.cancelled() => Err(self.failure(&ProviderError::Cancelled)),
            () = sleep(pause) => Ok(()),
        }
    }
}

#[async_trait]
impl Backend for Writer {
    fn name(&self) -> &'static str {
        self.server.provider().name()
    }

    fn profiles(&self) -> Vec<Profile> {
        vec![self.profile()]
    }

    fn residents(&self) -> Vec<Resident> {
        self.models.residents()
    }

    fn on_card(&self) -> OnCard {
        self.models.on_card(&self.profile)
    }

    async fn says(&self) -> BackendSays {
        self.models.says().await
    }

    async fn unload(&self, profile: Option<&ProfileName>) -> Result<(), String> {
        self.models.unload(profile).await
    }

    fn made_by(&self, _profile: &ProfileName) -> Option<String> {
        Some(format!("{}, context {}", self.model, self.context))
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        if let Some(reason) = self.pause.reason(Instant::now()) {
            return Err(NotReady(format!("{}: {reason}", self.who())));
        }
        if !self.checks {
            return Ok(());
        }
        let not_ready = |error| NotReady(self.failure(&error).message);
        self.server.check().await.map_err(not_ready)?;
        if self.needs.device.is_some() {
            self.models.look().await.map_err(not_ready)?;
        }
        Ok(())
    }

    async fn run(
        &self,
        attempt: &RunAttempt,
        context: &AttemptContext,
    ) -> Result<Outcome, Failure> {
        let Payload::Story(payload) = &attempt.payload else {
            let problem = format!(
                "`{}` writes stories and was given a {} job",
                self.profile,
                attempt.payload.kind()
            );
            return Err(Failure::new(FailureKind::Permanent, problem));
        };
        // A script is a story already, and stays word for word as its author wrote it.
        let story = match &payload.script {
            Some(_) => outline::story(payload)?,
            None => {
                let deadline = Instant::now() + attempt.time_limit;
                self.write(payload, context, deadline).await?
            }
        };
        Ok(Outcome::from(Product::Story { story }))
    }
}
