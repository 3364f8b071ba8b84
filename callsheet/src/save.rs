//! Writes a finished film and its manifest side by side, under names that were free.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use shared::ids::FilmId;
use tempfile::{NamedTempFile, PersistError};

use crate::client::{Client, ClientError};
use crate::names::{numbered, slug};

/// Names that are tried before giving up.
const NAMES_MAX: u32 = 10_000;

/// Where a film is to go, checked before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    folder: PathBuf,
    /// The file's name, if the film-maker chose one.
    name: Option<PathBuf>,
}

/// Why a film cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    /// What is written is an MP4 file.
    #[error("`{}` does not end in .mp4, and the film is an MP4 file; name it so", .0.display())]
    Extension(PathBuf),
    /// The folder cannot be written.
    #[error("cannot write into the folder `{}`; choose another place with --out", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The film cannot be had from the coordinator.
    #[error("cannot fetch the film")]
    Fetch(#[from] ClientError),
    /// The file cannot be written.
    #[error("cannot write `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Destination {
    /// Where `--out` points: a file ending in `.mp4`, a name without an ending, or a folder. Without it: the current folder.
    ///
    /// # Errors
    /// If it ends otherwise or its folder cannot be written.
    pub(crate) fn check(out: Option<&Path>) -> Result<Self, SaveError> {
        let destination = match out {
            None => Self {
                folder: PathBuf::from("."),
                name: None,
            },
            Some(folder) if folder.is_dir() => Self {
                folder: folder.to_owned(),
                name: None,
            },
            Some(file) => Self::file(file)?,
        };
        match tempfile::tempfile_in(&destination.folder) {
            Ok(_) => Ok(destination),
            Err(source) => Err(SaveError::Folder {
                folder: destination.folder,
                source,
            }),
        }
    }

    fn file(file: &Path) -> Result<Self, SaveError> {
        let name = match file.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("mp4") => {
                file.file_name().map(PathBuf::from)
            }
            Some(_) => None,
            None => file
                .file_name()
                .map(|name| Path::new(name).with_extension("mp4")),
        };
        let name = name.ok_or_else(|| SaveError::Extension(file.to_owned()))?;
        let folder = match file.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Self {
            folder,
            name: Some(name),
        })
    }

    /// Fetches film and manifest and puts them there; answers where the film is.
    ///
    /// # Errors
    /// If one cannot be fetched or written. Then neither is there.
    pub(crate) async fn save(
        &self,
        client: &Client,
        film: FilmId,
        title: &str,
    ) -> Result<PathBuf, SaveError> {
        let video = self.temporary()?;
        client.download(film, &mut writer(&video)?).await?;
        let manifest = self.temporary()?;
        client.manifest(film, &mut writer(&manifest)?).await?;
        let name = self
            .name
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("{}.mp4", slug(title))));
        self.place(&name, video, manifest)
    }

    /// Gives both files the first name that is free for both.
    fn place(
        &self,
        name: &Path,
        mut video: NamedTempFile,
        mut manifest: NamedTempFile,
    ) -> Result<PathBuf, SaveError> {
        for file in [&video, &manifest] {
            file.as_file()
                .sync_all()
                .map_err(|source| SaveError::File {
                    path: file.path().to_owned(),
                    source,
                })?;
        }
        for count in 1..=NAMES_MAX {
            let path = numbered(&self.folder.join(name), count);
            let beside = path.with_extension("json");
            let placed = match manifest.persist_noclobber(&beside) {
                Ok(file) => file,
                Err(error) => {
                    manifest = taken(error, &beside)?;
                    continue;
                }
            };
            match video.persist_noclobber(&path) {
                Ok(_) => return Ok(strip_dot(&path)),
                Err(error) => {
                    drop(placed);
                    let both =
                        taken(error, &path).and_then(|video| Ok((video, self.take_back(&beside)?)));
                    (video, manifest) = both.inspect_err(|_| {
                        // Why there is no film is worth more than why its manifest stays.
                        drop(std::fs::remove_file(&beside));
                    })?;
                }
            }
        }
        Err(SaveError::File {
            path: self.folder.join(name),
            source: io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{NAMES_MAX} files of that name are there"),
            ),
        })
    }

    /// Takes a file out of its place, for another one.
    fn take_back(&self, placed: &Path) -> Result<NamedTempFile, SaveError> {
        let file = self.temporary()?;
        match std::fs::rename(placed, file.path()) {
            Ok(()) => Ok(file),
            Err(source) => Err(SaveError::File {
                path: placed.to_owned(),
                source,
            }),
        }
    }

    fn temporary(&self) -> Result<NamedTempFile, SaveError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".callsheet-");
        readable(&mut builder);
        builder
            .tempfile_in(&self.folder)
            .map_err(|source| SaveError::Folder {
                folder: self.folder.clone(),
                source,
            })
    }
}

