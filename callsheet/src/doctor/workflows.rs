//! The workflows of one's own.

use std::path::Path;

use shared::failure::chain;
use video_worker::workflows::{Library, LibraryError, Origin};

use super::{Check, Verdict};

/// Looks whether the folder of the settings holds workflows that can be read.
pub(crate) fn workflows(folder: Option<&Path>, loaded: &Result<Library, LibraryError>) -> Check {
    let library = match loaded {
        Ok(library) => library,
        Err(error) => return Check::new("workflows", Verdict::Bad, chain(error)),
    };
    let own = library
        .all()
        .filter(|(_, origin)| **origin != Origin::Shipped)
        .count();
    let shipped = library.all().count() - own;
    let told = match folder {
        None => format!("{shipped} that come with callsheet"),
        Some(folder) => format!(
            "{shipped} that come with callsheet, {own} in {}",
            folder.display()
        ),
    };
    match library.broken() {
        [] => Check::new("workflows", Verdict::Well, told),
        broken => {
            let reasons = broken.iter().map(ToString::to_string).collect();
            let told = format!("{told}; {} cannot be read", broken.len());
            Check::new("workflows", Verdict::Bad, told).with(reasons)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_make_no_workflow_are_told_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine.toml"), "kind = 3").unwrap();
        let check = workflows(Some(folder.path()), &Library::load(Some(folder.path())));
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.told.ends_with("; 1 cannot be read"), "{}", check.told);
        assert!(
            check.more[0].contains("mine.json is missing"),
            "{:?}",
            check.more
        );
        let none = folder.path().join("none");
        let check = workflows(Some(&none), &Library::load(Some(&none)));
        assert!(check.told.contains("comfyui.workflows"), "{}", check.told);
    }
}
