//! The ledger's files. Every method blocks, for some microseconds, and for as long as somebody else decides.
//!
//! One folder for each device, and one for work without a device:
//!
//! - `decide.lock`: held while somebody reads, decides and writes down;
//! - `book.json`: all that was written down;
//! - `ID.lock`: held by the owner of an entry or a ticket for as long as it lives.
//!
//! The book is one file, since whoever decides keeps all others waiting: a decision costs one reading of a file, and one
//! writing where it changes anything. It is replaced by renaming, and only under `decide.lock`: a process that is killed has
//! written all of a decision or nothing of it, and may leave a half-written file, or a lock that belongs to nothing. The next
//! worker that opens the ledger removes these.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shared::ids::{Attempt, ProfileName};

use super::book::Book;
use super::boot_time::BootTime;
use super::disk::{DECIDE, LedgerError, Lock, Unlocked, at, file_name, names};
use super::entry::{Asked, BackendId, Entry, EntryId, Owner, State, Work};
use super::held::Held;
use super::owners::Owners;
use super::page::{BackendNote, Elsewhere};
use super::ticket::Ticket;
use super::transition::{Event, Next, Outcome, Settling, after, lowers, replaces};
use crate::gpu::reading::DeviceUuid;

/// The folder of work that needs no device. No device is named like that.
const HOST: &str = "host";

/// What was asked of a backend so long ago is not wanted any more: the claim for which it was asked has run out.
pub(super) const ASKED: Duration = Duration::from_secs(60);

/// The ledger of one device, as one worker uses it.
#[derive(Debug)]
pub struct Ledger {
    pub(super) root: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) owners: Owners,
    owner: Owner,
    settling: Settling,
    written: AtomicU64,
    /// In nanoseconds.
    last_held: AtomicU64,
}

impl Ledger {
    /// Opens the ledger of that device, or of work without one, in that folder.
    pub fn open(
        root: &Path,
        device: Option<&DeviceUuid>,
        owner: Owner,
    ) -> Result<Self, LedgerError> {
        let name = device.map_or(HOST.to_owned(), |device| file_name(&device.0));
        let folder = root.join(name);
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        let host = root.join(HOST);
        fs::create_dir_all(&host).map_err(at(&host))?;
        let owners = Owners::in_folder(&folder);
        remove_remains(&folder, &owners)?;
        Ok(Self {
            root: root.to_owned(),
            folder,
            owners,
            owner,
            settling: Settling::default(),
            written: AtomicU64::new(0),
            last_held: AtomicU64::new(0),
        })
    }

    /// The same, where jobs settle within other times.
    #[must_use]
    pub fn settling(self, settling: Settling) -> Self {
        Self { settling, ..self }
    }

    /// Whose reservations this one writes.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Decides while nobody else does, and writes down what came of it: all of it, or nothing if anything fails.
    ///
    /// # Errors
    /// If a file of the ledger cannot be locked, read or written, or if the decision fails.
    pub fn decide<T>(
        &self,
        decision: impl FnOnce(&mut Locked<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.look_ahead();
        let mut locked = self.lock()?;
        let decided = decision(&mut locked)?;
        locked.write_down()?;
        Ok(decided)
    }

    /// Makes ready what others would have to wait for: locks of theirs that are new are opened, and what reads the book has been
    /// called once. The book is read again when nobody else can write to it. Not on Windows, where who writes it would have to wait
    /// for who reads it here.
    fn look_ahead(&self) {
        if cfg!(windows) {
            return;
        }
        if let Ok(book) = Book::open(&self.folder) {
            self.owners.know(&book);
        }
    }

    /// Waits until nobody else decides. From then on nobody does, until the answer is dropped.
    ///
    /// The lock of the device comes first and that of the host second, which is taken when the books are read: host memory
    /// is shared by all devices, and reading a sick card must not hold up the decisions about the others.
    fn lock(&self) -> Result<Locked<'_>, LedgerError> {
        let host = self.root.join(HOST);
        let host = match self.folder == host {
            true => Host::Same,
            // Before the device is locked: it is one thing less that keeps others waiting.
            false => Host::Open(Unlocked::of(&host)?),
        };
        let device = Unlocked::of(&self.folder)?.wait()?;
        Ok(Locked {
            ledger: self,
            since: Instant::now(),
            device,
            host,
            book: None,
            is_changed: false,
            gone: Vec::new(),
            elsewhere: None,
        })
    }

