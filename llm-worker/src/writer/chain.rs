//! A model with others that may write in its place when it cannot: only those that the settings name, in their order. Whoever
//! wrote in the end stands in the film and in its manifest.

use std::sync::Arc;

use async_trait::async_trait;
use shared::failure::{Failure, FailureKind};
use shared::ids::{Attempt, ProfileName};
use shared::job::{JobKind, Outcome, Payload, Product};
use shared::profile::{Profile, ResourceRequest};
use shared::protocol::{Resident, RunAttempt};
use worker_runtime::backend::{AttemptContext, Backend, BackendSays, NotReady, OnCard};

use super::Writer;
use crate::outline;

/// Those who write the stories of one profile: the first who can.
#[derive(Debug)]
pub struct Chain {
    profile: Profile,
    all: Vec<Stand>,
    /// Why the first of them is not what a film would want.
    lacking: Option<Failure>,
}

/// Who may write in a model's place.
#[derive(Debug, Clone)]
pub enum Stand {
    /// Another model.
    Model(Arc<Writer>),
    /// The outline by rule.
    Outline,
}

impl Chain {
    /// That model, and who may write in its place, first come first.
    pub fn new(first: Arc<Writer>, then: Vec<Stand>) -> Self {
        Self {
            profile: first.profile(),
            all: std::iter::once(Stand::Model(first)).chain(then).collect(),
            lacking: None,
        }
    }

    /// Whatever was found, the best first, under that profile; `lacking` if there is no model among them.
    pub fn of_found(profile: ProfileName, all: Vec<Stand>, lacking: Option<Failure>) -> Self {
        let profile = Profile {
            backend: profile.to_string(),
            name: profile,
            kind: JobKind::Story,
            needs: ResourceRequest::default(),
        };
        Self {
            profile,
            all,
            lacking,
        }
    }

    fn first(&self) -> Option<&Writer> {
        match self.all.first() {
            Some(Stand::Model(writer)) => Some(writer),
            Some(Stand::Outline) | None => None,
        }
    }
}

impl Stand {
    fn name(&self) -> &str {
        match self {
            Self::Model(writer) => writer.profile.as_str(),
            Self::Outline => outline::NAME,
        }
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        match self {
            Self::Model(writer) => writer.prepare().await,
            Self::Outline => Ok(()),
        }
    }

    async fn run(
        &self,
        attempt: &RunAttempt,
        context: &AttemptContext,
    ) -> Result<Outcome, Failure> {
        match (self, &attempt.payload) {
            (Self::Model(writer), _) => writer.run(attempt, context).await,
            (Self::Outline, Payload::Story(payload)) => {
                let story = outline::story(payload)?;
                Ok(Outcome::from(Product::Story { story }))
            }
            (Self::Outline, other) => {
                let problem = format!(
                    "stories are written here, and this is a {} job",
                    other.kind()
                );
                Err(Failure::new(FailureKind::Permanent, problem))
            }
        }
    }
}

/// Whether another one writes after that failure. What may pass by itself is tried once more before the film gets less than it
/// was to have.
const fn is_passed_on(kind: FailureKind, attempt: Attempt) -> bool {
    match kind {
        FailureKind::Transient | FailureKind::OutOfMemory => {
            attempt.number() > Attempt::FIRST.number()
        }
        FailureKind::Permanent | FailureKind::RejectedContent => true,
        FailureKind::TimedOut
        | FailureKind::Stalled
        | FailureKind::Cancelled
        | FailureKind::Lost => false,
    }
}

#[async_trait]
impl Backend for Chain {
    fn name(&self) -> &'static str {
        self.first().map_or(outline::NAME, Backend::name)
    }

    fn profiles(&self) -> Vec<Profile> {
        vec![self.profile.clone()]
    }

    // It can work if any of them can.
    async fn prepare(&self) -> Result<(), NotReady> {
        let mut first = None;
        for (place, stand) in self.all.iter().enumerate() {
            match stand.prepare().await {
                Ok(()) if place == 0 => return Ok(()),
                Ok(()) => {
                    tracing::warn!(
                        { shared::fields::PROFILE } = %self.profile.name,
                        { shared::fields::REASON } = first.as_ref().map(ToString::to_string),
                        "its stories are written with `{}` for now",
                        stand.name()
                    );
                    return Ok(());
                }
                Err(why) => {
                    first.get_or_insert(why);
                }
            }
        }
        Err(first.unwrap_or_else(|| NotReady("nobody is there who could write".to_owned())))
    }

    async fn run(
        &self,
        attempt: &RunAttempt,
        context: &AttemptContext,
    ) -> Result<Outcome, Failure> {
        let wanted = self.all.first().map_or("", Stand::name);
        let mut failed = self.lacking.clone();
        for stand in &self.all {
            let done = match stand.prepare().await {
                Ok(()) => stand.run(attempt, context).await,
                Err(NotReady(why)) => {
                    failed.get_or_insert(Failure::new(FailureKind::Transient, why));
                    continue;
                }
            };
            match (done, &failed) {
                (Ok(mut outcome), Some(why)) => {
                    let wrote = stand.name();
                    let instead = match wrote == wanted {
                        true => String::new(),
                        false => format!(" instead of `{wanted}`"),
                    };
                    let told = format!(
                        "story: written with `{wrote}`{instead} ({why})",
                        why = why.message
                    );
                    outcome.fallbacks.push(told);
                    return Ok(outcome);
                }
                (Ok(outcome), None) => return Ok(outcome),
                (Err(failure), _) if !is_passed_on(failure.kind, attempt.attempt) => {
                    return Err(failure);
                }
                (Err(failure), _) => {
                    failed.get_or_insert(failure);
                }
            }
        }
        let nobody = || Failure::new(FailureKind::Transient, "nobody is there who could write");
        Err(failed.unwrap_or_else(nobody))
    }

    fn residents(&self) -> Vec<Resident> {
        self.first().map(Backend::residents).unwrap_or_default()
    }

    fn on_card(&self) -> OnCard {
        self.first().map(Backend::on_card).unwrap_or_default()
    }

    async fn says(&self) -> BackendSays {
        match self.first() {
            Some(writer) => writer.says().await,
            None => BackendSays::Idle,
        }
    }

    async fn unload(&self, profile: Option<&ProfileName>) -> Result<(), String> {
        match self.first() {
            Some(writer) => writer.unload(profile).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_once_more_before_another_one_writes() {
        let passed = |kind, attempt| is_passed_on(kind, Attempt::new(attempt));
        for kind in [FailureKind::Transient, FailureKind::OutOfMemory] {
            assert!(!passed(kind, 1) && passed(kind, 2), "{kind}");
        }
        for kind in [FailureKind::Permanent, FailureKind::RejectedContent] {
            assert!(passed(kind, 1), "{kind}");
        }
        for kind in [
            FailureKind::TimedOut,
            FailureKind::Cancelled,
            FailureKind::Lost,
        ] {
            assert!(!passed(kind, 2), "{kind}");
        }
    }
}
