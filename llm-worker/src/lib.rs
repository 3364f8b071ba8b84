//! Writes stories: with language models on servers that are set up for it, and by rule with nothing installed (`outline`).

pub mod discover;
pub mod lifecycle;
pub mod outline;
pub mod program;
mod prompts;
pub mod provider;
pub mod schema;
pub mod settings;
pub mod writer;
pub mod writing;

use std::sync::Arc;

use shared::ids::ProfileName;
use worker_runtime::backend::Backend;

pub use self::settings::Settings;
use self::settings::{LlmSettings, ModelSettings, ProviderKind};
use self::writer::{Chain, Stand, Writer};

/// The settings with their defaults, commented.
pub const DEFAULT_SETTINGS: &str = concat!(
    include_str!("../config.default.toml"),
    include_str!("../llm.default.toml")
);

/// The section `[llm]` of them.
pub const LLM_DEFAULT_SETTINGS: &str = include_str!("../llm.default.toml");

/// The backends that this worker has: `outline`, one for each model in the settings, and, where that is wanted, one for each
/// model that is found on this host and `auto` for the best of them. Looking for them takes a second at most.
///
/// # Panics
/// If the settings have mistakes, which loading them finds.
pub fn backends(settings: &LlmSettings) -> Vec<Arc<dyn Backend>> {
    let mut backends: Vec<Arc<dyn Backend>> = vec![Arc::new(outline::Outline)];
    for model in &settings.models {
        if model.may_hold_memory_unsaid() {
            tracing::warn!(
                { shared::fields::PROFILE } = %model.profile,
                "the server of this model is on this host, and neither gpu_mib nor size is set: nothing keeps other work off the \
                 memory that it may hold; set one, or gpu_mib = 0 if it runs without a GPU"
            );
        }
    }
    let found = match settings.auto {
        true => discover::on_this_host(settings),
        false => Vec::new(),
    };
    let all = LlmSettings {
        models: settings.models.iter().chain(&found).cloned().collect(),
        ..settings.clone()
    };
    let writers = Writer::all(&all);
    let writers = writers.expect("the same servers were made when the settings were checked");
    let writers: Vec<Arc<Writer>> = writers.into_iter().map(Arc::new).collect();
    for (writer, model) in writers.iter().zip(&all.models) {
        backends.push(match model.fallbacks.is_empty() {
            true => Arc::clone(writer) as _,
            false => Arc::new(chain(writer, model, &writers, &all)),
        });
    }
    if settings.auto {
        backends.push(Arc::new(auto(&writers, &all, settings.models.len())));
    }
    backends
}

/// A model with those that the settings let write in its place.
fn chain(
    writer: &Arc<Writer>,
    model: &ModelSettings,
    writers: &[Arc<Writer>],
    all: &LlmSettings,
) -> Chain {
    let stand = |name: &ProfileName| {
        let place = all.models.iter().position(|other| other.profile == *name);
        place.map_or(Stand::Outline, |place| {
            Stand::Model(Arc::clone(&writers[place]))
        })
    };
    Chain::new(
        Arc::clone(writer),
        model.fallbacks.iter().map(stand).collect(),
    )
}

/// What was found, then Gemini if it is set up, then the outline.
fn auto(writers: &[Arc<Writer>], all: &LlmSettings, given: usize) -> Chain {
    let model = |place: usize| Stand::Model(Arc::clone(&writers[place]));
    let found = (given..all.models.len()).map(model);
    let is_gemini = |place: &usize| all.models[*place].provider == ProviderKind::Gemini;
    let gemini = (0..given).filter(is_gemini).map(model);
    let mut stands: Vec<Stand> = found.chain(gemini).collect();
    let lacking = stands.is_empty().then(discover::nothing);
    stands.push(Stand::Outline);
    let name = discover::AUTO.parse();
    Chain::of_found(name.expect("it is a name of a profile"), stands, lacking)
}
