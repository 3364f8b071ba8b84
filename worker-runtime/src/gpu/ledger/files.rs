//! The ledger's files. Every method blocks, for some microseconds, and for as long as somebody else decides.
//!
//! One folder for each device, and one for work without a device:
//!
//! - `decide.lock`: held while somebody reads, decides and writes down;
//! - `e-ID.json`, `e-ID.lock`: an entry, and the lock that its owner holds for as long as it lives. Two files, since on
//!   Windows nobody else can read a locked one;
//! - `t-ID.json`, `t-ID.lock`: the same for a request that waits;
//! - `b-NAME.json`: a backend on the device, so that workers know each other's;
//! - `a-NAME.json`: what a backend was asked to unload, until its worker has seen to it;
//! - `lowered.json`: when a promise last became smaller.
//!
//! Files are replaced by renaming, and only under `decide.lock`: whoever holds it and finds a half-written one, or a lock
//! without its entry, finds what a killed process has left, and removes it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use shared::ids::{Attempt, ProfileName};

use super::boot_time::BootTime;
use super::disk::{LedgerError, Lock, at, file_name, free_lock, is_orphaned, names, read};
use super::entry::{Asked, BackendId, Entry, EntryId, Owner, State, Work};
use super::held::Held;
use super::page::BackendNote;
use super::ticket::Ticket;
use super::transition::{Event, Next, Outcome, Settling, after, lowers, replaces};
use crate::gpu::reading::DeviceUuid;

/// The folder of work that needs no device. No device is named like that.
pub(super) const HOST: &str = "host";

/// What was asked of a backend so long ago is not wanted any more: the claim for which it was asked has run out.
pub(super) const ASKED: Duration = Duration::from_secs(60);

