//! A file on its way, beside the one it will become.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A file on its way, beside the one it will become. Goes away unless it was renamed.
pub(super) struct PartFile {
    /// Where it is.
    pub(super) path: PathBuf,
}

impl PartFile {
    /// One that will become `to`.
    pub(super) fn beside(to: &Path) -> Self {
        let mut name = to.file_name().map(OsString::from).unwrap_or_default();
        name.push(format!(".{}.part", Uuid::now_v7()));
        Self {
            path: to.with_file_name(name),
        }
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // After a success it is not there any more.
        let _ = std::fs::remove_file(&self.path);
    }
}
