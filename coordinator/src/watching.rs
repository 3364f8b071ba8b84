//! The events of a film, from the store and then as they happen, without a gap and without repeats.

use futures::{Stream, stream};
use shared::ids::FilmId;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::coordinator::Numbered;
use crate::core::plan;
use crate::engine::Shared;
use crate::store::{Rows, StoreError};

/// Most events read from the store at once.
const PAGE: u32 = 200;

struct Watch {
    shared: Shared,
    film: FilmId,
    /// Number of the last event that was given.
    last: u64,
    /// Listened to from before the first reading, so that nothing falls between.
    live: broadcast::Receiver<Numbered>,
    /// Read from the store and not yet given, last one first.
    kept: Vec<Numbered>,
    /// Whether the store may hold more that was not read.
    is_behind: bool,
    is_over: bool,
}

/// What happened to `film` after event `last`, and then what happens. Ends when the film has ended.
pub(crate) fn events(
    shared: Shared,
    film: FilmId,
    last: u64,
) -> impl Stream<Item = Numbered> + Send {
    let live = shared.events.subscribe();
    let watch = Watch {
        shared,
        film,
        last,
        live,
        kept: Vec::new(),
        is_behind: true,
        is_over: false,
    };
    stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((event, watch))
    })
}

impl Watch {
    async fn next(&mut self) -> Option<Numbered> {
        loop {
            if let Some(event) = self.kept.pop() {
                self.last = event.number.unwrap_or(self.last);
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            if self.is_behind {
                if let Err(error) = self.catch_up().await {
                    tracing::error!(
                        error = shared::failure::chain(&error),
                        "a film's events cannot be read"
                    );
                    return None;
                }
                continue;
            }
            match self.live.recv().await {
                Ok(event) if event.event.film != self.film => {}
                Ok(event) if event.number.is_some_and(|number| number <= self.last) => {}
                Ok(event) => {
                    self.last = event.number.unwrap_or(self.last);
                    self.is_over = event.event.what.is_end();
                    return Some(event);
                }
                // A slow reader misses progress, but no event that is kept.
                Err(RecvError::Lagged(_)) => self.is_behind = true,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let mut snapshot = self.shared.reader.snapshot().await?;
        let mut rows = Rows(&mut snapshot);
        // Of one snapshot: once the film has ended, its last event is among those that are there to be read.
        let has_ended = plan::status(&rows.jobs_of(self.film).await?).is_final();
        let page = rows.events_after(self.film, self.last, PAGE).await?;
        if page.len() < PAGE as usize {
            self.is_behind = false;
            self.is_over = has_ended;
        }
        self.kept = page
            .into_iter()
            .map(|(number, event)| Numbered {
                number: Some(number),
                event,
            })
            .rev()
            .collect();
        Ok(())
    }
}
