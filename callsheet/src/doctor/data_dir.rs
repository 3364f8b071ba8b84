//! The folder of everything that is kept.

use std::path::Path;

use super::{Check, Verdict};

/// Looks whether something can be written into that folder, which that key names. One that is not there yet is not made; the one above
/// it counts.
pub(crate) fn data_dir(folder: &Path, key: &str) -> Check {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let existing = absolute
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(&absolute);
    let shown = absolute.display();
    match tempfile::Builder::new()
        .prefix(".callsheet-doctor-")
        .tempfile_in(existing)
    {
        Ok(_) if existing == absolute => {
            Check::new("data folder", Verdict::Well, shown.to_string())
        }
        Ok(_) => Check::new(
            "data folder",
            Verdict::Well,
            format!("{shown} (not there yet; it can be made)"),
        ),
        Err(error) => {
            let told = format!(
                "cannot write into {}: {error}; let this user write there, or name another one ({key})",
                existing.display()
            );
            Check::new("data folder", Verdict::Bad, told)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_tried_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let there = data_dir(folder.path(), "coordinator.data_dir");
        assert_eq!(there.verdict, Verdict::Well);
        let missing = folder.path().join("a/b");
        let to_be_made = data_dir(&missing, "coordinator.data_dir");
        assert_eq!(to_be_made.verdict, Verdict::Well);
        assert!(
            to_be_made.told.ends_with("(not there yet; it can be made)"),
            "{}",
            to_be_made.told
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_its_place_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let check = data_dir(&file.join("data"), "worker.data_dir");
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.told.contains("(worker.data_dir)"), "{}", check.told);
    }
}
