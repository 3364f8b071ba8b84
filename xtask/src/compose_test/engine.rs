//! Docker's engine, by its command.

use std::process::Command;

use crate::{Failure, Outcome, platform, run};

/// Whether there is one.
pub(crate) fn answers() -> bool {
    platform::runs("docker", &["info"])
}

/// The command that reads compose files, if there is one and an engine answers.
pub(crate) fn compose() -> Option<&'static str> {
    if !answers() {
        return None;
    }
    if platform::runs("docker", &["compose", "version"]) {
        return Some("docker compose");
    }
    platform::runs("docker-compose", &["version"]).then_some("docker-compose")
}

/// Whether the engine has an image.
pub(super) fn has(image: &str) -> bool {
    platform::runs("docker", &["image", "inspect", image])
}

/// Builds an image.
pub(crate) fn build(arguments: &[&str]) -> Outcome {
    let mut build = Command::new("docker");
    // In the network of this machine, as its package mirrors may be reached in no other.
    run(build
        .args(["build", "--quiet", "--network", "host"])
        .args(arguments))
}

/// The size of an image in bytes.
pub(super) fn size(image: &str) -> Result<f64, Failure> {
    let inspected = Command::new("docker")
        .args(["image", "inspect", "--format", "{{.Size}}", image])
        .output();
    let text = inspected.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let size = text.ok().and_then(|text| text.parse().ok());
    size.ok_or_else(|| Failure::Said(format!("the engine does not tell the size of {image}")))
}
