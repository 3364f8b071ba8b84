//! Whether each backend has what it needs. Asked at the start and after each failure, until it says yes.

use std::sync::Arc;

use shared::fields;
use tokio::time::sleep;

use crate::worker::Worker;

/// Keeps the condition of one backend current, for as long as the worker lives.
pub(crate) async fn watch(worker: Arc<Worker>, place: usize) {
    loop {
        while let Err(reason) = prepare(&worker, place).await {
            let backend = worker.backends[place].name();
            tracing::warn!(
                { fields::BACKEND } = backend,
                { fields::REASON } = reason,
                "the backend is not ready"
            );
            worker.set(|conditions| conditions.not_ready[place] = Some(reason));
            tokio::select! {
                () = sleep(worker.config.prepare_interval) => {}
                () = worker.recheck[place].notified() => {}
            }
        }
        tracing::info!(
            { fields::BACKEND } = worker.backends[place].name(),
            "the backend is ready"
        );
        worker.set(|conditions| conditions.not_ready[place] = None);
        worker.recheck[place].notified().await;
    }
}

/// Asks in a task of its own, so that a panic there is a reason like any other.
async fn prepare(worker: &Worker, place: usize) -> Result<(), String> {
    let backend = Arc::clone(&worker.backends[place]);
    match tokio::spawn(async move { backend.prepare().await }).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(reason)) => Err(reason.to_string()),
        Err(error) => Err(format!("the backend could not be prepared: {error}")),
    }
}
