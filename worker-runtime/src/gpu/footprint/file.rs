//! The file of what was learned: one for all workers of a host. Every method blocks, for some milliseconds.
//!
//! It is read and written anew for each job, under a lock, so that workers learn from each other; it is replaced by renaming,
//! so that a killed process leaves the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use shared::fields;
use shared::time::Timestamp;

use super::book::{Book, VERSION};
use crate::replace::replace;

const NAME: &str = "footprints.json";

/// Why what was learned cannot be kept, or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the learned footprints at {path}")]
pub struct FootprintError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The file.
#[derive(Debug)]
pub(super) struct BookFile {
    folder: PathBuf,
}

/// Another version may differ in everything but this.
#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl BookFile {
    pub(super) fn open(folder: &Path) -> Result<Self, FootprintError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// What is written there now; nothing if there is no such file. One that cannot be read is put aside and told of: what was
    /// learned is lost, and is learned again.
    pub(super) fn read(&self) -> Result<Book, FootprintError> {
        match self.parse()? {
            Ok(book) => Ok(book),
            // Another worker may have put it aside, and begun a new one, in the same moment.
            Err(_) => self.locked(|| self.read_or_put_aside()),
        }
    }

    /// Changes what is written there, while nobody else does.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Book) -> T,
    ) -> Result<T, FootprintError> {
        self.locked(|| {
            let mut book = self.read_or_put_aside()?;
            let result = change(&mut book);
            self.write(&book).map_err(at(&self.path()))?;
            Ok(result)
        })
    }

    fn read_or_put_aside(&self) -> Result<Book, FootprintError> {
        let reason = match self.parse()? {
            Ok(book) => return Ok(book),
            Err(reason) => reason,
        };
        let aside = self.folder.join(format!(
            "footprints.unreadable-{}.json",
            Timestamp::now().as_millis()
        ));
        fs::rename(self.path(), &aside).map_err(at(&aside))?;
        tracing::warn!(
            { fields::REASON } = reason,
            file = %aside.display(),
            "the learned footprints cannot be read; they are put aside and learned again"
        );
        Ok(Book::default())
    }

    /// What is written there, or why it cannot be read.
    fn parse(&self) -> Result<Result<Book, String>, FootprintError> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Ok(Book::default()));
            }
            bytes => bytes.map_err(at(&path))?,
        };
        Ok(match serde_json::from_slice::<VersionOnly>(&bytes) {
            Ok(VersionOnly { version }) if version != VERSION => {
                Err(format!("it is of version {version}, not {VERSION}"))
            }
            Ok(_) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        })
    }

    fn write(&self, book: &Book) -> io::Result<()> {
        let new = self.folder.join("footprints.new");
        let bytes = serde_json::to_vec(book)
            .expect("it consists of numbers, strings and lists, which JSON can hold");
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        drop(file);
        replace(&self.path(), &new)
    }

    fn locked<T>(
        &self,
        act: impl FnOnce() -> Result<T, FootprintError>,
    ) -> Result<T, FootprintError> {
        let path = self.folder.join("footprints.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(at(&path))?;
        lock.lock().map_err(at(&path))?;
        let result = act();
        // Closing is not enough: a child process that has the descriptor for a moment more would keep the lock.
        let _ = lock.unlock();
        result
    }

    fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FootprintError {
    let path = path.to_owned();
    |source| FootprintError { path, source }
}
