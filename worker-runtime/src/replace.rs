//! A file that takes the place of another, at once or not at all.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

/// How long Windows may refuse, and how long to wait before it is asked again.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

/// Puts the new file in place of the old one. On Windows whoever reads the old one, be it a virus scanner, can keep it from being
/// replaced for as long.
pub(crate) fn replace(old: &Path, new: &Path) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match fs::rename(new, old) {
            Err(error)
                if cfg!(windows)
                    && error.kind() == io::ErrorKind::PermissionDenied
                    && Instant::now() < until =>
            {
                thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}
