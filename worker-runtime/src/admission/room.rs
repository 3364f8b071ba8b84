//! What a job was promised, from its admission to its end.

use std::sync::Arc;

use shared::byte_size::ByteSize;
use shared::failure::chain;
use shared::fields;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Card;
use crate::gpu::gate::Reservation;
use crate::gpu::ledger::LedgerError;
use crate::gpu::probe::sampler::Sample;

/// What a job was promised. Dropped without a word, it counts as promised until the backend is seen to have nothing to do.
#[derive(Debug)]
pub(crate) struct Room {
    reservation: Reservation,
    /// What stays loaded after the job.
    keeps: ByteSize,
    lowest: watch::Receiver<Option<ByteSize>>,
    _watching: AbortOnDropHandle<()>,
}

/// What a run has left on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing: its backend was never asked.
    Untouched,
    /// Its backend has finished with it.
    Ended {
        /// It made what it was for.
        well: bool,
    },
    /// Nobody knows: the backend may go on with it.
    MayGoOn,
}

impl Room {
    pub(super) fn new(card: &Arc<Card>, reservation: Reservation, keeps: ByteSize) -> Self {
        let (tell, lowest) = watch::channel(None);
        let samples = card.sight.samples();
        Self {
            reservation,
            keeps,
            lowest,
            _watching: AbortOnDropHandle::new(tokio::spawn(note_lowest(samples, tell))),
        }
    }

    /// The job has ended, or does not begin.
    pub(crate) async fn end(self, left: Left) {
        let Self {
            reservation,
            keeps,
            lowest,
            ..
        } = self;
        let lowest = *lowest.borrow();
        let tell = move || match left {
            Left::Untouched => reservation.withdraw(),
            Left::Ended { well } => reservation.finish(keeps, lowest.filter(|_| well)),
            Left::MayGoOn => {
                drop(reservation);
                Ok(())
            }
        };
        let told: Result<Result<(), LedgerError>, _> = tokio::task::spawn_blocking(tell).await;
        match told {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    { fields::ERROR } = chain(&error),
                    "what a job was promised goes on counting until its backend is seen to be idle"
                );
            }
            Err(error) => {
                tracing::error!({ fields::ERROR } = %error, "the end of a job could not be written down");
            }
        }
    }
}

/// Keeps the lowest free memory current; nothing from the first sample on that could not be read.
async fn note_lowest(
    mut samples: watch::Receiver<Option<Sample>>,
    lowest: watch::Sender<Option<ByteSize>>,
) {
    while samples.changed().await.is_ok() {
        let sample = samples.borrow_and_update().clone();
        let Some(Ok(memory)) = sample.map(|sample| sample.memory) else {
            lowest.send_replace(None);
            return;
        };
        let before = *lowest.borrow();
        lowest.send_replace(Some(before.map_or(memory.free, |it| it.min(memory.free))));
    }
}
