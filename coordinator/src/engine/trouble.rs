//! A store that cannot be written, a row that cannot be read, a queue that takes nothing more.

use std::collections::HashMap;
use std::time::Duration;

use shared::ids::JobId;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{After, BATCH, Engine, Input, Mark, Settling};
use crate::store::{Rows, StoreError, Writer};

/// Pause before the store is tried again.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// When something is tried again that could not be done, each time after a longer pause.
#[derive(Debug, Default)]
pub(super) struct Pauses(HashMap<JobId, (Instant, Duration)>);

impl Pauses {
    /// It could not be done just now.
    pub(super) fn note(&mut self, job: JobId, now: Instant) {
        let before = self.0.get(&job).map(|(_, pause)| *pause);
        let pause = before.map_or(FIRST_PAUSE, |pause| (2 * pause).min(LONGEST_PAUSE));
        self.0.insert(job, (now + pause, pause));
    }

    /// It is done.
    pub(super) fn forget(&mut self, job: JobId) {
        self.0.remove(&job);
    }

    /// Whether it must not be tried yet.
    pub(super) fn is_early(&self, job: JobId, now: Instant) -> bool {
        self.0.get(&job).is_some_and(|(until, _)| now < *until)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets all but those.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(JobId) -> bool) {
        self.0.retain(|job, _| is_wanted(*job));
    }
}

impl Engine {
    /// Nothing of a batch could be stored. Its deliveries are held until the store takes something again, and then come
    /// again once: a broker may count how often a message comes, and throw it away in the end. Who asks meanwhile is told.
    pub(super) async fn wait_for_store(
        &mut self,
        writer: &mut Writer,
        inputs: &mut mpsc::Receiver<Input>,
        mut held: After,
        mut error: StoreError,
        last_call: &CancellationToken,
    ) {
        held.replies.clear();
        let mut more = Vec::with_capacity(BATCH);
        loop {
            let chain = shared::failure::chain(&error);
            tracing::error!(
                error = chain,
                "nothing can be stored (is the disk full?); trying again"
            );
            self.shared.trouble.send_replace(Some(chain));
            writer.reconnect();
            let again_at = Instant::now() + self.pause;
            self.pause = (2 * self.pause).min(LONGEST_PAUSE);
            let is_over = loop {
                tokio::select! {
                    () = last_call.cancelled() => break true,
                    () = tokio::time::sleep_until(again_at) => break false,
                    taken = inputs.recv_many(&mut more, BATCH) => {
                        self.do_quietly(&mut more);
                        more.drain(..).for_each(|input| held.put_off(input));
                        if taken == 0 {
                            break true;
                        }
                    }
                }
            };
            if is_over {
                break;
            }
            match writer.try_out().await {
                Ok(()) => {
                    tracing::info!("the store can be written again");
                    self.shared.trouble.send_replace(None);
                    break;
                }
                Err(another) => error = another,
            }
        }
        self.settle(Settling::Requeue(held.into_deliveries()));
    }

    /// Before something that may need a row which cannot be read.
    pub(super) async fn mark(
        &self,
        rows: &mut Rows<'_>,
        after: &mut After,
    ) -> Result<Option<Mark>, StoreError> {
        if !self.is_careful {
            return Ok(None);
        }
        rows.savepoint().await?;
        Ok(Some(after.mark()))
    }

    /// After it: if it needed such a row, it is undone and put aside, and the rest of the transaction goes on.
    pub(super) async fn keep_or_undo(
        &self,
        rows: &mut Rows<'_>,
        after: &mut After,
        mark: Option<Mark>,
        done: Result<(), StoreError>,
        subject: &str,
    ) -> Result<(), StoreError> {
        let Some(mark) = mark else {
            return done;
        };
        match done {
            Ok(()) => rows.release().await,
            Err(error) if error.is_unreadable() => {
                let chain = shared::failure::chain(&error);
                tracing::error!(error = chain, subject, "it is put aside");
                rows.undo().await?;
                after.put_aside(mark, &chain);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// What an input is about, for the log.
pub(super) fn subject(input: &Input) -> String {
    match input {
        Input::Report { message, .. } => {
            format!("a report: {message:?}").chars().take(200).collect()
        }
        Input::Submission { delivery, .. } => format!("submission {}", delivery.message.id),
        Input::Ask(_) => "a request".to_owned(),
        Input::Dispatched { .. } | Input::ProbeLost(_) => "what became of a message".to_owned(),
        Input::Tick => "what is due".to_owned(),
        Input::Sweep => "what has waited for long".to_owned(),
        Input::Hint => "what waits".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_tried_at_growing_intervals_and_afresh_once_it_was_taken() {
        let mut pauses = Pauses::default();
        let (job, start) = (JobId::from_u128(1), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!pauses.is_early(job, start));
        pauses.note(job, start);
        assert!(pauses.is_early(job, start) && !pauses.is_early(job, at(1)));
        pauses.note(job, at(1));
        assert!(pauses.is_early(job, at(2)) && !pauses.is_early(job, at(3)));
        assert!(!pauses.is_early(JobId::from_u128(2), at(2)), "another job");
        for _ in 0..20 {
            pauses.note(job, at(3));
        }
        assert!(!pauses.is_early(job, at(3) + LONGEST_PAUSE));
        pauses.forget(job);
        pauses.note(job, at(100));
        assert!(!pauses.is_early(job, at(101)));
    }
}
