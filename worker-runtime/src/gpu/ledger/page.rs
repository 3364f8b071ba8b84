//! What is on the books, as it is read from the files. What ended with its owner, or by time, is taken off on the way.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;

use super::book::Book;
use super::boot_time::BootTime;
use super::disk::{LedgerError, at};
use super::entry::{Asked, BackendId, BackendKind, Entry, State};
use super::files::{ASKED, Locked};
use super::ticket::Ticket;
use crate::gpu::admit::Booked;

/// What is on the books.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Entries of this device.
    pub entries: Vec<Booked>,
    /// Entries of all other devices, and of work without one.
    pub elsewhere: Vec<Booked>,
    /// Who waits for this device, first come first.
    pub tickets: Vec<Ticket>,
    /// Backends on this device.
    pub backends: Vec<BackendNote>,
    /// What was asked to leave and has not been seen to yet.
    pub asked: Vec<Asked>,
    /// When a promise on this device last became smaller.
    pub lowered: Option<BootTime>,
    /// Files that cannot be read.
    pub unreadable: Vec<String>,
}

/// A backend, as its worker tells the others of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendNote {
    /// Which.
    pub id: BackendId,
    /// How its models share memory.
    pub kind: BackendKind,
    /// Its processes, where they are known.
    pub pids: Vec<u32>,
    /// What stays with it when everything is unloaded, at least.
    pub residue: ByteSize,
}

impl Locked<'_> {
    /// What is on the books now. What ended with its owner, or by time, is taken off on the way.
    pub fn page(&mut self, now: BootTime) -> Result<Page, LedgerError> {
        let ledger = self.ledger;
        self.lock_host()?;
        let mut page = Page::default();
        match self.opened() {
            Ok(_) => self.read_own(now, &mut page)?,
            Err(error) => page.unreadable.push(error.path().display().to_string()),
        }
        let elsewhere = match self.elsewhere.take() {
            Some(read) => read,
            None => Elsewhere::read(&ledger.root, &ledger.folder, now)?,
        };
        page.elsewhere.clone_from(&elsewhere.entries);
        page.unreadable.extend(elsewhere.unreadable.iter().cloned());
        self.elsewhere = Some(elsewhere);
        Ok(page)
    }

    fn read_own(&mut self, now: BootTime, page: &mut Page) -> Result<(), LedgerError> {
        let owners = &self.ledger.owners;
        let book = self.opened()?;
        let mut gone = Vec::new();
        for entry in &book.entries {
            let orphaned = owners.orphaned(entry);
            match is_over(entry, orphaned, now) {
                true => gone.push(entry.id.clone()),
                false => page.entries.push(Booked {
                    age: now.since(entry.since),
                    orphaned,
                    entry: entry.clone(),
                }),
            }
        }
        for ticket in &book.tickets {
            match owners.lives(&ticket.id) {
                true => page.tickets.push(ticket.clone()),
                // Nobody waits with it any more.
                false => gone.push(ticket.id.clone()),
            }
        }
        // What nobody saw to for so long is not wanted any more: who asked has gone on without.
        let is_wanted = |asked: &Asked| now.since(asked.at) < ASKED;
        page.asked = book
            .asked
            .iter()
            .filter(|asked| is_wanted(asked))
            .cloned()
            .collect();
        page.backends.clone_from(&book.backends);
        page.lowered = book.lowered;
        page.tickets
            .sort_by(|one, other| one.order().cmp(&other.order()));
        // Others may have taken them off.
        owners.close_all_but(book);
        if gone.is_empty() && page.asked.len() == book.asked.len() {
            return Ok(());
        }
        let book = self.changed()?;
        book.entries.retain(|entry| !gone.contains(&entry.id));
        book.tickets.retain(|ticket| !gone.contains(&ticket.id));
        book.asked.clone_from(&page.asked);
        self.gone.extend(gone);
        Ok(())
    }
}

/// Whether that entry has ended, with its owner or by time.
fn is_over(entry: &Entry, orphaned: bool, now: BootTime) -> bool {
    match entry.state {
        State::Claim { until } => orphaned || now >= until,
        // Where the folder outlives a restart of the machine.
        State::Resident { .. } => entry.since < BootTime::start(),
        State::Job | State::Settling { .. } => false,
    }
}

/// What the other books promise. Nothing there is changed, since their lock is not held: each of those files is there whole
/// or not at all, and nobody adds to one while the host's lock is held here.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    entries: Vec<Booked>,
    unreadable: Vec<String>,
}

impl Elsewhere {
    /// All books under that folder but one.
    fn read(root: &Path, own: &Path, now: BootTime) -> Result<Self, LedgerError> {
        let mut read = Self::default();
        for other in fs::read_dir(root).map_err(at(root))?.flatten() {
            let is_folder = other.file_type().is_ok_and(|it| it.is_dir());
            if is_folder && other.path() != own {
                read.add(&other.path(), now);
            }
        }
        Ok(read)
    }

    fn add(&mut self, folder: &Path, now: BootTime) {
        match Book::open(folder) {
            Ok(book) => self
                .entries
                .extend(book.entries.into_iter().map(|entry| Booked {
                    age: now.since(entry.since),
                    orphaned: false,
                    entry,
                })),
            Err(error) => self.unreadable.push(error.path().display().to_string()),
        }
    }
}
