//! Room on the disks.

use std::path::{Path, PathBuf};

use shared::byte_size::ByteSize;

use super::{Check, Verdict};

/// With less, nothing can be counted on: the database, the journal and a film in the making need some.
const LEAST: ByteSize = ByteSize::mib(256);
/// With less, it is time to think of it.
const SOON: ByteSize = ByteSize::gib(5);

/// Looks how much room is left in those folders. One that is not there yet counts as the one above it.
pub(crate) fn disk(folders: &[PathBuf]) -> Check {
    let rooms: Vec<(String, ByteSize)> = folders
        .iter()
        .filter_map(|folder| Some((folder.display().to_string(), room(folder)?)))
        .collect();
    let Some((folder, least)) = rooms.iter().min_by_key(|(_, room)| *room) else {
        return Check::new("disk", Verdict::Note, "how much room is left is not known");
    };
    let all = rooms
        .iter()
        .map(|(folder, room)| format!("{room} free for {folder}"))
        .collect();
    if *least < LEAST {
        let told = format!(
            "only {least} are free for {folder}; make room, or name a folder elsewhere (data_dir, artifacts.url)"
        );
        return Check::new("disk", Verdict::Bad, told).with(all);
    }
    match *least < SOON {
        true => {
            let told =
                format!("{least} are free for {folder}, which films of some length will fill");
            Check::new("disk", Verdict::Note, told)
        }
        false => Check::new(
            "disk",
            Verdict::Well,
            format!("{least} are free for {folder}"),
        ),
    }
}

#[cfg(unix)]
fn room(folder: &Path) -> Option<ByteSize> {
    let absolute = std::path::absolute(folder).ok()?;
    let existing = absolute.ancestors().find(|path| path.exists())?;
    let system = rustix::fs::statvfs(existing).ok()?;
    Some(ByteSize::bytes(
        system.f_bavail.saturating_mul(system.f_frsize),
    ))
}

#[cfg(not(unix))]
fn room(_folder: &Path) -> Option<ByteSize> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_disk_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let check = disk(&[folder.path().join("not/there/yet")]);
        assert!(check.told.contains("free for"), "{}", check.told);
        assert_eq!(disk(&[]).verdict, Verdict::Note);
        // No disk, and never any room.
        let full = disk(&[folder.path().to_owned(), PathBuf::from("/proc/self")]);
        assert_eq!(full.verdict, Verdict::Bad);
        assert!(full.told.contains("/proc/self"), "{}", full.told);
    }
}
