//! A lock that says that its owner lives.

use std::fs::{self, File};
use std::path::PathBuf;

use super::entry::EntryId;

/// An entry or a ticket whose owner is this process, for as long as this lives.
#[derive(Debug)]
pub struct Held {
    id: EntryId,
    lock: File,
    /// Removed when this is dropped: the lock of what is void without its owner.
    goes_too: Option<PathBuf>,
}

impl Held {
    pub(super) fn new(id: EntryId, lock: File) -> Self {
        Self {
            id,
            lock,
            goes_too: None,
        }
    }

    /// The same for something that ends with its owner.
    pub(super) fn with_file(mut self, lock: PathBuf) -> Self {
        self.goes_too = Some(lock);
        self
    }

    /// As it is when its process is killed: the lock is let go and nothing removed.
    #[cfg(test)]
    pub(super) fn killed(mut self) -> Self {
        self.goes_too = None;
        self.lock.unlock().unwrap();
        self
    }

    /// What is held.
    pub fn id(&self) -> &EntryId {
        &self.id
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(file) = &self.goes_too {
            // Somebody may have found it ownerless first.
            let _ = fs::remove_file(file);
        }
        // Closing is not enough: a child process that has the descriptor for a moment more would keep the lock.
        let _ = self.lock.unlock();
    }
}
