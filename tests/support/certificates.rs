//! Certificates by authorities of a test's own, made as docs/operations.md says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// What both sorts of certificate have: a new key, and no password on it.
const NEW_KEY: [&str; 7] = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
];

/// An authority that nobody knows who was not told of it.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    name: String,
}

/// A server's certificate and its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Its file.
    pub file: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one, in that folder.
    ///
    /// # Errors
    /// If `openssl` is not there or does not do it.
    pub fn make(folder: &Path, name: &str) -> Result<Self> {
        let authority = Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
        };
        let subject = format!("/CN={name}");
        let [file, key] = [&authority.file(), &authority.at("key")].map(|path| shown(path));
        let words = [
            "-days", "3650", "-subj", &subject, "-keyout", &key, "-out", &file,
        ];
        openssl(&[&NEW_KEY[..], &words].concat())?;
        Ok(authority)
    }

    /// The file with its certificate: what a client must know of it.
    pub fn file(&self) -> PathBuf {
        self.at("pem")
    }

    /// A certificate for a server that goes by these names, as in `DNS:studio,IP:127.0.0.1`. One of that label is made anew.
    ///
    /// # Errors
    /// If `openssl` does not do it.
    pub fn certify(&self, label: &str, names: &str) -> Result<Certificate> {
        let made = Certificate {
            file: self.folder.join(format!("{label}.pem")),
            key: self.folder.join(format!("{label}.key")),
        };
        let [ca, ca_key] = [&self.file(), &self.at("key")].map(|path| shown(path));
        let [file, key] = [&made.file, &made.key].map(|path| shown(path));
        let subject = format!("/CN={label}");
        let names = format!("subjectAltName={names}");
        let by = [
            "-CA", &ca, "-CAkey", &ca_key, "-days", "825", "-subj", &subject,
        ];
        let of = [
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            &names,
        ];
        let to = ["-keyout", &key, "-out", &file];
        openssl(&[&NEW_KEY[..], &by, &of, &to].concat())?;
        Ok(made)
    }

    fn at(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn openssl(words: &[&str]) -> Result<()> {
    let output = Command::new("openssl")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .context("starting openssl: run `cargo xtask test`, which installs it, or `apt-get install openssl`")?;
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl {words:?}: {complained}");
    Ok(())
}
