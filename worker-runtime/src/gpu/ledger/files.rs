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

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;
use shared::ids::{Attempt, ProfileName};

use super::boot_time::BootTime;
use super::entry::{Asked, BackendId, BackendKind, Entry, EntryId, Owner, State, Work};
use super::held::Held;
use super::ticket::Ticket;
use super::transition::{Event, Next, Outcome, after, lowers, replaces};
use crate::gpu::admit::Booked;
use crate::gpu::reading::DeviceUuid;

/// The folder of work that needs no device. No device is named like that.
const HOST: &str = "host";

/// What was asked of a backend so long ago is not wanted any more: the claim for which it was asked has run out.
const ASKED: Duration = Duration::from_secs(60);

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the ledger of GPU reservations at {path}")]
pub struct LedgerError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The ledger of one device, as one worker uses it.
#[derive(Debug)]
pub struct Ledger {
    root: PathBuf,
    folder: PathBuf,
    owner: Owner,
    written: AtomicU64,
    /// In nanoseconds.
    last_held: AtomicU64,
}

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
            written: AtomicU64::new(0),
            last_held: AtomicU64::new(0),
        })
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
    ledger: &'a Ledger,
    since: Instant,
    #[expect(dead_code, reason = "held until the decision is written down")]
    device: Lock,
    host: Option<Lock>,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let held = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.ledger.last_held.store(held, Ordering::Relaxed);
    }
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
        let taken = after(entry, true, &Event::TakenOver { owner, attempt }, now);
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
        let outcome = after(&entry, orphaned, event, now);
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
            State::Job | State::Settling { .. } | State::Resident { .. } => false,
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

    fn save(&self, entry: &Entry) -> Result<(), LedgerError> {
        self.write(&self.file("e", &entry.id, "json"), entry)
    }

    /// First what it says, then its lock: a lock without an entry is what a crash may leave, an entry without one is not.
    fn erase(&self, id: &EntryId) {
        let _ = fs::remove_file(self.file("e", id, "json"));
        let _ = fs::remove_file(self.file("e", id, "lock"));
    }

    fn erase_ticket(&self, id: &EntryId) {
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
    fn free_lock(&self, sort: &str, id: &EntryId) -> Result<Option<File>, LedgerError> {
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

    fn lowered_file(&self) -> PathBuf {
        self.ledger.folder.join("lowered.json")
    }
}

/// What a file of the ledger is, by its name.
enum Name {
    Entry(String),
    Ticket(EntryId),
    Backend,
    Asked,
    Lock(String),
    HalfWritten,
}

impl Name {
    fn of(name: &str) -> Option<Self> {
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
struct Lock(File);

impl Lock {
    fn wait(folder: &Path) -> Result<Self, LedgerError> {
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

/// Whether the owner of that entry is gone. A model that is loaded has none.
fn is_orphaned(folder: &Path, entry: &Entry) -> bool {
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
fn free_lock(path: &Path) -> Result<Option<File>, LedgerError> {
    let file = open_lock(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(at(path)(source)),
    }
}

/// A file to lock. On Windows one that is open for appending only cannot be.
fn open_lock(path: &Path) -> Result<File, LedgerError> {
    OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(path)
        .map_err(at(path))
}

fn names(folder: &Path) -> Result<Vec<String>, LedgerError> {
    let files = fs::read_dir(folder).map_err(at(folder))?;
    Ok(files
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .collect())
}

/// What that file says; nothing when it is not there.
fn read<T: DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> LedgerError + use<> {
    let path = path.to_owned();
    move |source| LedgerError {
        path: path.clone(),
        source,
    }
}

/// A name that every file system takes.
fn file_name(name: &str) -> String {
    name.chars()
        .map(|c| match c.is_ascii_alphanumeric() || c == '-' {
            true => c,
            false => '_',
        })
        .collect()
}
