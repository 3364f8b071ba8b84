//! Writes stories. One backend is built in: `outline`, by rule and with nothing installed.

pub mod outline;
mod prompts;
pub mod provider;
pub mod schema;
pub mod settings;
pub mod writing;

use std::sync::Arc;

use worker_runtime::backend::Backend;

pub use self::settings::Settings;

/// The settings with their defaults, commented.
pub const DEFAULT_SETTINGS: &str = include_str!("../config.default.toml");

/// The backends that this worker has.
pub fn backends() -> Vec<Arc<dyn Backend>> {
    vec![Arc::new(outline::Outline)]
}
