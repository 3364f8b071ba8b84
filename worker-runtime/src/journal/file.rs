//! The journal's file: lines of JSON, appended, and written anew when most of them no longer matter.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::index::{Index, Record};
use crate::replace::replace;

/// The file is written anew when this many bytes were appended, or twice as many as it then had, whichever is more.
const APPENDED_BEFORE_REWRITE: u64 = 4 * 1024 * 1024;

/// The open file. Every method blocks.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    file: File,
    length: u64,
    length_when_new: u64,
    /// Held while this lives; the operating system frees it with the process.
    _lock: File,
}

impl JournalFile {
    /// Opens the journal in that folder, and what it says. Lines that cannot be read are counted and left out: the last one may
    /// have been cut short by a crash.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Index, usize)> {
        fs::create_dir_all(folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another worker uses it: give each worker a data_dir of its own",
            ),
            fs::TryLockError::Error(error) => error,
        })?;
        let path = folder.join("runs.jsonl");
        let file = open(&path)?;
        let (index, unreadable) = read(&file)?;
        let mut journal = Self {
            path,
            file,
            length: 0,
            length_when_new: 0,
            _lock: lock,
        };
        journal.length = journal.file.seek(SeekFrom::End(0))?;
        journal.length_when_new = journal.length;
        Ok((journal, index, unreadable))
    }

    /// Appends lines, and returns when they are on disk if `sync` is set. After an error nothing of them is there.
    pub(super) fn append(&mut self, lines: &[u8], sync: bool) -> io::Result<()> {
        let written = self.file.write_all(lines).and_then(|()| match sync {
            true => self.file.sync_data(),
            false => Ok(()),
        });
        match written {
            Ok(()) => self.length += lines.len() as u64,
            // Half a line would spoil the next one.
            Err(_) => {
                self.file.set_len(self.length)?;
                self.file.seek(SeekFrom::Start(self.length))?;
            }
        }
        written
    }

    /// Whether it is time to write it anew.
    pub(super) fn is_overgrown(&self) -> bool {
        self.length - self.length_when_new.min(self.length)
            > APPENDED_BEFORE_REWRITE.max(2 * self.length_when_new)
    }

    /// Replaces everything by these lines, at once or not at all.
    pub(super) fn rewrite(&mut self, records: &[Record]) -> io::Result<()> {
        let new_path = self.path.with_extension("new");
        // Open for what comes after it, too: once it has its name there is nothing left that can go wrong and leave us with
        // the old file, which has none.
        let new = open(&new_path)?;
        new.set_len(0)?;
        let mut writer = BufWriter::new(new);
        for record in records {
            writer.write_all(&to_line(record))?;
        }
        let mut new = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        new.sync_all()?;
        let length = new.seek(SeekFrom::End(0))?;
        // Not every file system of Windows replaces a file that is open, so the old one is closed.
        self.file = new;
        if let Err(error) = replace(&self.path, &new_path) {
            self.file = open(&self.path)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(error);
        }
        self.length = length;
        self.length_when_new = length;
        sync_folder(&self.path)
    }
}

/// Opens a file to read it and to write at its end. Not for appending: what is open for that alone cannot be cut short on Windows,
/// and nobody else writes here.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// A record as one line.
pub(super) fn to_line(record: &Record) -> Vec<u8> {
    let mut line = serde_json::to_vec(record)
        .expect("records consist of strings, numbers and lists, which JSON can hold");
    line.push(b'\n');
    line
}

fn read(file: &File) -> io::Result<(Index, usize)> {
    let mut index = Index::default();
    let mut unreadable = 0;
    for line in BufReader::new(file).split(b'\n') {
        match serde_json::from_slice(&line?) {
            Ok(record) => index.apply(record),
            Err(_) => unreadable += 1,
        }
    }
    Ok((index, unreadable))
}

/// Makes the new name of a file outlive a loss of power. Windows has no such call, and needs none.
#[cfg(unix)]
fn sync_folder(file: &Path) -> io::Result<()> {
    file.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Makes the new name of a file outlive a loss of power. Windows has no such call, and needs none.
#[cfg(not(unix))]
fn sync_folder(_file: &Path) -> io::Result<()> {
    Ok(())
}