/// A temporary file is its owner's alone; a film is like any other file.
#[cfg(unix)]
fn readable(builder: &mut tempfile::Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(std::fs::Permissions::from_mode(0o666));
}

#[cfg(not(unix))]
fn readable(_: &mut tempfile::Builder<'_, '_>) {}

fn writer(file: &NamedTempFile) -> Result<tokio::fs::File, SaveError> {
    let reopened = file.reopen().map_err(|source| SaveError::File {
        path: file.path().to_owned(),
        source,
    })?;
    Ok(tokio::fs::File::from_std(reopened))
}

/// The file again, if only the name was taken.
fn taken(error: PersistError, path: &Path) -> Result<NamedTempFile, SaveError> {
    match error.error.kind() {
        io::ErrorKind::AlreadyExists => Ok(error.file),
        _ => Err(SaveError::File {
            path: path.to_owned(),
            source: error.error,
        }),
    }
}

/// `storm.mp4` instead of `./storm.mp4`.
fn strip_dot(path: &Path) -> PathBuf {
    match path.strip_prefix(".") {
        Ok(stripped) if stripped != OsStr::new("") => stripped.to_owned(),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn placed(folder: &Path, name: &str) -> PathBuf {
        let destination = Destination {
            folder: folder.to_owned(),
            name: None,
        };
        let file = |content: &[u8]| {
            let mut file = destination.temporary().unwrap();
            file.write_all(content).unwrap();
            file
        };
        destination
            .place(Path::new(name), file(b"film"), file(b"{}"))
            .unwrap()
    }

    #[test]
    fn nothing_that_is_there_is_overwritten_and_nothing_is_left_over() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("storm.mp4"), "mine").unwrap();
        std::fs::write(at("storm-2.json"), "mine too").unwrap();
        assert_eq!(placed(folder.path(), "storm.mp4"), at("storm-3.mp4"));
        assert_eq!(placed(folder.path(), "storm.mp4"), at("storm-4.mp4"));
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "storm-2.json",
                "storm-3.json",
                "storm-3.mp4",
                "storm-4.json",
                "storm-4.mp4",
                "storm.mp4"
            ]
        );
        let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
        assert_eq!(
            (read("storm.mp4"), read("storm-2.json")),
            ("mine".to_owned(), "mine too".to_owned())
        );
        assert_eq!(
            (read("storm-3.mp4"), read("storm-3.json")),
            ("film".to_owned(), "{}".to_owned())
        );
    }

    #[test]
    fn a_film_that_cannot_be_placed_leaves_no_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let destination = Destination {
            folder: folder.path().to_owned(),
            name: None,
        };
        let video = destination.temporary().unwrap();
        std::fs::remove_file(video.path()).unwrap();
        let manifest = destination.temporary().unwrap();
        let error = destination
            .place(Path::new("storm.mp4"), video, manifest)
            .unwrap_err();
        assert!(matches!(error, SaveError::File { .. }), "{error}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_place_that_cannot_be_is_seen_before_the_film_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let check = |path: &Path| Destination::check(Some(path));
        assert!(matches!(
            check(&at("storm.mkv")),
            Err(SaveError::Extension(_))
        ));
        assert!(matches!(
            check(&at("no/such/folder/storm.mp4")),
            Err(SaveError::Folder { .. })
        ));
        assert_eq!(
            check(&at("storm")).unwrap(),
            Destination {
                folder: folder.path().to_owned(),
                name: Some("storm.mp4".into()),
            }
        );
        assert_eq!(check(folder.path()).unwrap().name, None);
        assert_eq!(Destination::check(None).unwrap().folder, Path::new("."));
    }
}