    /// How long this one kept all others from deciding when it did so last.
    pub fn last_held(&self) -> Duration {
        Duration::from_nanos(self.last_held.load(Ordering::Relaxed))
    }

    fn next_id(&self) -> EntryId {
        EntryId::new(
            self.owner.boot,
            self.written.fetch_add(1, Ordering::Relaxed),
        )
    }
}

/// The ledger while nobody else decides. What is told here counts at once for this decision, and for others when it is
/// written down.
#[derive(Debug)]
pub struct Locked<'a> {
    pub(super) ledger: &'a Ledger,
    since: Instant,
    #[expect(dead_code, reason = "held until the decision is written down")]
    device: Lock,
    host: Host,
    /// As it was read, with what has changed since.
    book: Option<Book>,
    is_changed: bool,
    /// Whose locks go when that is written down.
    pub(super) gone: Vec<EntryId>,
    /// What the other books promise, as it was read.
    pub(super) elsewhere: Option<Elsewhere>,
}

/// The lock of the host's folder.
#[derive(Debug)]
enum Host {
    /// It is this folder.
    Same,
    Open(Unlocked),
    Held {
        #[expect(dead_code, reason = "held until the decision is written down")]
        lock: Lock,
    },
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let held = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.ledger.last_held.store(held, Ordering::Relaxed);
    }
}

