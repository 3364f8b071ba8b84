//! The command of Docker's engine.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

/// What `docker` prints with these arguments.
///
/// # Errors
/// If it fails; with what it complained of.
pub fn docker(arguments: &[&str]) -> Result<String> {
    printed(Command::new("docker").args(arguments))
}

/// What a command prints.
///
/// # Errors
/// If it fails; with what it printed and complained of.
pub fn printed(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .with_context(|| format!("running {command:?}"))?;
    let printed = String::from_utf8_lossy(&stdout).into_owned();
    let complaint = String::from_utf8_lossy(&stderr);
    ensure!(status.success(), "{command:?} failed: {printed}{complaint}");
    Ok(printed)
}
