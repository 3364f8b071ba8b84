//! The workers against real servers: a language model server, and ComfyUI.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Failure, Outcome, cargo, run};

/// What the server in the tests is made of.
const REQUIREMENTS: &str = "llm-worker/tests/llama-server/requirements.txt";
/// Where it is put.
const FOLDER: &str = "target/llama-server";

const USAGE: &str = "say what is tested: cargo xtask conformance llm [KIND URL MODEL [KEY-FILE]]
for example: cargo xtask conformance llm ollama http://127.0.0.1:11434 mistral-nemo
or: cargo xtask conformance comfyui URL
for example: cargo xtask conformance comfyui http://127.0.0.1:8188";

/// Runs the tests that need a real server.
pub(crate) fn conformance(arguments: &[OsString]) -> Outcome {
    let words: Option<Vec<&str>> = arguments.iter().map(|word| word.to_str()).collect();
    if let Some(["comfyui", url]) = words.as_deref() {
        let mut tests = cargo(
            "test --package video-worker --test comfyui real:: -- --ignored --nocapture --test-threads 1",
        );
        return run(tests.env("CALLSHEET_TEST_COMFYUI", url));
    }
    let mut tests = cargo(
        "test --package llm-worker --test providers real:: -- --ignored --nocapture --test-threads 1",
    );
    match words.as_deref() {
        Some(["llm"]) => tests.env("CALLSHEET_TEST_LLAMA_PYTHON", python()?),
        Some(["llm", kind, url, model]) => {
            tests.env("CALLSHEET_TEST_LLM", format!("{kind} {url} {model}"))
        }
        Some(["llm", kind, url, model, key]) => tests
            .env("CALLSHEET_TEST_LLM", format!("{kind} {url} {model}"))
            .env("CALLSHEET_TEST_LLM_KEY_FILE", key),
        _ => return Err(Failure::Said(USAGE.to_owned())),
    };
    run(&mut tests)
}

/// A Python with the server, in a folder of its own; made at the first call.
fn python() -> Result<PathBuf, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = root.join(FOLDER);
    let python = folder.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    // It says nothing and does nothing when all of it is there.
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(root.join(REQUIREMENTS)))?;
    Ok(python)
}
