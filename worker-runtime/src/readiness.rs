//! Whether each backend has what it needs. Asked at the start and after each failure, until it says yes.

use std::sync::Arc;

use shared::fields;
use shared::log_news;
use shared::news::News;
use tokio::time::sleep;

use crate::worker::Worker;

/// Keeps the condition of one backend current, for as long as the worker lives.
pub(crate) async fn watch(worker: Arc<Worker>, place: usize) {
    let backend = worker.backends[place].name();
    let profiles = profiles(&worker, place);
    let mut told = News::default();
    loop {
        while let Err(reason) = prepare(&worker, place).await {
            // Whoever wants to know how it is now asks the worker: a server that is away for a night is one line in the log.
            log_news!(
                told.is_news(&reason),
                warn,
                { fields::BACKEND } = backend,
                { fields::PROFILE } = profiles,
                { fields::REASON } = reason,
                "the backend is not ready"
            );
            worker.set(|conditions| conditions.not_ready[place] = Some(reason));
            tokio::select! {
                () = sleep(worker.config.prepare_interval) => {}
                () = worker.recheck[place].notified() => {}
            }
        }
        told.over();
        tracing::info!(
            { fields::BACKEND } = backend,
            { fields::PROFILE } = profiles,
            "the backend is ready"
        );
        worker.set(|conditions| conditions.not_ready[place] = None);
        worker.recheck[place].notified().await;
    }
}

/// What it offers: several backends of one worker may have the same name.
fn profiles(worker: &Worker, place: usize) -> String {
    let offers = worker.offers.iter().filter(|it| it.backend == place);
    let names: Vec<_> = offers.map(|it| it.profile.name.as_str()).collect();
    names.join(", ")
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
