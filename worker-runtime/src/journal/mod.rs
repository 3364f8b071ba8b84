//! What a worker writes down, so that a restart neither loses a result nor pays for it twice.
//!
//! A run is written down when it is taken, when its backend notes its own name for the work, when it ends (with the whole
//! report, before that is published) and when the broker has the report. Notes and reports are on disk when their call
//! returns; one flush serves all that were written meanwhile. The rest may be lost with the power, not with the process.

mod file;
mod index;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use shared::fields;
use shared::ids::{JobId, RunId, Take};
use shared::protocol::{AttemptSucceeded, Envelope, ToCoordinator};
use shared::time::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use self::file::{JournalFile, to_line};
pub(crate) use self::index::Taken;
use self::index::{Index, Record};

/// Lines that one flush serves at most.
const BATCH: usize = 256;
/// How long the end of a worker waits for what is still being written.
pub(crate) const LAST_WRITES: Duration = Duration::from_secs(5);

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be opened.
    #[error(
        "cannot use the journal in {folder}: worker.data_dir must be a folder that this user may write to and no other worker \
         uses"
    )]
    Open {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The disk does not take it.
    #[error("cannot write the worker's journal: free some space or check the disk")]
    Write(#[source] io::Error),
    /// Its writer has ended.
    #[error("the worker's journal is closed")]
    Closed,
}

/// The journal of one worker. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    writes: mpsc::Sender<Write>,
    index: Arc<Mutex<Index>>,
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) journal: Journal,
    pub(crate) left_over: LeftOver,
    /// Ends, and frees the folder, when the last clone of the journal is gone.
    pub(crate) writer: JoinHandle<()>,
}

/// What an earlier life of this worker left open.
#[derive(Debug)]
pub(crate) struct LeftOver {
    /// Runs that have not ended.
    pub(crate) unfinished: Vec<Taken>,
    /// Reports that the coordinator may not have.
    pub(crate) reports: Vec<(RunId, Envelope<ToCoordinator>)>,
}

#[derive(Debug)]
struct Write {
    record: Record,
    sync: bool,
    done: Option<oneshot::Sender<Result<(), JournalError>>>,
}

impl Journal {
    /// Opens the journal in that folder, which it makes and locks.
    pub(crate) async fn open(folder: &Path, now: Timestamp) -> Result<Opened, JournalError> {
        let failed = |source| JournalError::Open {
            folder: folder.to_owned(),
            source,
        };
        let path = folder.to_owned();
        let opened = spawn_blocking(move || {
            let (mut file, mut index, unreadable) = JournalFile::open(&path)?;
            index.expire(now);
            file.rewrite(&index.records().collect::<Vec<_>>())?;
            Ok((file, index, unreadable))
        });
        let (file, index, unreadable) = opened
            .await
            .map_err(|error| failed(died(error)))?
            .map_err(failed)?;
        if unreadable > 0 {
            tracing::warn!(
                { fields::COUNT } = unreadable,
                "left out what cannot be read in the journal"
            );
        }
        let left_over = LeftOver {
            unfinished: index.unfinished(),
            reports: index.reports_to_repeat(),
        };
        let index = Arc::new(Mutex::new(index));
        let (writes, queue) = mpsc::channel(BATCH);
        let writer = tokio::spawn(write_all(file, queue, Arc::clone(&index)));
        Ok(Opened {
            journal: Self { writes, index },
            left_over,
            writer,
        })
    }

    /// A delivery was taken.
    pub(crate) async fn taken(&self, taken: Taken) -> Result<(), JournalError> {
        self.write(Record::Taken(taken), false).await
    }

    /// A run ended, and this is what will be said of it. On disk when this returns.
    pub(crate) async fn ended(
        &self,
        run: RunId,
        at: Timestamp,
        report: Envelope<ToCoordinator>,
    ) -> Result<(), JournalError> {
        let report = Box::new(report);
        self.write(Record::Ended { run, at, report }, true).await
    }

