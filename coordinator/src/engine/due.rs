//! What is due by the clock.

use std::collections::HashSet;

use shared::broker::Queue;
use shared::ids::JobId;
use shared::protocol::{Backlog, BacklogHints, Probe, ToCoordinator, ToWorker};
use shared::time::Timestamp;
use tokio::time::Instant;

use super::{After, Engine};
use crate::core::decide::Event;
use crate::effects;
use crate::outbox::{Outgoing, Purpose};
use crate::store::{Rows, StoreError, Waiting};

/// Most jobs that one tick takes on.
const AT_ONCE: u32 = 256;

impl Engine {
    /// Retries, leases, and attempts that could not be published before.
    pub(super) async fn tick(
        &mut self,
        rows: &mut Rows<'_>,
        after: &mut After,
    ) -> Result<(), StoreError> {
        let now = Timestamp::now();
        for id in rows.retries_due(now, AT_ONCE).await? {
            let mark = self.mark(rows, after).await?;
            let done = self.happen_to(rows, id, Event::RetryDue, after).await;
            self.keep_or_undo(rows, after, mark, done, &format!("the retry of job {id}"))
                .await?;
        }
        if *self.shared.is_reader.borrow() {
            self.dispatch_due(rows, after).await?;
        }
        Ok(())
    }

    /// Those that the broker would not take have their pauses, and do not stand in the way of the others.
    async fn dispatch_due(
        &mut self,
        rows: &mut Rows<'_>,
        after: &mut After,
    ) -> Result<(), StoreError> {
        let passed_over = self.refused.len() + self.dispatching.len();
        let limit = AT_ONCE.saturating_add(u32::try_from(passed_over).unwrap_or(u32::MAX));
        let found = rows.dispatches_due(limit).await?;
        if found.len() < limit as usize {
            let due: HashSet<JobId> = found.iter().map(|(_, job)| *job).collect();
            let dispatching = &self.dispatching;
            self.refused
                .retain(|job| due.contains(&job) || dispatching.contains(&job));
        }
        let now = Instant::now();
        for (film, job) in found {
            if !self.dispatching.contains(&job) && !self.refused.is_early(job, now) {
                let due = after.dispatches.entry(film).or_default();
                due.entry(job).or_insert(None);
            }
        }
        Ok(())
    }

    /// Lets something happen to a job, if there is such a job.
    pub(super) async fn happen_to(
        &mut self,
        rows: &mut Rows<'_>,
        id: JobId,
        event: Event,
        after: &mut After,
    ) -> Result<(), StoreError> {
        match rows.job(id).await? {
            Some(job) => self.happen(rows, job, event, after).await,
            None => Ok(()),
        }
    }

    /// The probe that must go out now, if one must.
    pub(super) fn probe_due(&self, now: Timestamp) -> Option<Outgoing> {
        let number = self.shared.live().leases.probe_due(now)?;
        let probe = ToCoordinator::Probe(Probe {
            number,
            boot: self.shared.boot,
        });
        Some(Outgoing {
            to: Queue::Reports.into(),
            message: effects::transient(self.shared.reader.id(), probe),
            purpose: Purpose::Probe(number),
            dispatched: None,
        })
    }

    /// A broker that lost its volume, or dead-lettered a message, loses no job.
    pub(super) async fn sweep(&mut self, rows: &mut Rows<'_>) -> Result<(), StoreError> {
        let again = rows
            .dispatch_stale_again(Timestamp::now(), self.shared.settings.redispatch)
            .await?;
        if again > 0 {
            tracing::info!(
                jobs = again,
                "publishing attempts again that have waited for long"
            );
        }
        Ok(())
    }

    /// Tells all workers what waits.
    pub(super) async fn hint(
        &mut self,
        rows: &mut Rows<'_>,
        after: &mut After,
    ) -> Result<(), StoreError> {
        let waiting = rows.waiting().await?;
        self.nothing_waits = waiting.is_empty();
        after.outgoing.extend(self.hints(waiting));
        Ok(())
    }

    /// What all workers are told, if there are any.
    pub(super) fn hints(&self, waiting: Vec<Waiting>) -> Option<Outgoing> {
        let now = Timestamp::now();
        let live = self.shared.live();
        live.fleet.members().next()?;
        let backlogs = waiting.into_iter().map(|entry| Backlog {
            workers: u32::try_from(live.fleet.serving(entry.kind, &entry.profile, now).count())
                .unwrap_or(u32::MAX),
            oldest_wait: entry
                .oldest
                .map(|since| now.since(since))
                .unwrap_or_default(),
            kind: entry.kind,
            profile: entry.profile,
            queued: entry.queued,
            running: entry.running,
        });
        let hints = ToWorker::BacklogHints(BacklogHints {
            backlogs: backlogs.collect(),
        });
        Some(effects::to_everyone(self.shared.reader.id(), hints))
    }
}
