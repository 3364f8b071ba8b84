//! What is due by the clock.

use shared::broker::Queue;
use shared::protocol::{Backlog, BacklogHints, Probe, ToCoordinator, ToWorker};
use shared::time::Timestamp;

use super::{After, Engine};
use crate::core::decide::Event;
use crate::effects;
use crate::outbox::{Outgoing, Purpose};
use crate::store::{Rows, StoreError};

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
            if let Some(job) = rows.job(id).await? {
                self.happen(rows, job, Event::RetryDue, after).await?;
            }
        }
        if let Some(number) = self.shared.live().leases.probe_due(now) {
            after.outgoing.push(self.probe(number));
        }
        if *self.shared.is_reader.borrow() {
            for (film, job) in rows.dispatches_due(AT_ONCE).await? {
                if !self.dispatching.contains(&job) {
                    let due = after.dispatches.entry(film).or_default();
                    if !due.contains(&job) {
                        due.push(job);
                    }
                }
            }
        }
        Ok(())
    }

    fn probe(&self, number: u64) -> Outgoing {
        let probe = ToCoordinator::Probe(Probe {
            number,
            boot: self.shared.boot,
        });
        Outgoing {
            to: Queue::Reports.into(),
            message: effects::transient(self.shared.reader.id(), probe),
            purpose: Purpose::Probe(number),
        }
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
        let now = Timestamp::now();
        let waiting = rows.waiting().await?;
        let live = self.shared.live();
        if live.fleet.members().next().is_none() {
            return Ok(());
        }
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
        after
            .outgoing
            .push(effects::to_everyone(self.shared.reader.id(), hints));
        Ok(())
    }
}
