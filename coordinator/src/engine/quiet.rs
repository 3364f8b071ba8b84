//! What needs no transaction. An idle coordinator hears its workers and tells them that nothing waits, and leaves the disk alone.

use shared::broker::PublishError;
use shared::protocol::ToCoordinator;
use shared::time::Timestamp;
use tokio::time::Instant;

use super::clock::{Clock, Look};
use super::{After, Engine, Input};
use crate::store::Writer;

impl Engine {
    /// Looks what is due, if it is time to. With nothing due, the next look is when something will be.
    pub(super) async fn look(
        &mut self,
        clock: &mut Clock,
        writer: &mut Writer,
        batch: &mut Vec<Input>,
    ) {
        let (now, wall) = (Instant::now(), Timestamp::now());
        let Some(Look { is_late }) = clock.take(now, wall) else {
            return;
        };
        if is_late {
            tracing::warn!("no time went by for this process: all leases begin afresh");
            self.shared.live().leases.restart(wall);
        }
        if let Some(probe) = self.probe_due(wall) {
            self.send(probe);
        }
        let is_quiet = batch.is_empty() && self.dispatched.is_empty() && self.refused.len() == 0;
        // A store that fails is told of where it is written.
        match writer.next_due(wall).await {
            Ok(due) if is_quiet && due.is_none_or(|due| due > wall) => {
                let lease = self.shared.live().leases.next_due();
                clock.sleep_until(due.into_iter().chain(lease).min(), now, wall);
            }
            _ => batch.push(Input::Tick),
        }
    }

    /// Does what needs nothing of the store, and takes it out of the batch. Whether something may be due for it.
    pub(super) fn do_quietly(&mut self, batch: &mut Vec<Input>) -> bool {
        let mut is_news = false;
        let mut rest = Vec::with_capacity(batch.len());
        for input in batch.drain(..) {
            match input {
                Input::Dispatched { dispatch, out } => {
                    is_news = true;
                    self.dispatching.remove(&dispatch.job);
                    match out {
                        Ok(at) => {
                            self.refused.forget(dispatch.job);
                            self.dispatched.insert(dispatch.job, (dispatch, at));
                        }
                        // Publishing waits for the connection by itself.
                        Err(PublishError::Unknown(_)) => {}
                        Err(_) => self.refused.note(dispatch.job, Instant::now()),
                    }
                }
                Input::ProbeLost(number) => {
                    is_news = true;
                    self.shared.live().leases.probe_lost(number);
                }
                Input::Report {
                    message: ToCoordinator::WorkerState(state),
                    delivery,
                    ..
                } if state.running.is_empty() => {
                    let mut after = After::default();
                    after.deliveries.extend(delivery);
                    self.worker_is_there(*state, &mut after);
                    after.carry_out(self);
                }
                Input::Hint if self.nothing_waits => {
                    if let Some(hints) = self.hints(Vec::new()) {
                        self.send(hints);
                    }
                }
                other => rest.push(other),
            }
        }
        *batch = rest;
        is_news
    }
}
