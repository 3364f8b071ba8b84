//! A real S3 server of the tests' own: moto's, from PyPI.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shared::settings::{ArtifactSettings, Secret};

use crate::http::client;
use crate::ports;
use crate::programs::target;
use crate::reaper::Reaper;
use crate::wait::until;

/// A Python that has what `tests/s3-server/requirements.txt` names.
const PYTHON: &str = "CALLSHEET_TEST_MOTO_PYTHON";

/// A running S3 server. It ends with this value, and also when this process is killed.
#[derive(Debug)]
pub struct Moto {
    server: Child,
    url: String,
    reaper: Reaper,
}

/// The Python that has the server.
fn python() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(PYTHON) {
        return Ok(PathBuf::from(named));
    }
    let place = if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    };
    let usual = target().join("s3-server").join(place);
    ensure!(
        usual.exists(),
        "moto's S3 server is not installed for the tests: run `cargo xtask test` once, which does that"
    );
    Ok(usual)
}

impl Moto {
    /// Starts a server.
    ///
    /// # Errors
    /// If it is not installed.
    pub async fn start() -> Result<Self> {
        let port = ports::free()?;
        let mut reaper = Reaper::start(None)?;
        let server = Command::new(python()?)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p"])
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting moto's server")?;
        reaper.watch(&[server.id()])?;
        let moto = Self {
            server,
            url: format!("http://127.0.0.1:{port}"),
            reaper,
        };
        until("the S3 server", Duration::from_secs(60), async || {
            client().get(&moto.url).send().await
        })
        .await;
        Ok(moto)
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// If the server does not.
    pub async fn make(&self, bucket: &str) -> Result<()> {
        let made = client().put(self.url_of(bucket)).send().await?;
        made.error_for_status()?;
        Ok(())
    }

    /// Where anybody may read and write the objects of a bucket.
    pub fn url_of(&self, bucket: &str) -> String {
        format!("{}/{bucket}", self.url)
    }

    /// Where the service is.
    pub fn endpoint(&self) -> &str {
        &self.url
    }

    /// Settings of a store in that bucket, as `films` or `films/prefix`.
    pub fn settings(&self, bucket: &str) -> ArtifactSettings {
        ArtifactSettings {
            endpoint: Some(self.url.clone()),
            access_key_id: Some(Secret::new("AKIATESTSUITE")),
            secret_access_key: Some(Secret::new("a secret of the test suite")),
            ..ArtifactSettings::at(&format!("s3://{bucket}"))
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.reaper.let_go();
        let _ = self.server.wait();
    }
}
