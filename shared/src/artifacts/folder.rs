//! What a store in a local folder can do beside an object store: touch files, and see the remains of broken uploads.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use object_store::local::LocalFileSystem;
use uuid::Uuid;

use super::{hash_of, key};
use crate::artifact::Sha256;
use crate::time::Timestamp;

/// A local folder of artifacts. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: Arc<Path>,
}

impl Folder {
    /// Makes the folder if it is not there, and tries whether files can be made in it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let trial = path.join(format!("trial-{}", Uuid::now_v7()));
        File::create_new(&trial)?;
        fs::remove_file(&trial)?;
        Ok(Self { path: path.into() })
    }

    pub(super) fn object_store(&self) -> Result<LocalFileSystem, object_store::Error> {
        // An artifact is reported, and its job is done for good, as soon as it is stored: it must outlive a power cut.
        Ok(LocalFileSystem::new_with_prefix(&self.path)?.with_fsync(true))
    }

    /// Makes a file as young as if it had been stored now.
    pub(super) fn touch(&self, hash: Sha256) -> io::Result<()> {
        let path = self.path.join(key(hash).as_ref());
        File::options()
            .write(true)
            .open(path)?
            .set_modified(SystemTime::now())
    }

    /// Removes what a process that was killed in mid-upload left behind: `HASH#1` beside `HASH`. What cannot be looked at
    /// or removed now is left for the next time.
    pub(super) fn remove_broken_uploads(&self, is_old: impl Fn(Timestamp) -> bool) {
        for file in files_below(&self.path) {
            if is_upload(&file) && modified_at(&file).is_some_and(&is_old) {
                let _ = fs::remove_file(&file);
            }
        }
    }
}

fn files_below(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    entries(folder.to_owned())
        .flat_map(move |entry| entries(entry.path()))
        .map(|entry| entry.path())
}

/// Whether this is a file that the object store makes before it renames it to an artifact.
fn is_upload(file: &Path) -> bool {
    let mut parts = file.iter().rev().map(|part| part.to_str());
    let (Some(Some(name)), Some(Some(first))) = (parts.next(), parts.next()) else {
        return false;
    };
    name.split_once('#').is_some_and(|(rest, number)| {
        number.bytes().all(|digit| digit.is_ascii_digit())
            && hash_of(&[first, rest].into_iter().collect()).is_some()
    })
}

fn modified_at(file: &Path) -> Option<Timestamp> {
    let modified = fs::metadata(file).ok()?.modified().ok()?;
    let since_epoch = modified.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_millis())
        .ok()
        .map(Timestamp::from_millis)
}
