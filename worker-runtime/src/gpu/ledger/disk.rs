//! The ledger's locks, and what can go wrong with its files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the ledger of GPU reservations at {path}")]
pub struct LedgerError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl LedgerError {
    /// Which file or folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The file that is locked while somebody decides.
pub(super) const DECIDE: &str = "decide.lock";

/// The lock of a folder, not held yet.
#[derive(Debug)]
pub(super) struct Unlocked(PathBuf, File);

impl Unlocked {
    /// Opened anew for each decision: what a cleaner of old files removes must not divide those who know the old file from
    /// those who know the new one.
    pub(super) fn of(folder: &Path) -> Result<Self, LedgerError> {
        let path = folder.join(DECIDE);
        let file = open_lock(&path)?;
        Ok(Self(path, file))
    }

    /// Waits until nobody else holds it.
    pub(super) fn wait(self) -> Result<Lock, LedgerError> {
        let Self(path, file) = self;
        file.lock().map_err(at(&path))?;
        Ok(Lock(file))
    }
}

/// A lock that is freed when this is dropped.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Before it is closed: see `Held`.
        let _ = self.0.unlock();
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

/// Whether the lock was free, and is held now.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

pub(super) fn names(folder: &Path) -> Result<Vec<String>, LedgerError> {
    let files = fs::read_dir(folder).map_err(at(folder))?;
    Ok(files
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .collect())
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
