//! Where the ledger is kept: one folder for all workers of a host, emptied by a restart of the machine.

use std::path::{Path, PathBuf};

/// The folder for this start of the machine. `runtime` is the folder for such files that the caller was told of, as
/// `/run/user/1000`; workers that share a card must be told of the same one. Never on a network file system.
pub fn default_place(runtime: Option<&Path>) -> PathBuf {
    let base = match runtime {
        Some(runtime) => runtime.join("callsheet"),
        None => {
            let shared = Path::new("/run/callsheet");
            match shared.is_dir() {
                true => shared.to_owned(),
                false => std::env::temp_dir().join("callsheet"),
            }
        }
    };
    // A folder that outlives the machine's restart would tell of jobs that no longer run.
    base.join(format!("gpu-{}", boot_id()))
}

#[cfg(target_os = "linux")]
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
}

/// Elsewhere no file names the start of the machine. The folder then stays; what is in it is reaped by its locks, and models
/// that were loaded before the machine was started go when they are read.
#[cfg(not(target_os = "linux"))]
fn boot_id() -> String {
    "host".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_of_one_start_of_the_machine_find_the_same_folder() {
        let runtime = Path::new("/run/user/1000");
        let place = default_place(Some(runtime));
        assert_eq!(place, default_place(Some(runtime)));
        assert!(place.starts_with("/run/user/1000/callsheet"));
    }
}