/// The ledger of one device, as one worker uses it.
#[derive(Debug)]
pub struct Ledger {
    pub(super) root: PathBuf,
    pub(super) folder: PathBuf,
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
        Ok(Self {
            root: root.to_owned(),
            folder,
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

    /// Waits until nobody else decides. From then on nobody does, until the answer is dropped.
    ///
    /// The lock of the device comes first and that of the host second, which is taken when the books are read: host memory
    /// is shared by all devices, and reading a sick card must not hold up the decisions about the others.
    pub fn lock(&self) -> Result<Locked<'_>, LedgerError> {
        let device = Lock::wait(&self.folder)?;
        Ok(Locked {
            ledger: self,
            since: Instant::now(),
            device,
            host: None,
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

/// The ledger while nobody else decides.
#[derive(Debug)]
pub struct Locked<'a> {
    pub(super) ledger: &'a Ledger,
    since: Instant,
    #[expect(dead_code, reason = "held until the decision is written down")]
    device: Lock,
    pub(super) host: Option<Lock>,
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
        let held = Held::new(id.clone(), self.new_lock("e", &id)?);
        self.save(&Entry {
            id,
            state,
            since: now,
            owner: self.ledger.owner.clone(),
            work,
        })?;
        Ok(held)
    }

    /// Writes a new ticket, and holds it. It goes when the answer is dropped.
    pub fn queue(
        &mut self,
        fill: impl FnOnce(EntryId, Owner) -> Ticket,
    ) -> Result<Held, LedgerError> {
        let id = self.ledger.next_id();
        let lock = self.new_lock("t", &id)?;
        let held = Held::new(id.clone(), lock).with_files(vec![
            self.file("t", &id, "json"),
            self.file("t", &id, "lock"),
        ]);
        self.save_ticket(&fill(id, self.ledger.owner.clone()))?;
        Ok(held)
    }

    /// Writes anew what a ticket says.
    pub fn save_ticket(&mut self, ticket: &Ticket) -> Result<(), LedgerError> {
        self.write(&self.file("t", &ticket.id, "json"), ticket)
    }

    /// Tells the others of a backend.
    pub fn note(&mut self, backend: &BackendNote) -> Result<(), LedgerError> {
        self.write(&self.backend_file(&backend.id), backend)
    }

    /// Asks the worker of a backend to have it unload something. Asked again, it is asked anew.
    pub fn ask(&mut self, asked: &Asked) -> Result<(), LedgerError> {
        let file = self.asked_file(&asked.backend, asked.profile.as_ref());
        self.write(&file, asked)
    }

    /// What was asked has come about.
    pub fn unask(&mut self, backend: &BackendId, profile: Option<&ProfileName>) {
        let _ = fs::remove_file(self.asked_file(backend, profile));
    }

    /// What was asked was seen to. Not if it was asked anew meanwhile.
    pub fn seen_to(&mut self, asked: &Asked) -> Result<(), LedgerError> {
        let file = self.asked_file(&asked.backend, asked.profile.as_ref());
        if read::<Asked>(&file).map_err(at(&file))?.as_ref() == Some(asked) {
            let _ = fs::remove_file(file);
        }
        Ok(())
    }

    /// Takes over that entry, if it is an orphan: its owner may have come back, or another may have been first.
    pub fn take_over(
        &mut self,
        entry: &Entry,
        attempt: Attempt,
        now: BootTime,
    ) -> Result<Option<Held>, LedgerError> {
        let Some(lock) = self.free_lock("e", &entry.id)? else {
            return Ok(None);
        };
        let owner = self.ledger.owner.clone();
        let event = Event::TakenOver { owner, attempt };
        let taken = after(entry, true, &event, now, self.ledger.settling);
        let Next::Changed(taken) = taken.next else {
            return Ok(None);
        };
        self.save(&taken)?;
        Ok(Some(Held::new(taken.id, lock)))
    }

    /// Tells the entry what happened, and writes down what becomes of it. One that is gone stays gone.
    pub fn tell(
        &mut self,
        id: &EntryId,
        event: &Event,
        now: BootTime,
    ) -> Result<Outcome, LedgerError> {
        let file = self.file("e", id, "json");
        let gone = Outcome {
            next: Next::Gone,
            alarm: None,
        };
        let Some(entry) = read::<Entry>(&file).map_err(at(&file))? else {
            return Ok(gone);
        };
        let orphaned = is_orphaned(&self.ledger.folder, &entry);
        let outcome = after(&entry, orphaned, event, now, self.ledger.settling);
        // Before the promise itself: a crash in between then only costs a reading.
        if lowers(event, &outcome.next) {
            let from = match event {
                Event::Looked { at, .. } => *at,
                _ => now,
            };
            self.write(&self.lowered_file(), &from)?;
        }
        match &outcome.next {
            Next::Same => {}
            Next::Gone => self.erase(id),
            Next::Changed(entry) => {
                self.save(entry)?;
                self.clear_for(entry)?;
            }
        }
        Ok(outcome)
    }

    /// Takes everything off the books: the device was lost or reset. Requests go on waiting.
    pub fn void(&mut self, now: BootTime) -> Result<(), LedgerError> {
        self.write(&self.lowered_file(), &now)?;
        for id in self.ids("e", "json")? {
            self.erase(&id);
        }
        Ok(())
    }

    /// Takes off the models in whose place a new one has come.
    fn clear_for(&mut self, new: &Entry) -> Result<(), LedgerError> {
        if !matches!(new.state, State::Resident { .. }) {
            return Ok(());
        }
        for id in self.ids("e", "json")? {
            if let Ok(Some(old)) = read::<Entry>(&self.file("e", &id, "json"))
                && replaces(new, &old)
            {
                self.erase(&id);
            }
        }
        Ok(())
    }

    fn save(&self, entry: &Entry) -> Result<(), LedgerError> {
        self.write(&self.file("e", &entry.id, "json"), entry)
    }

    /// First what it says, then its lock: a lock without an entry is what a crash may leave, an entry without one is not.
    pub(super) fn erase(&self, id: &EntryId) {
        let _ = fs::remove_file(self.file("e", id, "json"));
        let _ = fs::remove_file(self.file("e", id, "lock"));
    }

    pub(super) fn erase_ticket(&self, id: &EntryId) {
        let _ = fs::remove_file(self.file("t", id, "json"));
        let _ = fs::remove_file(self.file("t", id, "lock"));
    }

    fn new_lock(&self, sort: &str, id: &EntryId) -> Result<File, LedgerError> {
        let path = self.file(sort, id, "lock");
        let file = File::create(&path).map_err(at(&path))?;
        file.lock().map_err(at(&path))?;
        Ok(file)
    }

    /// That lock, if nobody holds it; held from now on.
    pub(super) fn free_lock(&self, sort: &str, id: &EntryId) -> Result<Option<File>, LedgerError> {
        free_lock(&self.file(sort, id, "lock"))
    }

    fn ids(&self, sort: &str, extension: &str) -> Result<Vec<EntryId>, LedgerError> {
        let prefix = format!("{sort}-");
        let suffix = format!(".{extension}");
        let ids = names(&self.ledger.folder)?.into_iter().filter_map(|name| {
            let id = name.strip_prefix(&prefix)?.strip_suffix(&suffix)?;
            serde_json::from_value(id.into()).ok()
        });
        Ok(ids.collect())
    }

    fn write<T: Serialize>(&self, file: &Path, what: &T) -> Result<(), LedgerError> {
        let new = file.with_extension("new");
        let text = serde_json::to_vec(what).expect("ledger files hold text and numbers only");
        fs::write(&new, text).map_err(at(&new))?;
        fs::rename(&new, file).map_err(at(file))
    }

    fn file(&self, sort: &str, id: &EntryId, extension: &str) -> PathBuf {
        self.ledger.folder.join(format!("{sort}-{id}.{extension}"))
    }

    fn backend_file(&self, backend: &BackendId) -> PathBuf {
        let name = file_name(&backend.0);
        self.ledger.folder.join(format!("b-{name}.json"))
    }

    fn asked_file(&self, backend: &BackendId, profile: Option<&ProfileName>) -> PathBuf {
        let backend = file_name(&backend.0);
        let of_model = |it: &ProfileName| format!("model-{}", file_name(it.as_str()));
        let model = profile.map_or_else(|| "all".to_owned(), of_model);
        self.ledger.folder.join(format!("a-{backend}-{model}.json"))
    }

    pub(super) fn lowered_file(&self) -> PathBuf {
        self.ledger.folder.join("lowered.json")
    }
}
