//! Writes stories. One backend is built in: `outline`, by rule and with nothing installed.

pub mod outline;

use std::sync::Arc;

use worker_runtime::backend::Backend;

/// The backends that this worker has.
pub fn backends() -> Vec<Arc<dyn Backend>> {
    vec![Arc::new(outline::Outline)]
}
