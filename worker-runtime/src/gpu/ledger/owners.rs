//! Whether those live who wrote what stands in the book.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::book::Book;
use super::disk::{LedgerError, at, open_lock, try_lock};
use super::entry::{Entry, EntryId, State};

/// The locks that owners of entries and tickets hold for as long as they live. Those of others are kept open from one look
/// to the next, so that each costs one question to the kernel.
#[derive(Debug)]
pub(super) struct Owners {
    folder: PathBuf,
    seen: Mutex<HashMap<EntryId, File>>,
}

impl Owners {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            seen: Mutex::default(),
        }
    }

    /// The lock's file.
    pub(super) fn file(&self, id: &EntryId) -> PathBuf {
        self.folder.join(format!("{id}.lock"))
    }

    /// A new lock, held.
    pub(super) fn create(&self, id: &EntryId) -> Result<File, LedgerError> {
        let path = self.file(id);
        let file = File::create(&path).map_err(at(&path))?;
        file.lock().map_err(at(&path))?;
        Ok(file)
    }

    /// That lock, if nobody holds it; held from now on. One whose file is gone is made anew: it is nobody's.
    pub(super) fn take(&self, id: &EntryId) -> Result<Option<File>, LedgerError> {
        let path = self.file(id);
        let file = open_lock(&path)?;
        Ok(try_lock(&file).map_err(at(&path))?.then_some(file))
    }

    /// Opens the locks of what stands in that book and is not known yet, so that a decision need not. None is made or tried: what
    /// is in the book may be over, as nobody need keep the others from deciding for this.
    pub(super) fn know(&self, book: &Book) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for id in book.ids() {
            if !seen.contains_key(id)
                && let Ok(file) = File::options().read(true).append(true).open(self.file(id))
            {
                seen.insert(id.clone(), file);
            }
        }
    }

    /// Whether the owner of that entry is gone. A model that is loaded has none.
    pub(super) fn orphaned(&self, entry: &Entry) -> bool {
        match entry.state {
            State::Resident { .. } => false,
            State::Claim { .. } | State::Job | State::Settling { .. } => !self.lives(&entry.id),
        }
    }

    /// Whether somebody holds that lock. What cannot be told counts as held: it keeps its promise either way.
    pub(super) fn lives(&self, id: &EntryId) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = seen.get(id)
            && is_held(file)
        {
            return true;
        }
        // The file may have been made anew since it was opened here.
        seen.remove(id);
        let Ok(file) = open_lock(&self.file(id)) else {
            return true;
        };
        let lives = is_held(&file);
        if lives {
            seen.insert(id.clone(), file);
        }
        lives
    }

    /// Those are over: removes their locks.
    pub(super) fn forget(&self, gone: &[EntryId]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for id in gone {
            seen.remove(id);
            let _ = fs::remove_file(self.file(id));
        }
    }

    /// How many locks are kept open.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Closes the locks of all that does not stand in the book any more.
    pub(super) fn close_all_but(&self, book: &Book) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|id, _| book.ids().any(|known| known == id));
    }
}

fn is_held(file: &File) -> bool {
    match try_lock(file) {
        Ok(true) => {
            let _ = file.unlock();
            false
        }
        Ok(false) | Err(_) => true,
    }
}
