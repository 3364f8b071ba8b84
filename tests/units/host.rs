//! A machine with systemd: a container whose first process is systemd, with an address of its own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use support::docker::docker;
use support::wait::try_until;

/// Longest wait for a machine to be up, RabbitMQ included.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
/// What systemd needs of its engine: to mount, and control groups that it may write. No more, as an engine may itself run in a
/// container that lacks the rest.
const LIKE_A_MACHINE: [&str; 15] = [
    "--cap-add=SYS_ADMIN",
    "--cap-add=NET_ADMIN",
    "--cap-add=SYS_PTRACE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--cgroupns=host",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--tmpfs=/run",
    "--tmpfs=/run/lock",
    "--memory=3g",
    "--pids-limit=4096",
    "--ulimit=nofile=8192",
    "--detach",
    "--stop-signal=SIGRTMIN+3",
    "--label=callsheet-units-test",
];

/// It goes with this value.
pub(crate) struct Host {
    container: String,
}

impl Host {
    /// Starts one with that name, and waits until all of it is up.
    pub(crate) async fn boot(image: &str, name: &str) -> Result<Self> {
        let host = Self {
            container: format!("callsheet-units-{}-{name}", std::process::id()),
        };
        let named = ["--hostname", name, "--name", &host.container, image];
        docker(&[&["run"], &LIKE_A_MACHINE[..], &named].concat())?;
        host.is_up().await?;
        Ok(host)
    }

    /// Starts it anew, as after a loss of power.
    pub(crate) async fn boot_again(&self) -> Result<()> {
        docker(&["kill", &self.container])?;
        docker(&["start", &self.container])?;
        self.is_up().await
    }

    async fn is_up(&self) -> Result<()> {
        try_until("the machine to be up", BOOT_LIMIT, async || {
            // It fails for as long as something is missing.
            match self.run("systemctl is-system-running") {
                Ok(_) => Ok(()),
                Err(_) => bail!(
                    "{}",
                    self.run("systemctl is-system-running; systemctl --no-pager --failed; true")?
                ),
            }
        })
        .await
    }

    /// The address under which other hosts find it.
    pub(crate) fn address(&self) -> Result<String> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = docker(&["inspect", "--format", format, &self.container])?;
        ensure!(!address.trim().is_empty(), "it has no address");
        Ok(address.trim().to_owned())
    }

    /// What root's shell prints, in the folder of the sources.
    pub(crate) fn run(&self, script: &str) -> Result<String> {
        // There is no sudo: root does all.
        let script = format!("sudo() {{ env \"$@\"; }}\n{script}");
        let shell = ["sh", "-e", "-c", &script];
        docker(&[&["exec", "--workdir", "/root", &self.container], &shell[..]].concat())
    }

    /// Copies a file, or a folder with all that is in it, to a path there.
    pub(crate) fn put(&self, from: &Path, to: &str) -> Result<()> {
        let from = from.to_str().context("a path of plain text")?;
        let parent = Path::new(to).parent().context("a folder above")?;
        self.run(&format!("mkdir -p {}", parent.display()))?;
        let to = format!("{}:{to}", self.container);
        docker(&["cp", from, &to]).map(drop)
    }

    /// Writes a text into a file there.
    pub(crate) fn write(&self, text: &str, to: &str) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        self.put(file.path(), to)?;
        self.run(&format!("chown root:root {to} && chmod 644 {to}"))
            .map(drop)
    }

    /// All that was logged.
    pub(crate) fn journal(&self) -> Result<String> {
        self.run("journalctl --no-pager --output cat")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(docker(&["rm", "--force", "--volumes", &self.container]));
    }
}
