//! One coordinator per data folder.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::start::StartError;

/// Held for as long as the process lives; the kernel lets go of it with the process.
#[derive(Debug)]
pub(crate) struct DataDir {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder if it is not there, and takes it for this process.
    pub(crate) fn take(path: &Path) -> Result<Self, StartError> {
        let unusable = |source| StartError::DataDir {
            path: path.to_owned(),
            source,
        };
        std::fs::create_dir_all(path).map_err(unusable)?;
        let lock = File::create(path.join("coordinator.lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StartError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }
}