impl Locked<'_> {
    /// Writes a new entry, and holds it.
    pub fn book(&mut self, work: Work, state: State, now: BootTime) -> Result<Held, LedgerError> {
        let id = self.ledger.next_id();
        let owner = self.ledger.owner.clone();
        let held = self.held(&id)?;
        self.changed()?.entries.push(Entry {
            id,
            state,
            since: now,
            owner,
            work,
        });
        Ok(held)
    }

    /// Writes a new ticket, and holds it. It is void when the answer is dropped.
    pub fn queue(
        &mut self,
        fill: impl FnOnce(EntryId, Owner) -> Ticket,
    ) -> Result<Held, LedgerError> {
        let id = self.ledger.next_id();
        let held = self.held(&id)?;
        let lock = self.ledger.owners.file(&id);
        let ticket = fill(id, self.ledger.owner.clone());
        self.changed()?.tickets.push(ticket);
        Ok(held.with_file(lock))
    }

    /// Takes a ticket back.
    pub fn leave(&mut self, ticket: &Held) -> Result<(), LedgerError> {
        self.changed()?.tickets.retain(|old| old.id != *ticket.id());
        Ok(())
    }

    /// Writes anew what a ticket says.
    pub fn save_ticket(&mut self, ticket: &Ticket) -> Result<(), LedgerError> {
        let tickets = &mut self.changed()?.tickets;
        tickets.retain(|old| old.id != ticket.id);
        tickets.push(ticket.clone());
        Ok(())
    }

    /// Tells the others of a backend.
    pub fn note(&mut self, backend: &BackendNote) -> Result<(), LedgerError> {
        let backends = &mut self.changed()?.backends;
        backends.retain(|old| old.id != backend.id);
        backends.push(backend.clone());
        Ok(())
    }

    /// Asks the worker of a backend to have it unload something. Asked again, it is asked anew.
    pub fn ask(&mut self, asked: &Asked) -> Result<(), LedgerError> {
        let all = &mut self.changed()?.asked;
        all.retain(|old| (&old.backend, &old.profile) != (&asked.backend, &asked.profile));
        all.push(asked.clone());
        Ok(())
    }

    /// What was asked has come about.
    pub fn unask(
        &mut self,
        backend: &BackendId,
        profile: Option<&ProfileName>,
    ) -> Result<(), LedgerError> {
        self.no_longer_asked(|old| (&old.backend, old.profile.as_ref()) == (backend, profile))
    }

    /// What was asked was seen to. Not if it was asked anew meanwhile.
    pub fn seen_to(&mut self, asked: &Asked) -> Result<(), LedgerError> {
        self.no_longer_asked(|old| old == asked)
    }

    /// Takes over that entry, if it is an orphan: its owner may have come back, or another may have been first.
    pub fn take_over(
        &mut self,
        entry: &Entry,
        attempt: Attempt,
        now: BootTime,
    ) -> Result<Option<Held>, LedgerError> {
        let Some(lock) = self.ledger.owners.take(&entry.id)? else {
            return Ok(None);
        };
        let owner = self.ledger.owner.clone();
        let event = Event::TakenOver { owner, attempt };
        let taken = after(entry, true, &event, now, self.ledger.settling);
        let Next::Changed(taken) = taken.next else {
            return Ok(None);
        };
        let held = Held::new(taken.id.clone(), lock);
        self.changed()?.put(*taken);
        Ok(Some(held))
    }

    /// Tells the entry what happened. One that is gone stays gone.
    pub fn tell(
        &mut self,
        id: &EntryId,
        event: &Event,
        now: BootTime,
    ) -> Result<Outcome, LedgerError> {
        let (owners, settling) = (&self.ledger.owners, self.ledger.settling);
        let book = self.opened()?;
        let Some(entry) = book.entries.iter().find(|entry| entry.id == *id) else {
            return Ok(Outcome {
                next: Next::Gone,
                alarm: None,
            });
        };
        let outcome = after(entry, owners.orphaned(entry), event, now, settling);
        let gone = match &outcome.next {
            Next::Same => return Ok(outcome),
            Next::Gone => self.changed()?.remove(|entry| entry.id == *id),
            Next::Changed(new) => {
                let book = self.changed()?;
                book.put((**new).clone());
                // The models in whose place it has come go.
                book.remove(|old| replaces(new, old))
            }
        };
        self.gone.extend(gone);
        if lowers(event, &outcome.next) {
            self.changed()?.lowered = Some(match event {
                Event::Looked { at, .. } => *at,
                _ => now,
            });
        }
        Ok(outcome)
    }

    /// Takes everything off the books: the device was lost or reset. Requests go on waiting.
    pub fn void(&mut self, now: BootTime) -> Result<(), LedgerError> {
        let book = self.changed()?;
        book.lowered = Some(now);
        let gone = book.remove(|_| true);
        self.gone.extend(gone);
        Ok(())
    }

    /// From now on, and until all is written down, nobody promises host memory.
    pub(super) fn lock_host(&mut self) -> Result<(), LedgerError> {
        self.host = match std::mem::replace(&mut self.host, Host::Same) {
            Host::Open(lock) => Host::Held { lock: lock.wait()? },
            host @ (Host::Same | Host::Held { .. }) => host,
        };
        Ok(())
    }

    /// The book as it stands now.
    pub(super) fn opened(&mut self) -> Result<&mut Book, LedgerError> {
        let book = match self.book.take() {
            Some(book) => book,
            None => Book::open(&self.ledger.folder)?,
        };
        Ok(self.book.insert(book))
    }

    /// The book, to be changed.
    pub(super) fn changed(&mut self) -> Result<&mut Book, LedgerError> {
        self.opened()?;
        self.is_changed = true;
        self.opened()
    }

    /// Writes down what was changed. Then the locks go of what is over: what stands in the book without one would be an orphan.
    fn write_down(self) -> Result<(), LedgerError> {
        if let (Some(book), true) = (&self.book, self.is_changed) {
            book.save(&self.ledger.folder)?;
            self.ledger.owners.forget(&self.gone);
        }
        Ok(())
    }

    fn no_longer_asked(&mut self, is_it: impl Fn(&Asked) -> bool) -> Result<(), LedgerError> {
        if self.opened()?.asked.iter().any(&is_it) {
            self.changed()?.asked.retain(|old| !is_it(old));
        }
        Ok(())
    }

    /// Holds what is about to be in the book. Its lock is there first, for the same reason.
    fn held(&mut self, id: &EntryId) -> Result<Held, LedgerError> {
        let lock = self.ledger.owners.create(id)?;
        Ok(Held::new(id.clone(), lock))
    }
}

/// Removes what killed processes have left half done.
fn remove_remains(folder: &Path, owners: &Owners) -> Result<(), LedgerError> {
    let _decide = Unlocked::of(folder)?.wait()?;
    // It tells what belongs to what. Whoever asks for something is told that it cannot be read.
    let Ok(book) = Book::open(folder) else {
        return Ok(());
    };
    let ids = || book.ids().map(|id| owners.file(id));
    for name in names(folder)? {
        let file = folder.join(&name);
        let is_lock = name.ends_with(".lock") && name != DECIDE;
        if name.ends_with(".new") || is_lock && ids().all(|known| known != file) {
            let _ = fs::remove_file(file);
        }
    }
    Ok(())
}
