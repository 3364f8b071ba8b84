//! `callsheet workflows export`

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use video_worker::workflows::{Library, shipped_files};

use crate::error::CommandError;
use crate::term;

/// Write the two files of a workflow that comes with the program, to make one's own of them
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The workflow
    name: String,
    /// The folder to write to
    folder: PathBuf,
}

impl Export {
    /// Writes them; what is there already is left as it is.
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let Some((json, toml)) = shipped_files(&self.name) else {
            let library = Library::shipped();
            let names = library.all().map(|(workflow, _)| workflow.name().as_str());
            return Err(super::check::unknown(&self.name, names));
        };
        for (ending, text) in [("json", json), ("toml", toml)] {
            let path = self.folder.join(format!("{}.{ending}", self.name));
            write(&path, text).map_err(|source| {
                CommandError::Usage(format!("cannot write {}: {source}", path.display()))
            })?;
            term::say(&path.display().to_string());
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    File::create_new(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_known_from_there_and_nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let export = |name: &str| {
            Export {
                name: name.to_owned(),
                folder: folder.path().to_owned(),
            }
            .run()
        };
        export("smoke").unwrap();
        let library = Library::load(Some(folder.path())).unwrap();
        assert_eq!(
            library.get("smoke").unwrap().hash(),
            Library::shipped().get("smoke").unwrap().hash()
        );
        let again = export("smoke").unwrap_err();
        assert!(
            again.message().contains("smoke.json"),
            "{}",
            again.message()
        );
        let unknown = export("smok").unwrap_err();
        assert!(
            unknown
                .message()
                .contains("there is no workflow `smok`; there are sdxl-1.0, smoke"),
            "{}",
            unknown.message()
        );
        assert_eq!((again.code(), unknown.code()), (2, 2));
    }
}
