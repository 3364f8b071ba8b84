//! How long a newcomer waits for the first film: the README cites the figure.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::{Failure, Outcome, cargo, run};

/// Makes a film with the demo command in a fresh clone, and tells how long it took. Crates that cargo has downloaded before
/// are not downloaded again.
pub(crate) fn cold_build(mut arguments: Vec<OsString>) -> Outcome {
    if arguments.is_empty() {
        arguments.push("A lighthouse keeper befriends a storm".into());
    }
    let clone = Clone::of(Path::new("."))?;
    let begun = Instant::now();
    run(cargo("xtask demo")
        .args(arguments)
        .current_dir(&clone.folder)
        // Wherever this build goes, that one begins with nothing.
        .env("CARGO_TARGET_DIR", clone.folder.join("target")))?;
    let whole = begun.elapsed();
    let film = since_built(&clone.folder)?;
    println!(
        "cold build: {:.0} s from start to film, of them {:.0} s for the film",
        whole.as_secs_f64(),
        film.as_secs_f64()
    );
    Ok(())
}

/// The film begins as soon as the program is linked.
fn since_built(folder: &Path) -> Result<Duration, Failure> {
    let name = format!("callsheet{}", std::env::consts::EXE_SUFFIX);
    let program = folder.join("target/release").join(name);
    let built = program.metadata().and_then(|found| found.modified());
    let built = built.map_err(|error| Failure::Said(format!("{}: {error}", program.display())))?;
    Ok(SystemTime::now().duration_since(built).unwrap_or_default())
}

/// A clone of a repository in a temporary folder, which goes with this value.
struct Clone {
    folder: PathBuf,
}

impl Clone {
    fn of(repository: &Path) -> Result<Self, Failure> {
        let name = format!("callsheet-cold-build-{}", std::process::id());
        let clone = Self {
            folder: std::env::temp_dir().join(name),
        };
        let mut git = std::process::Command::new("git");
        run(git
            .args(["clone", "--quiet", "--no-hardlinks"])
            .args([repository, &clone.folder]))?;
        Ok(clone)
    }
}

impl Drop for Clone {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_has_what_was_committed_and_goes_with_its_value() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let Ok(clone) = Clone::of(&repository) else {
            panic!("git clone failed");
        };
        let folder = clone.folder.clone();
        assert!(folder.join("README.md").exists());
        assert!(!folder.join("target").exists(), "nothing is built");
        drop(clone);
        assert!(!folder.exists());
    }
}
