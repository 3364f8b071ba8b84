//! Settings in layers: compiled-in defaults ← one optional file ← environment ← flags. Read once, in `main`, and every
//! mistake in them is reported at once.
//!
//! A program declares one struct with a field for each section that it uses, and implements [`Settings`]. Its defaults are
//! a commented TOML file that is compiled in; those of the sections that several programs share are here. The structs need
//! no `deny_unknown_fields`: keys that nothing reads are found by [`load`], all of them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError};
use serde::de::DeserializeOwned;

use crate::film::Mistake;

mod layer;
mod secret;
mod sections;

use layer::Layer;
pub use secret::Secret;
pub use sections::{ArtifactSettings, BrokerSettings, LogFormat, LogSettings, TelemetrySettings};

/// The sections of the one file that serves all programs. A program lets those alone that it does not use; any other name
/// is refused as a mistake.
pub const SECTIONS: [&str; 12] = [
    "broker",
    "artifacts",
    "log",
    "telemetry",
    "coordinator",
    "access",
    "worker",
    "gpu",
    "ffmpeg",
    "comfyui",
    "client",
    "llm",
];

/// Settings that can also be given as the name of a file that holds them: `broker.url` by `broker.url_file`.
const SECRETS: [&str; 10] = [
    "broker.url",
    "llm.gemini_key",
    "access.submit_token",
    "access.operate_token",
    "access.worker_token",
    "artifacts.token",
    "telemetry.metrics_token",
    "artifacts.access_key_id",
    "artifacts.secret_access_key",
    "client.token",
];

/// Defaults of the sections that several programs share.
pub(crate) const SHARED_DEFAULTS: &str = include_str!("settings/defaults.toml");

/// The settings of one program.
pub trait Settings: DeserializeOwned {
    /// Everything that cannot be so although each value has the right type; fields as `broker.url`.
    fn mistakes(&self) -> Vec<Mistake> {
        Vec::new()
    }
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no TOML. What stands there is not repeated: it may be a password.
    #[error("the settings file {path} is no TOML at line {line}: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Everything that is wrong with them.
    #[error("the settings cannot be used:{}", listed(.0))]
    Mistakes(Vec<Mistake>),
}

fn listed(mistakes: &[Mistake]) -> String {
    mistakes
        .iter()
        .map(|mistake| format!("\n  {mistake}"))
        .collect()
}

/// Loads the settings of a program.
///
/// * `defaults`: the program's own defaults, compiled in; those of the shared sections are below them;
/// * `file`: the settings file, which must be there if it is given;
/// * `environment`: all variables, as `std::env::vars_os()` gives them; `CALLSHEET__SECTION__KEY` counts, a list is written
///   as in TOML;
/// * `overrides`: what flags say, by key, as `("coordinator.listen", "127.0.0.1:8080")`.
///
/// # Errors
/// If the file cannot be read, or with every mistake that was found.
///
/// # Panics
/// If `defaults` is not TOML.
pub fn load<T: Settings>(
    defaults: &str,
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    overrides: impl IntoIterator<Item = (&'static str, String)>,
) -> Result<T, SettingsError> {
    let compiled_in = |text| Layer::parse("the defaults", text).expect("the defaults are TOML");
    let mut given = Vec::new();
    if let Some(path) = file {
        given.push(read_file(path)?);
    }
    let (environment, mut mistakes) = Layer::from_environment(environment);
    given.push(environment);
    given.push(Layer::from_overrides(overrides));
    let mut secret_mistakes = Vec::new();
    for layer in &mut given {
        secret_mistakes.extend(layer.read_secrets(&SECRETS));
    }

    let mut layers = vec![compiled_in(SHARED_DEFAULTS), compiled_in(defaults)];
    let first_given = layers.len();
    layers.extend(given);
    let mut unread = BTreeSet::new();
    let settings = loop {
        let error = match read::<T>(&layers, &mut unread) {
            Ok(settings) => break Some(settings),
            Err(error) => error,
        };
        let (key, problem) = explain(&error);
        if !mistakes.iter().any(|mistake| mistake.field == key) {
            mistakes.push(Mistake::new(&key, located(&problem, &key, &layers)));
        }
        // A wrong value hides those after it: look on as if it had not been given.
        if !forget(&key, &mut layers[first_given..]) {
            break None;
        }
    };

    let is_foreign = |key: &str| SECTIONS.contains(&key) && unread.contains(key);
    mistakes.extend(secret_mistakes.into_iter().filter(|mistake| {
        let section = mistake.field.split('.').next().unwrap_or_default();
        !is_foreign(section)
    }));
    mistakes.extend(unread.iter().filter(|key| !is_foreign(key)).map(|key| {
        let problem = match key.contains('.') {
            true => "there is no such setting".to_owned(),
            false => format!(
                "there is no such section; known are {}",
                SECTIONS.join(", ")
            ),
        };
        Mistake::new(key, located(&problem, key, &layers))
    }));
    if let Some(settings) = &settings {
        mistakes.extend(settings.mistakes());
    }
    match settings {
        Some(settings) if mistakes.is_empty() => Ok(settings),
        _ => Err(SettingsError::Mistakes(mistakes)),
    }
}

fn read_file(path: &Path) -> Result<Layer, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
        path: path.to_owned(),
        source,
    })?;
    Layer::parse(&path.display().to_string(), &text).map_err(|error| SettingsError::Syntax {
        path: path.to_owned(),
        line: error
            .span()
            .map_or(1, |span| text[..span.start].matches('\n').count() + 1),
        reason: error.message().to_owned(),
    })
}

/// Merges the layers and reads them. Keys that nothing read go to `unread`.
fn read<T: Settings>(layers: &[Layer], unread: &mut BTreeSet<String>) -> Result<T, ConfigError> {
    let merged = layers
        .iter()
        .fold(Config::builder(), |merged, layer| {
            merged.add_source(layer.clone())
        })
        .build()?;
    serde_ignored::deserialize(merged, |path| {
        // `?` stands for "the value inside an `Option`".
        unread.insert(path.to_string().replace(".?", ""));
    })
}

/// Takes a key out of the highest layer that has it, or else what it is part of. Whether there was any of that.
fn forget(key: &str, layers: &mut [Layer]) -> bool {
    let mut part = key;
    loop {
        if layers.iter_mut().rev().any(|layer| layer.remove(part)) {
            return true;
        }
        match part.rsplit_once('.') {
            Some((whole, _)) => part = whole,
            None => return false,
        }
    }
}

/// The key that an error is about, and what is wrong with it.
fn explain(error: &ConfigError) -> (String, String) {
    match error {
        ConfigError::NotFound(key) => (key.clone(), "it is needed and has no default".to_owned()),
        ConfigError::Type {
            unexpected,
            expected,
            key,
            ..
        } => (
            key.clone().unwrap_or_default(),
            format!("{unexpected} is not {expected}"),
        ),
        ConfigError::At { error, key, .. } => {
            let text = error.to_string();
            let problem = match text.split_once(" does not have variant constructor ") {
                Some((_, found)) => format!("`{found}` is none of the words that can stand here"),
                None => text,
            };
            (key.clone().unwrap_or_default(), problem)
        }
        other => (String::new(), other.to_string()),
    }
}

fn located(problem: &str, key: &str, layers: &[Layer]) -> String {
    match layers.iter().rev().find(|layer| layer.contains(key)) {
        Some(layer) => format!("{problem} (in {})", layer.origin(key)),
        None => problem.to_owned(),
    }
}

#[cfg(test)]
mod tests;
