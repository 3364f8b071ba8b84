//! Writes stories: with language models on servers that are set up for it, and by rule with nothing installed (`outline`).

pub mod outline;
mod prompts;
pub mod provider;
pub mod schema;
pub mod settings;
pub mod writer;
pub mod writing;

use std::sync::Arc;

use worker_runtime::backend::Backend;

use self::settings::LlmSettings;
pub use self::settings::Settings;
use self::writer::Writer;

/// The settings with their defaults, commented.
pub const DEFAULT_SETTINGS: &str = concat!(
    include_str!("../config.default.toml"),
    include_str!("../llm.default.toml")
);

/// The section `[llm]` of them.
pub const LLM_DEFAULT_SETTINGS: &str = include_str!("../llm.default.toml");

/// The backends that this worker has: `outline`, and one for each model.
///
/// # Panics
/// If the settings have mistakes, which loading them finds.
pub fn backends(settings: &LlmSettings) -> Vec<Arc<dyn Backend>> {
    let mut backends: Vec<Arc<dyn Backend>> = vec![Arc::new(outline::Outline)];
    for model in &settings.models {
        if model.may_hold_memory_unsaid() {
            tracing::warn!(
                { shared::fields::PROFILE } = %model.profile,
                "the server of this model is on this host, and no gpu_mib is set: nothing keeps other work off the memory that \
                 it may hold; set it, or 0 if it runs without a GPU"
            );
        }
        let writer = Writer::new(settings, model);
        backends.push(Arc::new(
            writer.expect("the same server was made when the settings were checked"),
        ));
    }
    backends
}
