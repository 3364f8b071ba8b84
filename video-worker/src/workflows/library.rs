//! The workflows that a worker knows: those that come with the program, and those of a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{LibraryError, WorkflowError};
use super::shipped::SHIPPED;
use super::workflow::{Workflow, WorkflowHash};

/// The workflows by name.
#[derive(Debug, Clone, Default)]
pub struct Library {
    known: BTreeMap<String, Known>,
    broken: Vec<WorkflowError>,
}

#[derive(Debug, Clone)]
struct Known {
    workflow: Arc<Workflow>,
    origin: Origin,
}

/// Where a workflow comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It comes with the program.
    Shipped,
    /// It was found in this folder.
    Folder(PathBuf),
}

impl Library {
    /// Those that come with the program.
    ///
    /// # Panics
    /// Never: a test reads each of them.
    pub fn shipped() -> Self {
        let mut library = Self::default();
        for (name, json, toml) in SHIPPED {
            let workflow = Workflow::parse(name, json, toml).expect("a test reads each of them");
            library.add(workflow, Origin::Shipped);
        }
        library
    }

    /// Those that come with the program, and over them those of a folder: one of the same name takes the place of a shipped
    /// one. Files that make no workflow are in [`Library::broken`] and keep nothing else from being known.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn load(folder: Option<&Path>) -> Result<Self, LibraryError> {
        let mut library = Self::shipped();
        let Some(folder) = folder else {
            return Ok(library);
        };
        let unreadable = |source| LibraryError::Folder {
            folder: folder.to_owned(),
            source,
        };
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let is_half = path
                .extension()
                .is_some_and(|ending| ending == "json" || ending == "toml");
            if let (true, Some(name)) = (is_half, path.file_stem()) {
                names.insert(name.to_string_lossy().into_owned());
            }
        }
        for name in names {
            match read(folder, &name) {
                Ok(workflow) => library.add(workflow, Origin::Folder(folder.to_owned())),
                Err(error) => {
                    // Its name is not given to the shipped one, which is not what the user wants to run.
                    library.known.remove(&name);
                    library.broken.push(error);
                }
            }
        }
        Ok(library)
    }

    fn add(&mut self, workflow: Workflow, origin: Origin) {
        let name = workflow.name().as_str().to_owned();
        let workflow = Arc::new(workflow);
        self.known.insert(name, Known { workflow, origin });
    }

    /// All of them, by name, and where they come from.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<Workflow>, &Origin)> {
        self.known
            .values()
            .map(|known| (&known.workflow, &known.origin))
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Workflow>> {
        self.known.get(name).map(|known| &known.workflow)
    }

    /// The one that is known by that hash. A graph that is not known by one is never sent.
    pub fn by_hash(&self, hash: &WorkflowHash) -> Option<&Arc<Workflow>> {
        self.all()
            .map(|(workflow, _)| workflow)
            .find(|workflow| workflow.hash() == hash)
    }

    /// Files of the folder that make no workflow, and why.
    pub fn broken(&self) -> &[WorkflowError] {
        &self.broken
    }
}

/// The files of a shipped workflow, to begin one's own with: graph and manifest.
pub fn shipped_files(name: &str) -> Option<(&'static str, &'static str)> {
    let found = SHIPPED.iter().find(|(shipped, _, _)| *shipped == name);
    found.map(|(_, json, toml)| (*json, *toml))
}

fn read(folder: &Path, name: &str) -> Result<Workflow, WorkflowError> {
    let text = |ending: &str| {
        let path = folder.join(format!("{name}.{ending}"));
        let file = path.display().to_string();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(WorkflowError::Missing { file })
            }
            Err(error) => Err(WorkflowError::Read {
                file,
                reason: error.to_string(),
            }),
        }
    };
    Workflow::parse(name, &text("json")?, &text("toml")?)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn broken(library: &Library) -> Vec<String> {
        library.broken().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn two_files_in_a_folder_are_a_workflow_and_one_of_a_shipped_name_takes_its_place() {
        let (json, toml) = shipped_files("smoke").unwrap();
        let mine = toml.replace("A picture slides past", "Mine");
        let files = [
            ("mine.json", json),
            ("mine.toml", &mine),
            ("smoke.json", json),
            ("smoke.toml", &mine),
            ("notes.txt", "x"),
        ];
        let folder = folder(&files);
        let library = Library::load(Some(folder.path())).unwrap();
        assert_eq!(broken(&library), [""; 0]);
        assert_eq!(library.all().count(), SHIPPED.len() + 1);
        let origin = |name: &str| {
            library
                .all()
                .find(|(workflow, _)| workflow.name().as_str() == name)
                .unwrap()
                .1
                .clone()
        };
        assert_eq!(origin("mine"), Origin::Folder(folder.path().to_owned()));
        assert_eq!(origin("smoke"), Origin::Folder(folder.path().to_owned()));
        assert_eq!(origin("sdxl-1.0"), Origin::Shipped);
        assert!(
            library
                .get("smoke")
                .unwrap()
                .manifest()
                .title
                .starts_with("Mine")
        );
    }

    #[test]
    fn what_cannot_be_read_keeps_nothing_else_from_being_known() {
        let (json, toml) = shipped_files("smoke").unwrap();
        let files = [
            ("half.toml", toml),
            ("good.json", json),
            ("good.toml", toml),
            ("Bad Name.json", json),
            ("Bad Name.toml", toml),
            ("smoke.json", "{"),
            ("smoke.toml", toml),
        ];
        let folder = folder(&files);
        let library = Library::load(Some(folder.path())).unwrap();
        let broken = broken(&library);
        assert_eq!(broken.len(), 3, "{broken:?}");
        assert!(
            broken[0].contains("`Bad Name` cannot name a workflow"),
            "{broken:?}"
        );
        assert!(broken[1].contains("half.json is missing"), "{broken:?}");
        assert!(broken[2].starts_with("smoke.json: EOF"), "{broken:?}");
        assert!(library.get("good").is_some());
        assert!(
            library.get("smoke").is_none(),
            "the shipped one is not what was meant"
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_with_its_setting() {
        let error = Library::load(Some(Path::new("/no/such/folder"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read the folder of workflows /no/such/folder (comfyui.workflows)"
        );
    }
}
