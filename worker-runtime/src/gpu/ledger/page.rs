//! What is on the books, as it is read from the files. What ended with its owner, or by time, is taken off on the way.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;

use super::boot_time::BootTime;
use super::disk::{LedgerError, Lock, Name, at, is_orphaned, names, read};
use super::entry::{Asked, BackendId, BackendKind, Entry, State};
use super::files::{ASKED, HOST, Locked};
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
        let own = &self.ledger.folder;
        let host = self.ledger.root.join(HOST);
        if self.host.is_none() && *own != host {
            self.host = Some(Lock::wait(&host)?);
        }
        let mut page = Page::default();
        self.read_entries(own, now, &mut page)?;
        page.lowered = read(&self.lowered_file()).unwrap_or(None);
        let others = fs::read_dir(&self.ledger.root).map_err(at(&self.ledger.root))?;
        for other in others.flatten().map(|other| other.path()) {
            if other != *own && other.is_dir() {
                read_elsewhere(&other, now, &mut page);
            }
        }
        page.tickets
            .sort_by(|one, other| one.order().cmp(&other.order()));
        Ok(page)
    }

    fn read_entries(
        &self,
        folder: &Path,
        now: BootTime,
        page: &mut Page,
    ) -> Result<(), LedgerError> {
        let mut locks = HashSet::new();
        let mut known = HashSet::new();
        for name in names(folder)? {
            let file = folder.join(&name);
            match Name::of(&name) {
                Some(Name::Entry(id)) => {
                    known.insert(format!("e-{id}"));
                    match read::<Entry>(&file) {
                        Ok(Some(entry)) => self.take_in(folder, entry, now, page),
                        Ok(None) => {}
                        Err(_) => page.unreadable.push(file.display().to_string()),
                    }
                }
                Some(Name::Ticket(id)) => {
                    known.insert(format!("t-{id}"));
                    match (read::<Ticket>(&file), self.free_lock("t", &id)) {
                        (Ok(Some(ticket)), Ok(None)) => page.tickets.push(ticket),
                        // Nobody waits with it any more; or it tells nothing.
                        _ => self.erase_ticket(&id),
                    }
                }
                Some(Name::Backend) => page.backends.extend(read(&file).unwrap_or(None)),
                Some(Name::Asked) => match read::<Asked>(&file) {
                    Ok(Some(asked)) if now.since(asked.at) < ASKED => page.asked.push(asked),
                    // Nobody saw to it, and who asked has gone on without.
                    _ => {
                        let _ = fs::remove_file(&file);
                    }
                },
                Some(Name::Lock(stem)) => {
                    locks.insert(stem);
                }
                Some(Name::HalfWritten) => {
                    let _ = fs::remove_file(&file);
                }
                None => {}
            }
        }
        for stem in locks.difference(&known) {
            let _ = fs::remove_file(folder.join(format!("{stem}.lock")));
        }
        Ok(())
    }

    /// Puts an entry on the page, unless it is over.
    fn take_in(&self, folder: &Path, entry: Entry, now: BootTime, page: &mut Page) {
        let orphaned = is_orphaned(folder, &entry);
        let over = match entry.state {
            State::Claim { until } => orphaned || now >= until,
            // Where the folder outlives a restart of the machine.
            State::Resident { .. } => entry.since < BootTime::start(),
            State::Job | State::Settling { .. } => false,
        };
        if over {
            self.erase(&entry.id);
            return;
        }
        page.entries.push(Booked {
            age: now.since(entry.since),
            orphaned,
            entry,
        });
    }
}

/// What the other folders promise. Nothing there is changed, since their lock is not held: each of those files is there whole
/// or not at all, and nobody adds one while the host's lock is held here.
fn read_elsewhere(folder: &Path, now: BootTime, page: &mut Page) {
    for name in names(folder).unwrap_or_default() {
        let Some(Name::Entry(_)) = Name::of(&name) else {
            continue;
        };
        match read::<Entry>(&folder.join(&name)) {
            Ok(Some(entry)) => page.elsewhere.push(Booked {
                age: now.since(entry.since),
                orphaned: false,
                entry,
            }),
            Ok(None) => {}
            Err(_) => page
                .unreadable
                .push(folder.join(&name).display().to_string()),
        }
    }
}
