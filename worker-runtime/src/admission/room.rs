//! What a job was promised, from its admission to its end, and what it was seen to take meanwhile.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use shared::byte_size::ByteSize;
use shared::failure::chain;
use shared::fields;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{Card, lock};
use crate::gpu::footprint::{End, Key, Recorder, Start, Usual};
use crate::gpu::gate::Reservation;
use crate::gpu::ledger::{BackendId, LedgerError};
use crate::gpu::probe::sampler::{Often, Sample};

/// What a job was promised. Dropped without a word, it counts as promised until the backend is seen to have nothing to do.
#[derive(Debug)]
pub(crate) struct Room {
    reservation: Reservation,
    /// What stays loaded after the job.
    keeps: ByteSize,
    /// What is seen of it, where it is on a card.
    on_card: Option<OnCard>,
}

/// How a job on a card is watched.
#[derive(Debug)]
struct OnCard {
    card: Arc<Card>,
    about: About,
    watched: Arc<Mutex<Watched>>,
    began: Instant,
    _often: Often,
    _watching: AbortOnDropHandle<()>,
}

/// What a promise is about.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) backend: BackendId,
    /// What its figures are kept for.
    pub(super) key: Option<Key>,
    /// What its backend had loaded before.
    pub(super) start: Start,
    /// What was free, and what others held, where that is known.
    pub(super) free: Option<ByteSize>,
    pub(super) foreign: Option<ByteSize>,
    /// How long such work takes, where that was measured.
    pub(super) usual: Option<Usual>,
}

/// What is seen of a job.
#[derive(Debug)]
pub(super) struct Watched {
    backend: BackendId,
    /// Absent from the first moment on at which the card could not be read.
    recorder: Option<Recorder>,
}

impl Watched {
    /// The backend holds so much, and others so much.
    pub(super) fn held(
        &mut self,
        by: impl FnOnce(&BackendId) -> (Option<ByteSize>, Option<ByteSize>),
    ) {
        if let Some(recorder) = &mut self.recorder {
            let (held, foreign) = by(&self.backend);
            recorder.held(held, foreign);
        }
    }
}

/// What a run has left on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing: its backend was never asked.
    Untouched,
    /// Its backend has finished with it.
    Ended(How),
    /// Nobody knows: the backend may go on with it.
    MayGoOn,
}

/// What the end of a job has shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown {
    /// How long such work takes, if that is known better now.
    pub(crate) usual: Option<Usual>,
    /// Its model had to be loaded.
    pub(crate) was_loaded: bool,
    /// How long that took, where it was seen.
    pub(crate) load: Option<Duration>,
}

/// How a backend has finished with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It made what it was for.
    Well,
    /// It found no memory.
    OutOfMemory,
    /// Anything else.
    Otherwise,
}

impl Room {
    /// That of a job on that card.
    pub(super) fn on_card(
        card: &Arc<Card>,
        often: Often,
        reservation: Reservation,
        keeps: ByteSize,
        about: About,
    ) -> Self {
        let recorder = about
            .free
            .map(|free| Recorder::new(about.start, free, about.foreign));
        let watched = Arc::new(Mutex::new(Watched {
            backend: about.backend.clone(),
            recorder,
        }));
        let watching = watch_free(card.sight.samples(), Arc::downgrade(&watched));
        let on_card = OnCard {
            card: Arc::clone(card),
            about,
            watched,
            began: Instant::now(),
            _often: often,
            _watching: AbortOnDropHandle::new(tokio::spawn(watching)),
        };
        Self {
            reservation,
            keeps,
            on_card: Some(on_card),
        }
    }

    /// That of a job without a card.
    pub(super) fn on_host(reservation: Reservation, keeps: ByteSize) -> Self {
        Self {
            reservation,
            keeps,
            on_card: None,
        }
    }

    /// Processor threads that the job is to keep to, if it may not take as many as it likes.
    pub(crate) fn threads(&self) -> Option<u32> {
        self.reservation.threads()
    }

    /// How long the job is expected to take, where that was measured.
    pub(crate) fn expected(&self) -> Option<Duration> {
        let about = &self.on_card.as_ref()?.about;
        let Usual { run, load } = about.usual?;
        let load = load.filter(|_| about.start != Start::Warm);
        Some(run + load.unwrap_or_default())
    }

