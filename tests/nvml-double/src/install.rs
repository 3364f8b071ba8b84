//! Puts the double somewhere and writes what it shall say. For tests and simulated backends.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::state::State;

/// Names the file with the state, where the double shall not look beside itself.
pub const STATE_VARIABLE: &str = "NVML_DOUBLE_STATE";

/// A copy of the double in a folder of its own, with its state beside it.
///
/// A copy, because a library that is loaded twice from one file is one library, and tests of one process want several.
#[derive(Debug, Clone)]
pub struct Double {
    library: PathBuf,
    state: PathBuf,
}

impl Double {
    /// Puts a copy into `folder`, and `state` beside it.
    ///
    /// # Errors
    /// If the double was not built, or cannot be copied.
    pub fn install(folder: &Path, state: &State) -> io::Result<Self> {
        Self::install_without(&[], folder, state)
    }

    /// The same, of a library that lacks these symbols, as that of an older driver does.
    ///
    /// # Errors
    /// If the double was not built or has no such symbols, or cannot be copied.
    pub fn install_without(absent: &[&str], folder: &Path, state: &State) -> io::Result<Self> {
        let mut image = fs::read(built()?)?;
        for symbol in absent {
            spoil(&mut image, symbol)?;
        }
        // The names that are asked for where nothing else is said, so that the folder can also stand first in the path.
        let name = match cfg!(windows) {
            true => "nvml.dll",
            false => "libnvidia-ml.so.1",
        };
        let library = folder.join(name);
        fs::write(&library, image)?;
        let double = Self {
            state: state_beside(&library),
            library,
        };
        double.set(state)?;
        Ok(double)
    }

    /// What to load.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// The file with the state, for [`STATE_VARIABLE`] of a process elsewhere.
    pub fn state_file(&self) -> &Path {
        &self.state
    }

    /// Says something else from the next call on.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set(&self, state: &State) -> io::Result<()> {
        update(&self.state, |now| *now = state.clone())
    }

    /// Changes what it says from the next call on.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> io::Result<T> {
        update(&self.state, change)
    }
}

/// Changes the state in that file, of which one process at a time can do so, and none is seen half done.
///
/// # Errors
/// If it cannot be read or written.
pub fn update<T>(file: &Path, change: impl FnOnce(&mut State) -> T) -> io::Result<T> {
    let lock = File::create(with_suffix(file, ".lock"))?;
    lock.lock()?;
    let mut state = match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
        Err(error) => return Err(error),
    };
    let outcome = change(&mut state);
    let fresh = with_suffix(file, ".new");
    fs::write(&fresh, serde_json::to_vec_pretty(&state)?)?;
    fs::rename(fresh, file)?;
    Ok(outcome)
}

/// Where a library at that path looks for its state.
pub(crate) fn state_beside(library: &Path) -> PathBuf {
    with_suffix(library, ".state")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.into();
    name.push(suffix);
    name.into()
}

/// The library as cargo built it: in the folder of the test binaries, whoever of this build asks.
fn built() -> io::Result<PathBuf> {
    let name = format!(
        "{}nvml_double{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    let me = std::env::current_exe()?;
    let folder = me.parent().unwrap_or(Path::new("."));
    let deps = match folder.file_name() == Some(OsStr::new("deps")) {
        true => folder.to_owned(),
        false => folder.join("deps"),
    };
    let library = deps.join(name);
    match library.exists() {
        true => Ok(library),
        false => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{} is not built", library.display()),
        )),
    }
}

/// Gives a symbol another name, so that whoever asks for it by its own does not find it. One library, and not one build for
/// each set of symbols: cargo builds a crate with one set of features in a workspace.
fn spoil(image: &mut [u8], symbol: &str) -> io::Result<()> {
    let name = format!("\0{symbol}\0");
    let places: Vec<usize> = image
        .windows(name.len())
        .enumerate()
        .filter_map(|(place, window)| (window == name.as_bytes()).then_some(place))
        .collect();
    if places.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("the double has no symbol {symbol}"),
        ));
    }
    for place in places {
        // Its last letter: a table sorted by name stays sorted as far as any search of ours goes.
        image[place + symbol.len()] = b'~';
    }
    Ok(())
}
