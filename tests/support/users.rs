//! The users and tokens of an installation, as `callsheet secrets` makes them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use shared::broker::rights::Role;
use tempfile::TempDir;

use crate::programs;

/// A folder of secrets, which goes with this value.
#[derive(Debug)]
pub struct Users {
    folder: TempDir,
}

impl Users {
    /// Has the command make them.
    ///
    /// # Errors
    /// If it fails, or shows a secret.
    pub fn make() -> Result<Self> {
        let users = Self {
            folder: tempfile::tempdir()?,
        };
        users.call(&[])?;
        Ok(users)
    }

    /// Has the command tell them where the broker is, as `HOST:PORT`.
    ///
    /// # Errors
    /// If it fails, or shows a secret.
    pub fn find_broker_at(&self, address: &str) -> Result<()> {
        self.call(&["--broker", address])
    }

    fn call(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new(programs::path("callsheet")?)
            .arg("secrets")
            .arg(self.folder.path())
            .args(arguments)
            .output()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{printed}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        ensure!(!printed.contains("amqp://"), "{printed}");
        Ok(())
    }

    /// One of the files in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What that file says.
    ///
    /// # Errors
    /// If there is none.
    pub fn secret(&self, name: &str) -> Result<String> {
        let text = std::fs::read_to_string(self.file(name)).with_context(|| name.to_owned())?;
        Ok(text.trim().to_owned())
    }

    /// What RabbitMQ is to load.
    pub fn definitions(&self) -> PathBuf {
        self.file("rabbitmq-definitions.json")
    }

    /// Where a role finds the broker, with user and password.
    ///
    /// # Errors
    /// If no program has that role.
    pub fn url(&self, role: Role) -> Result<String> {
        self.secret(&format!("broker-url-{role}"))
    }
}
