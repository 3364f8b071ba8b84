//! A job that may run.

use std::sync::Arc;

use shared::byte_size::ByteSize;

use super::Gate;
use crate::gpu::ledger::{Event, Held, LedgerError};

/// A job that may run, and holds what it was promised.
#[derive(Debug)]
#[must_use = "dropped, it leaves an orphan"]
pub struct Reservation {
    gate: Arc<Gate>,
    held: Held,
    threads: Option<u32>,
}

impl Reservation {
    pub(super) fn new(gate: &Arc<Gate>, held: Held, threads: Option<u32>) -> Self {
        Self {
            gate: Arc::clone(gate),
            held,
            threads,
        }
    }

    /// Processor threads that it should keep to, where a video job runs beside it.
    pub fn threads(&self) -> Option<u32> {
        self.threads
    }

    /// The backend has finished the job. `keeps`: what stays loaded, in the memory that the job was for; `lowest_free`: the lowest free memory that was read
    /// during the job, if the job ran to its end and was watched all the time.
    pub fn finish(self, keeps: ByteSize, lowest_free: Option<ByteSize>) -> Result<(), LedgerError> {
        self.tell(&Event::Finished { keeps, lowest_free })
    }

    /// The backend was never asked to run the job.
    pub fn withdraw(self) -> Result<(), LedgerError> {
        self.tell(&Event::Withdrawn)
    }

    fn tell(&self, event: &Event) -> Result<(), LedgerError> {
        let now = self.gate.sight.now();
        let ledger = &self.gate.ledger;
        ledger.decide(|locked| locked.tell(self.held.id(), event, now).map(drop))
    }
}