    /// The broker has the report of that run.
    pub(crate) async fn confirmed(&self, run: RunId) {
        self.mention(Record::Confirmed { run }).await;
    }

    /// A run that was taken will not begin, and nobody has to be told.
    pub(crate) async fn forgotten(&self, run: RunId) {
        self.mention(Record::Forgotten { run }).await;
    }

    /// The newest success of that job and take.
    pub(crate) fn success_of(&self, job: JobId, take: Take) -> Option<AttemptSucceeded> {
        self.index().success_of(job, take).cloned()
    }

    /// The newest note about that job and take.
    pub(crate) fn note_of(&self, job: JobId, take: Take) -> Option<String> {
        self.index().note_of(job, take).map(str::to_owned)
    }

    /// Where the backend of that run writes its notes.
    pub(crate) fn note_writer(&self, run: RunId) -> NoteWriter {
        NoteWriter {
            journal: self.clone(),
            run,
        }
    }

    async fn write(&self, record: Record, sync: bool) -> Result<(), JournalError> {
        let (done, written) = oneshot::channel();
        let write = Write {
            record,
            sync,
            done: Some(done),
        };
        self.writes
            .send(write)
            .await
            .map_err(|_| JournalError::Closed)?;
        written.await.unwrap_or(Err(JournalError::Closed))
    }

    /// Writes what may be lost.
    async fn mention(&self, record: Record) {
        let write = Write {
            record,
            sync: false,
            done: None,
        };
        if self.writes.send(write).await.is_err() {
            tracing::debug!("the journal is closed: a line that may be lost is lost");
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

/// Writes the notes of one run.
#[derive(Debug, Clone)]
pub(crate) struct NoteWriter {
    journal: Journal,
    run: RunId,
}

impl NoteWriter {
    /// Writes that note down. On disk when this returns.
    pub(crate) async fn write(&self, note: &str) -> Result<(), JournalError> {
        let record = Record::Noted {
            run: self.run,
            note: note.to_owned(),
        };
        self.journal.write(record, true).await
    }
}

/// Writes what comes until all journals are gone.
async fn write_all(
    mut file: JournalFile,
    mut queue: mpsc::Receiver<Write>,
    index: Arc<Mutex<Index>>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let sync = batch.iter().any(|write| write.sync);
        let lines: Vec<u8> = batch
            .iter()
            .flat_map(|write| to_line(&write.record))
            .collect();
        let known = Arc::clone(&index);
        let writes = std::mem::take(&mut batch);
        let written = spawn_blocking(move || {
            let result = file.append(&lines, sync);
            take_in(&mut file, &known, writes, &result);
            file
        });
        match written.await {
            Ok(back) => file = back,
            Err(error) => {
                tracing::error!({ fields::ERROR } = %error, "the journal's writer has died");
                return;
            }
        }
    }
}

/// Takes what was written into the index, whether or not the disk took it: the report of a run is adopted within this life
/// of the worker even when the disk is full.
fn take_in(
    file: &mut JournalFile,
    index: &Mutex<Index>,
    writes: Vec<Write>,
    result: &io::Result<()>,
) {
    let mut index = index
        .lock()
        .expect("nothing panics while it holds this lock");
    let mut waiting = Vec::new();
    for write in writes {
        index.apply(write.record);
        waiting.extend(write.done);
    }
    let anew = file
        .is_overgrown()
        .then(|| index.records().collect::<Vec<_>>());
    // Whoever asks for a result must not wait for the disk.
    drop(index);
    if let Some(records) = anew
        && let Err(error) = file.rewrite(&records)
    {
        tracing::warn!({ fields::ERROR } = %error, "the journal could not be written anew; it goes on growing");
    }
    for done in waiting {
        // Whoever asked may have gone away meanwhile.
        let _ = done.send(match result {
            Ok(()) => Ok(()),
            Err(error) => Err(JournalError::Write(io::Error::new(
                error.kind(),
                error.to_string(),
            ))),
        });
    }
}

fn died(error: JoinError) -> io::Error {
    io::Error::other(error)
}
