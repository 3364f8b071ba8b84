//! What jobs were seen to need, and what the next one is reckoned with.
//!
//! Declared figures are guesses of whoever wrote the profile. Each job that is watched to its end tells better, for jobs of its
//! profile, on its model of card, of its size ([`Key`]). The rule stands in `figure` (few samples are taken with a premium; rise
//! at once, fall slowly) and in `learned` (what a backend holds on a roomy card is greed; running out of memory is a
//! measurement; a job that takes far too long was short of memory without saying so).

mod book;
mod figure;
mod file;
mod key;
mod learned;
mod sample;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use shared::byte_size::ByteSize;
use shared::failure::chain;
use shared::fields;
use shared::ids::ProfileName;
use shared::log_news;
use shared::news::News;
use shared::profile::ResourceRequest;
use shared::time::Timestamp;

use self::book::Book;
pub use self::book::Usual;
use self::file::BookFile;
pub use self::file::FootprintError;
pub use self::key::{DeviceModel, Extent, Key};
pub use self::learned::Told;
pub use self::sample::{End, Recorder, Sample, Start};
use super::admit::Need;

/// What was learned on this host. Every method blocks, for some milliseconds.
#[derive(Debug)]
pub struct Footprints {
    file: BookFile,
    /// Why it could not be read, as it was told last: it is read for each decision.
    told: Mutex<News>,
}

impl Footprints {
    /// Those in that folder, which is made if it is not there. All workers of a host should be given the same one; it is to
    /// outlive a restart of the machine, and is never on a network file system.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(folder: &Path) -> Result<Self, FootprintError> {
        let told = Mutex::default();
        BookFile::open(folder).map(|file| Self { file, told })
    }

    /// What the next job of that key needs. What cannot be read counts as not learned: then what was declared counts alone.
    pub fn need(&self, declared: &ResourceRequest, key: &Key) -> Need {
        self.read().need(declared, key, Timestamp::now())
    }

    /// A job of that key has ended. To be told about jobs that finished or ran out of memory, and were watched all the time.
    ///
    /// # Errors
    /// If it cannot be written down. Nothing is wrong with the job then.
    pub fn observe(&self, key: &Key, sample: &Sample) -> Result<Told, FootprintError> {
        let at = Timestamp::now();
        self.file.change(|book| book.learn(key, sample, at))
    }

    /// How far the memory of others may rise during one job on such a card.
    pub fn drift(&self, device: &DeviceModel) -> ByteSize {
        self.read().drift(device)
    }

    /// How long the work of that profile takes on such a card, where that was measured.
    pub fn usual(&self, profile: &ProfileName, device: &DeviceModel) -> Option<Usual> {
        self.read().usual(profile, device)
    }

    fn read(&self) -> Book {
        let read = self.file.read().map_err(|error| chain(&error));
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(book) => {
                told.over();
                book
            }
            Err(error) => {
                log_news!(
                    told.is_news(&error),
                    warn,
                    { fields::ERROR } = error,
                    "nothing counts as learned"
                );
                Book::default()
            }
        }
    }
}
