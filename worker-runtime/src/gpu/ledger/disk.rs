//! What the ledger's files are called, how they are read, and the locks on them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::entry::{Entry, EntryId, State};

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the ledger of GPU reservations at {path}")]
pub struct LedgerError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// What a file of the ledger is, by its name.
pub(super) enum Name {
    Entry(String),
    Ticket(EntryId),
    Backend,
    Asked,
    Lock(String),
    HalfWritten,
}

impl Name {
    pub(super) fn of(name: &str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        let (sort, id) = stem.split_once('-').unwrap_or((stem, ""));
        match (sort, extension) {
            ("e", "json") => Some(Self::Entry(id.to_owned())),
            ("t", "json") => Some(Self::Ticket(serde_json::from_value(id.into()).ok()?)),
            ("b", "json") => Some(Self::Backend),
            ("a", "json") => Some(Self::Asked),
            ("e" | "t", "lock") => Some(Self::Lock(stem.to_owned())),
            (_, "new") => Some(Self::HalfWritten),
            _ => None,
        }
    }
}

/// A lock that is freed when this is dropped.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    pub(super) fn wait(folder: &Path) -> Result<Self, LedgerError> {
        let path = folder.join("decide.lock");
        let file = open_lock(&path)?;
        file.lock().map_err(at(&path))?;
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before it is closed: see `Held`.
        let _ = self.0.unlock();
    }
}

/// Whether the owner of that entry is gone. A model that is loaded has none.
pub(super) fn is_orphaned(folder: &Path, entry: &Entry) -> bool {
    match entry.state {
        State::Resident { .. } => false,
        State::Claim { .. } | State::Job | State::Settling { .. } => {
            match free_lock(&folder.join(format!("e-{}.lock", entry.id))) {
                Ok(Some(lock)) => {
                    let _ = lock.unlock();
                    true
                }
                // What cannot be told counts as owned: it keeps its promise either way.
                Ok(None) | Err(_) => false,
            }
        }
    }
}

/// That lock, if nobody holds it. A lock whose file is gone is made anew: it is nobody's.
pub(super) fn free_lock(path: &Path) -> Result<Option<File>, LedgerError> {
    let file = open_lock(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(at(path)(source)),
    }
}

/// A file to lock. On Windows one that is open for appending only cannot be.
pub(super) fn open_lock(path: &Path) -> Result<File, LedgerError> {
    OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(path)
        .map_err(at(path))
}

pub(super) fn names(folder: &Path) -> Result<Vec<String>, LedgerError> {
    let files = fs::read_dir(folder).map_err(at(folder))?;
    Ok(files
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .collect())
}

/// What that file says; nothing when it is not there.
pub(super) fn read<T: DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> LedgerError + use<> {
    let path = path.to_owned();
    move |source| LedgerError {
        path: path.clone(),
        source,
    }
}

/// A name that every file system takes.
pub(super) fn file_name(name: &str) -> String {
    name.chars()
        .map(|c| match c.is_ascii_alphanumeric() || c == '-' {
            true => c,
            false => '_',
        })
        .collect()
}
