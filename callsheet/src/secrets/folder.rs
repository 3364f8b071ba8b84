//! The folder, and what is in it.
//!
//! The folder is for its owner alone, and the files in it for everyone: a container is shown single files, and reads them as
//! another user than the one who made them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use shared::broker::rights::Role;
use shared::settings::Secret;
use tempfile::NamedTempFile;
use url::Url;

use super::HostPort;
use super::definitions::{VIRTUAL_HOST, definitions};
use super::password;

/// Roles whose programs connect to the broker. A person types a password instead.
const PROGRAMS: [Role; 3] = [Role::Coordinator, Role::Worker, Role::Submitter];
/// The tokens of the HTTP API.
const TOKENS: [&str; 3] = ["token-submit", "token-operate", "token-worker"];
/// What RabbitMQ loads.
const DEFINITIONS: &str = "rabbitmq-definitions.json";

/// A folder of secrets.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// Why a folder of secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// It cannot be made or closed to others.
    #[error("the folder {path} cannot be used; choose one that this user owns")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file in it cannot be read or written.
    #[error("cannot read or write {path}; it must be this user's")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{path} does not hold {wanted}; mend it, or remove it to have a new one made")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is looked for.
        wanted: String,
    },
}

impl Folder {
    /// Makes the folder if it is not there, and closes it to others.
    pub(crate) fn open(path: &Path) -> Result<Self, FolderError> {
        let unusable = |source| FolderError::Folder {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(unusable)?;
        let path = path.to_owned();
        allow(&path, 0o700).map_err(|source| FolderError::Folder {
            path: path.clone(),
            source,
        })?;
        Ok(Self { path })
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes what is missing, and writes RabbitMQ's definitions anew. The names of what is new.
    pub(crate) fn fill(&self, broker: Option<&HostPort>) -> Result<Vec<String>, FolderError> {
        let mut new = Vec::new();
        let mut passwords = BTreeMap::new();
        for role in PROGRAMS {
            let name = format!("broker-url-{role}");
            let known = self.read(&name)?.map(|text| self.parse(&name, role, &text));
            let known = known.transpose()?;
            if known.is_none() {
                new.push(name.clone());
            }
            let login = known.unwrap_or_else(|| Login {
                password: password::draw(),
                at: HostPort::of_compose(),
            });
            let at = broker.unwrap_or(&login.at);
            let secret = login.password.expose();
            let (scheme, at) = (at.scheme(), at.authority());
            let url = format!("{scheme}://{role}:{secret}@{at}/{VIRTUAL_HOST}");
            self.write(&name, &url)?;
            passwords.insert(role, login.password);
        }
        let mut keep_or_draw = |name: &str| -> Result<Secret, FolderError> {
            if let Some(text) = self.read(name)? {
                return Ok(Secret::new(text));
            }
            let drawn = password::draw();
            self.write(name, drawn.expose())?;
            new.push(name.to_owned());
            Ok(drawn)
        };
        let administrator = keep_or_draw("broker-password-admin")?;
        for name in TOKENS {
            keep_or_draw(name)?;
        }
        passwords.insert(Role::Administrator, administrator);
        self.write(DEFINITIONS, &text(&definitions(&passwords)))?;
        new.push(DEFINITIONS.to_owned());
        Ok(new)
    }

    /// The password in a URL that was made before, and where the broker is.
    fn parse(&self, name: &str, role: Role, text: &str) -> Result<Login, FolderError> {
        let broken = || FolderError::Broken {
            path: self.file(name),
            wanted: format!("amqp://{role}:PASSWORD@HOST:PORT/{VIRTUAL_HOST}"),
        };
        let url = Url::parse(text).map_err(|_| broken())?;
        let at = url.host_str().zip(url.port());
        let prefix = if url.scheme() == "amqps" {
            "amqps://"
        } else {
            ""
        };
        let at = at.and_then(|(host, port)| format!("{prefix}{host}:{port}").parse().ok());
        match (url.username() == role.user(), url.password(), at) {
            // One that has to be escaped would have to be written so into the hash, too.
            (true, Some(password), Some(at)) if !password.is_empty() && !password.contains('%') => {
                Ok(Login {
                    password: Secret::new(password),
                    at,
                })
            }
            _ => Err(broken()),
        }
    }

    /// What a file says, if it is there.
    fn read(&self, name: &str) -> Result<Option<String>, FolderError> {
        match fs::read_to_string(self.file(name)) {
            Ok(text) if text.trim().is_empty() => Err(FolderError::Broken {
                path: self.file(name),
                wanted: "a secret".to_owned(),
            }),
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FolderError::File {
                path: self.file(name),
                source,
            }),
        }
    }

    /// Puts a file in place as a whole, or leaves it as it was.
    fn write(&self, name: &str, text: &str) -> Result<(), FolderError> {
        let put = || -> io::Result<()> {
            let mut file = NamedTempFile::new_in(&self.path)?;
            writeln!(file, "{text}")?;
            allow(file.path(), 0o644)?;
            file.persist(self.file(name))?;
            Ok(())
        };
        put().map_err(|source| FolderError::File {
            path: self.file(name),
            source,
        })
    }
}

/// A way into the broker.
#[derive(Debug)]
struct Login {
    password: Secret,
    at: HostPort,
}

fn text(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("definitions consist of strings, numbers and lists")
}

#[cfg(unix)]
fn allow(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Elsewhere files and folders are their owner's by other means.
#[cfg(not(unix))]
fn allow(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Folder) -> Vec<String> {
        let entries = fs::read_dir(&folder.path).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_there_is_kept_and_what_was_removed_is_made_anew() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(&temporary.path().join("secrets")).unwrap();
        let read = |name: &str| folder.read(name).unwrap().unwrap();
        assert_eq!(folder.fill(None).unwrap().len(), 8);
        let all = names(&folder);
        assert_eq!(all.len(), 8, "{all:?}");
        let (worker, token) = (read("broker-url-worker"), read("token-submit"));
        assert!(
            worker.starts_with("amqp://worker:") && worker.ends_with("@rabbitmq:5672/callsheet")
        );

        fs::remove_file(folder.file("token-submit")).unwrap();
        assert_eq!(folder.fill(None).unwrap(), ["token-submit", DEFINITIONS]);
        assert_eq!(read("broker-url-worker"), worker);
        assert_ne!(read("token-submit"), token);
        assert_eq!(names(&folder), all, "and nothing else is left there");
    }

    #[test]
    fn another_address_changes_no_password() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        let read = || folder.read("broker-url-worker").unwrap().unwrap();
        folder.fill(None).unwrap();
        let before = read();
        let elsewhere = "10.0.0.7:5673".parse().unwrap();
        folder.fill(Some(&elsewhere)).unwrap();
        assert_eq!(read(), before.replace("rabbitmq:5672", "10.0.0.7:5673"));
        // And it is remembered.
        folder.fill(None).unwrap();
        assert!(read().contains("@10.0.0.7:5673/"));
        let over_tls = "amqps://10.0.0.7:5671".parse().unwrap();
        folder.fill(Some(&over_tls)).unwrap();
        folder.fill(None).unwrap();
        assert!(
            read().starts_with("amqps://worker:") && read().contains("@10.0.0.7:5671/"),
            "TLS is remembered, too"
        );
    }

    #[test]
    fn a_file_that_holds_something_else_is_named_and_left_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        for (name, text) in [
            (
                "broker-url-worker",
                "amqp://coordinator:pa55@rabbitmq:5672/callsheet",
            ),
            ("broker-url-worker", "pa55"),
            ("token-worker", "\n"),
        ] {
            fs::write(folder.file(name), text).unwrap();
            let error = folder.fill(None).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("pa55"), "{error}");
            assert_eq!(fs::read_to_string(folder.file(name)).unwrap(), text);
            fs::remove_file(folder.file(name)).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_folder_is_its_owners_and_the_files_can_be_shown_to_a_container() {
        use std::os::unix::fs::PermissionsExt;

        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(&temporary.path().join("secrets")).unwrap();
        folder.fill(None).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.path), 0o700);
        for name in names(&folder) {
            assert_eq!(mode(&folder.file(&name)), 0o644, "{name}");
        }
    }
}
