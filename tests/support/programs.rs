//! The programs of the project as processes of a test's own.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};

use crate::place::Place;
use crate::reaper::Reaper;

/// A program that was started, and can be killed and started again. It is killed when this value goes.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    path: PathBuf,
    place: Place,
    arguments: Vec<OsString>,
    /// Variables that it finds in its environment beside ours.
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
    reaper: Reaper,
}

/// Where the programs of this build are: beside the folder of the test binaries.
fn folder() -> PathBuf {
    let me = std::env::current_exe().expect("a running program has a path");
    let folder = me.parent().expect("it lies in a folder");
    match folder.file_name() == Some(OsStr::new("deps")) {
        true => folder
            .parent()
            .expect("deps lies in the folder of the profile")
            .to_owned(),
        false => folder.to_owned(),
    }
}

/// The folder of all that is built and installed for the tests: above that of the profile.
pub(crate) fn target() -> PathBuf {
    let folder = folder();
    folder.parent().unwrap_or(&folder).to_owned()
}

/// The path of one of the project's programs.
///
/// # Errors
/// If it was not built.
pub fn path(name: &str) -> Result<PathBuf> {
    let path = folder().join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    ensure!(
        path.exists(),
        "{} is not built: `cargo xtask test` builds the programs first",
        path.display()
    );
    Ok(path)
}

impl Program {
    /// Starts a program; what it prints goes to a file in `logs`.
    ///
    /// # Errors
    /// If it was not built or does not start.
    pub fn start<I, S>(name: &'static str, label: &str, arguments: I, logs: &Path) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        Self::start_in([], name, label, arguments, logs)
    }

    /// Starts a program with these variables in its environment, too.
    ///
    /// # Errors
    /// If it was not built or does not start.
    pub fn start_in<I, S>(
        environment: impl IntoIterator<Item = (String, String)>,
        name: &'static str,
        label: &str,
        arguments: I,
        logs: &Path,
    ) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        let environment = environment.into_iter().collect();
        let program = (name, path(name)?);
        Self::launch(Place::here(), environment, program, label, arguments, logs)
    }

    /// Starts a program on a host; what it prints goes to a file in `logs` here.
    ///
    /// # Errors
    /// If it was not built or does not start.
    pub fn start_at<I, S>(
        place: Place,
        name: &'static str,
        label: &str,
        arguments: I,
        logs: &Path,
    ) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        let program = (name, path(name)?);
        Self::launch(place, Vec::new(), program, label, arguments, logs)
    }

    /// Starts a program that is installed, and none of ours; what it prints goes to a file in `logs`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_installed<I, S>(name: &'static str, arguments: I, logs: &Path) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        let program = (name, name.into());
        Self::launch(Place::here(), Vec::new(), program, name, arguments, logs)
    }

    /// Starts a program on a disk of its own, of `mebibytes`, that is mounted at `folder` for it and nobody else (Linux).
    /// Its files are at [`Program::inside`].
    ///
    /// # Errors
    /// If it was not built or does not start.
    pub fn start_on_a_small_disk<I, S>(
        (folder, mebibytes): (&Path, u32),
        name: &'static str,
        arguments: I,
        logs: &Path,
    ) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        const MOUNT_AND_GO: &str =
            r#"mount -t tmpfs -o "size=$1m" tmpfs "$2" && shift 2 && exec "$@""#;
        let words = ["unshare", "--map-root-user", "--mount", "sh", "-c"];
        let mut launcher: Vec<OsString> = words.into_iter().map(Into::into).collect();
        launcher.extend([MOUNT_AND_GO.into(), "sh".into()]);
        launcher.extend([mebibytes.to_string().into(), folder.into()]);
        let place = Place::at(Ipv4Addr::LOCALHOST, launcher);
        let program = (name, path(name)?);
        Self::launch(place, Vec::new(), program, name, arguments, logs)
    }

    fn launch<I, S>(
        place: Place,
        environment: Vec<(String, String)>,
        (name, path): (&'static str, PathBuf),
        label: &str,
        arguments: I,
        logs: &Path,
    ) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        let arguments = arguments.into_iter().map(Into::into).collect();
        let log = logs.join(format!("{label}.log"));
        let mut program = Self {
            name,
            path,
            place,
            arguments,
            environment,
            log,
            child: None,
            reaper: Reaper::start(None)?,
        };
        program.start_again()?;
        Ok(program)
    }

    /// Starts it again with the same arguments.
    ///
    /// # Errors
    /// If it runs, or does not start.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = self
            .place
            .command(&self.path)
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", self.name))?;
        self.reaper.watch(&[child.id()])?;
        self.child = Some(child);
        Ok(())
    }

    /// A path as this program sees it, for us who do not see its disk.
    ///
    /// # Errors
    /// If it does not run.
    pub fn inside(&self, path: &Path) -> Result<PathBuf> {
        let id = self.id().context("it does not run")?;
        let root = PathBuf::from(format!("/proc/{id}/root"));
        Ok(root.join(path.strip_prefix("/")?))
    }

    /// Its process id, if it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
            // The number may soon be another process's.
            self.reaper.watch(&[])?;
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// If it cannot be told or waited for.
    pub async fn end(&mut self) -> Result<ExitStatus> {
        let mut child = self
            .child
            .take()
            .with_context(|| format!("{} does not run", self.name))?;
        let told = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()?;
        ensure!(told.success(), "{} could not be told to end", self.name);
        let status = tokio::task::spawn_blocking(move || child.wait()).await??;
        self.reaper.watch(&[])?;
        Ok(status)
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self
            .child
            .as_mut()
            .map(Child::try_wait)
            .transpose()?
            .flatten())
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

#[expect(
    clippy::print_stderr,
    reason = "what a program said is part of a failed test"
)]
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.kill();
        if std::thread::panicking() {
            let printed = self.printed();
            let tail = printed.lines().rev().take(15).collect::<Vec<_>>();
            for line in tail.iter().rev() {
                eprintln!("{}: {line}", self.name);
            }
        }
    }
}
