//! Stands in for a program in tests.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A program of a few lines of shell, in a folder that goes with it.
#[derive(Debug)]
pub(crate) struct Script {
    folder: TempDir,
}

impl Script {
    /// Written by another process: one that this process had open for writing could not be run while any other child is
    /// just being started.
    pub(crate) fn new(text: &str) -> Self {
        let script = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod 755 "$2""#;
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", write, "sh", text]).arg(script.path());
        assert!(shell.status().unwrap().success());
        script
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("program")
    }
}
