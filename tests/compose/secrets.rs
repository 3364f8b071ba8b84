//! The secrets of the installation, made as its owner makes them: by the image.

use std::fs;
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// Our own user or group.
fn id(which: &str) -> Result<String> {
    let output = Command::new("id")
        .arg(which)
        .output()
        .context("running id")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn new_folder() -> Result<TempDir> {
    let mut folder = tempfile::Builder::new();
    Ok(folder.prefix("callsheet-secrets-").tempdir()?)
}

/// A folder of secrets that goes with this value.
pub(crate) struct Secrets {
    folder: TempDir,
}

impl Secrets {
    /// By that image, for a broker that programs find there, or where the compose file has it.
    pub(crate) fn make(image: &str, broker: Option<&str>) -> Result<Self> {
        let folder = new_folder()?;
        let user = format!("{}:{}", id("-u")?, id("-g")?);
        let output = Command::new("docker")
            .args(["run", "--rm", "--user", &user, "--volume"])
            .arg(format!("{}:/secrets", folder.path().display()))
            .args([image, "callsheet", "secrets", "/secrets"])
            .args(
                broker
                    .map(|broker| ["--broker", broker])
                    .into_iter()
                    .flatten(),
            )
            .output()
            .context("running docker")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "the image makes no secrets: {complaint}"
        );
        Ok(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn token(&self, name: &str) -> Result<String> {
        let text = fs::read_to_string(self.folder.path().join(name))?;
        Ok(text.trim().to_owned())
    }

    /// Where the submitter finds the broker from outside.
    pub(crate) fn submitter_url(&self, broker: SocketAddrV4) -> Result<String> {
        let url = self.token("broker-url-submitter")?;
        Ok(url.replace("rabbitmq:5672", &broker.to_string()))
    }

    /// What of them is given to a further host.
    pub(crate) fn for_a_further_host(&self) -> Result<Self> {
        let folder = new_folder()?;
        for name in ["broker-url-worker", "token-worker"] {
            fs::copy(self.folder.path().join(name), folder.path().join(name))?;
        }
        Ok(Self { folder })
    }

    /// The names of the files whose secret stands in a text.
    pub(crate) fn shown_in(&self, text: &str) -> Result<Vec<String>> {
        let mut shown = Vec::new();
        for entry in fs::read_dir(self.folder.path())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let value = self.token(&name)?;
            let password = value.split(['/', ':', '@']).max_by_key(|part| part.len());
            if name != "rabbitmq-definitions.json" && password.is_some_and(|it| text.contains(it)) {
                shown.push(name);
            }
        }
        Ok(shown)
    }
}