    /// To be told of what is seen of the job, as long as it goes on.
    pub(super) fn watched(&self) -> Option<Weak<Mutex<Watched>>> {
        let on_card = self.on_card.as_ref()?;
        Some(Arc::downgrade(&on_card.watched))
    }

    /// The job has ended, or does not begin.
    pub(crate) async fn end(self, left: Left) -> Shown {
        let ended = tokio::task::spawn_blocking(move || self.tell(left)).await;
        match ended {
            Ok(Ok(shown)) => shown,
            Ok(Err(error)) => {
                tracing::warn!(
                    { fields::ERROR } = chain(&error),
                    "what a job was promised goes on counting until its backend is seen to be idle"
                );
                Shown::default()
            }
            Err(error) => {
                tracing::error!({ fields::ERROR } = %error, "the end of a job could not be written down");
                Shown::default()
            }
        }
    }

    fn tell(self, left: Left) -> Result<Shown, LedgerError> {
        let took = self.on_card.as_ref().map(|it| it.began.elapsed());
        let seen = self.on_card.as_ref();
        let recorder = seen.and_then(|it| lock(&it.watched).recorder.take());
        let how = match left {
            Left::Untouched => return self.reservation.withdraw().map(|()| Shown::default()),
            // Dropped as it is.
            Left::MayGoOn => return Ok(Shown::default()),
            Left::Ended(how) => how,
        };
        let lowest = recorder.as_ref().map(Recorder::lowest_free);
        let lowest = lowest.filter(|_| how == How::Well);
        self.reservation.finish(self.keeps, lowest)?;
        let mut shown = Shown {
            was_loaded: self
                .on_card
                .as_ref()
                .is_some_and(|it| it.about.start != Start::Warm),
            ..Shown::default()
        };
        let end = match how {
            How::Well => End::Finished,
            How::OutOfMemory => End::OutOfMemory,
            How::Otherwise => return Ok(shown),
        };
        let (Some(OnCard { card, about, .. }), Some(recorder), Some(took)) =
            (self.on_card, recorder, took)
        else {
            return Ok(shown);
        };
        let Some(key) = about.key else {
            return Ok(shown);
        };
        let before = card.usual(&key.profile);
        let (run, load) = parts(took, about.start, before);
        card.observe(&key, &recorder.finish(end, run, load, None));
        shown.usual = card.usual(&key.profile);
        shown.load = load;
        Ok(shown)
    }
}

/// What of that time was work, and what loading. What a model takes to load is not told by every backend: what the work takes
/// longer than usual, with the model not loaded before, is counted as loading.
fn parts(took: Duration, start: Start, usual: Option<Usual>) -> (Duration, Option<Duration>) {
    match (start, usual) {
        (Start::Warm, _) | (_, None) => (took, None),
        (Start::Empty | Start::Other, Some(usual)) => {
            let run = took.min(usual.run);
            (run, Some(took - run))
        }
    }
}

/// Tells a job's recorder what is free, as long as it is there.
async fn watch_free(mut samples: watch::Receiver<Option<Sample>>, watched: Weak<Mutex<Watched>>) {
    while samples.changed().await.is_ok() {
        let sample = samples.borrow_and_update().clone();
        let Some(watched) = watched.upgrade() else {
            return;
        };
        let mut watched = lock(&watched);
        match (sample.map(|sample| sample.memory), &mut watched.recorder) {
            (Some(Ok(memory)), Some(recorder)) => recorder.free(memory.free),
            // A gap may hide the lowest point.
            _ => watched.recorder = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cold_job_takes_longer_than_usual_is_loading() {
        let seconds = Duration::from_secs;
        let usual = Some(Usual {
            run: seconds(50),
            load: None,
        });
        let cold = parts(seconds(95), Start::Empty, usual);
        assert_eq!(cold, (seconds(50), Some(seconds(45))));
        // A short one was not loaded in less than no time.
        let short = parts(seconds(20), Start::Other, usual);
        assert_eq!(short, (seconds(20), Some(seconds(0))));
        assert_eq!(parts(seconds(95), Start::Warm, usual), (seconds(95), None));
        assert_eq!(parts(seconds(95), Start::Empty, None), (seconds(95), None));
    }
}
