//! The book of one device: all that its workers have written down, in one file.

use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::boot_time::BootTime;
use super::disk::{LedgerError, at};
use super::entry::{Asked, Entry, EntryId};
use super::page::BackendNote;
use super::ticket::Ticket;
use crate::replace::replace;

/// The version of the file. One of another version is not read.
const VERSION: u32 = 1;

/// The file's name.
pub(super) const BOOK: &str = "book.json";

/// What stands in the file. In no order: who reads it sorts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Book {
    version: u32,
    /// Who may hold how much.
    pub(super) entries: Vec<Entry>,
    /// Who waits.
    pub(super) tickets: Vec<Ticket>,
    /// The backends on the device, so that workers know each other's.
    pub(super) backends: Vec<BackendNote>,
    /// What a backend was asked to unload, until its worker has seen to it.
    pub(super) asked: Vec<Asked>,
    /// When a promise last became smaller.
    pub(super) lowered: Option<BootTime>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            version: VERSION,
            entries: Vec::new(),
            tickets: Vec::new(),
            backends: Vec::new(),
            asked: Vec::new(),
            lowered: None,
        }
    }
}

impl Book {
    /// The book in that folder; an empty one where none was written yet.
    pub(super) fn open(folder: &Path) -> Result<Self, LedgerError> {
        let file = folder.join(BOOK);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(at(&file)(error)),
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(book) if book.version == VERSION => Ok(book),
            Ok(book) => Err(unreadable(
                &file,
                &format!("it has version {}", book.version),
            )),
            Err(error) => Err(unreadable(&file, &error.to_string())),
        }
    }

    /// Writes it in place of the old one. Whoever is killed in between has written nothing.
    pub(super) fn save(&self, folder: &Path) -> Result<(), LedgerError> {
        let (file, new) = (folder.join(BOOK), folder.join("book.new"));
        let text = serde_json::to_vec(self).expect("it holds text and numbers only");
        fs::write(&new, text).map_err(at(&new))?;
        replace(&file, &new).map_err(at(&file))
    }

    /// All that has an owner, or had one.
    pub(super) fn ids(&self) -> impl Iterator<Item = &EntryId> + Clone {
        let entries = self.entries.iter().map(|entry| &entry.id);
        entries.chain(self.tickets.iter().map(|ticket| &ticket.id))
    }

    /// That entry in place of what stood there under its id.
    pub(super) fn put(&mut self, new: Entry) {
        match self.entries.iter_mut().find(|old| old.id == new.id) {
            Some(old) => *old = new,
            None => self.entries.push(new),
        }
    }

    /// Takes those entries out, and tells which.
    pub(super) fn remove(&mut self, goes: impl Fn(&Entry) -> bool) -> Vec<EntryId> {
        let gone = self.entries.extract_if(.., |entry| goes(entry));
        gone.map(|entry| entry.id).collect()
    }
}

/// Nothing is guessed about what it promises, and nothing is written over it.
fn unreadable(file: &Path, why: &str) -> LedgerError {
    let problem = format!(
        "{why}; it was damaged, or written by another version: stop all workers of this host, remove the file, and start \
         workers of one version"
    );
    at(file)(io::Error::new(io::ErrorKind::InvalidData, problem))
}
