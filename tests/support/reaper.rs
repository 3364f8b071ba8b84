//! Ends what a test has started, however the test ends.

use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};

/// Kills processes, and removes a folder if it has one, as soon as we are gone, however we go: a value in a `static` is never dropped, and a
/// killed test runs no code at all.
#[derive(Debug)]
pub(crate) struct Reaper {
    shell: Child,
    input: Option<ChildStdin>,
}

impl Reaper {
    pub(crate) fn start(folder: Option<&Path>) -> Result<Self> {
        const SCRIPT: &str = r#"
            trap '' INT TERM HUP
            pids=
            while read -r line; do pids=$line; done
            [ -z "$pids" ] || kill -9 $pids
            [ -z "$1" ] || rm -rf "$1"
        "#;
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "reaper"])
            .arg(folder.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting a shell")?;
        let input = shell.stdin.take();
        Ok(Self { shell, input })
    }

    /// These processes are to be killed, and no others.
    pub(crate) fn watch(&mut self, pids: &[u32]) -> Result<()> {
        let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
        let input = self
            .input
            .as_mut()
            .context("the reaper was let go already")?;
        writeln!(input, "{}", pids.join(" ")).context("telling the reaper")
    }

    pub(crate) fn let_go(&mut self) {
        drop(self.input.take());
        let _ = self.shell.wait();
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.let_go();
    }
}
