//! The workers against real servers: a language model server, and ComfyUI.

use std::ffi::OsString;

use super::{Failure, Outcome, cargo, pypi, run};

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
    let mut tests =
        cargo("test --package llm-worker --test providers real:: -- --nocapture --test-threads 1");
    match words.as_deref() {
        Some(["llm"]) => tests.env("CALLSHEET_TEST_LLAMA_PYTHON", pypi::LLAMA.python()?),
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
