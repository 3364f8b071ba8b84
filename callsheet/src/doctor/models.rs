//! The language models of the settings: their servers, and whether these have them.

use std::sync::Arc;
use std::time::Duration;

use llm_worker::settings::LlmSettings;
use tokio::time::timeout;
use worker_runtime::backend::Backend;

use super::{Check, Verdict};

/// Longest look at one model.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks each backend of the story worker for what it needs, as the worker does before its first story.
pub(crate) async fn models(settings: &LlmSettings) -> Vec<Check> {
    let backends = llm_worker::backends(settings);
    let checks = backends.into_iter().map(|backend| look(settings, backend));
    let checks: Vec<Option<Check>> = futures::future::join_all(checks).await;
    let checks: Vec<Check> = checks.into_iter().flatten().collect();
    match checks.is_empty() {
        false => checks,
        true => {
            let told = "none is named ([[llm.models]]); stories are told by rule";
            vec![Check::new("models", Verdict::Note, told)]
        }
    }
}

async fn look(settings: &LlmSettings, backend: Arc<dyn Backend>) -> Option<Check> {
    let profiles = backend.profiles();
    let is_named = |name: &shared::ids::ProfileName| {
        settings.models.iter().any(|model| model.profile == *name)
    };
    let profile = profiles.first().filter(|profile| is_named(&profile.name))?;
    let what = format!("model {}", profile.name);
    Some(match timeout(PATIENCE, backend.prepare()).await {
        Ok(Ok(())) => Check::new(what, Verdict::Well, "its server has it"),
        Ok(Err(reason)) => Check::new(what, Verdict::Bad, reason.to_string()),
        Err(_) => {
            let told = format!("its server has not answered for {} s", PATIENCE.as_secs());
            Check::new(what, Verdict::Bad, told)
        }
    })
}
