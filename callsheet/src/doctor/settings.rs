//! The settings of all programs: one file serves them all.

use std::collections::BTreeSet;
use std::path::Path;

use shared::settings::{Settings, SettingsError, load};

use super::{Check, Verdict};

/// Looks whether each program could be started with them.
pub(crate) fn settings(file: Option<&Path>, own: Option<&SettingsError>) -> Check {
    let mut mistakes = BTreeSet::new();
    if let Some(error) = own {
        note(error, &mut mistakes);
    }
    try_out::<coordinator::settings::Settings>(coordinator::DEFAULT_SETTINGS, file, &mut mistakes);
    try_out::<llm_worker::Settings>(llm_worker::DEFAULT_SETTINGS, file, &mut mistakes);
    try_out::<video_worker::Settings>(video_worker::DEFAULT_SETTINGS, file, &mut mistakes);
    let shown = file.map_or_else(
        || "the defaults and the environment".to_owned(),
        |file| file.display().to_string(),
    );
    match mistakes.len() {
        0 => Check::new("settings", Verdict::Well, shown),
        count => {
            let told = match own {
                Some(_) => {
                    format!("{count} mistakes in {shown}; what follows is about the defaults")
                }
                None => format!("{count} mistakes in {shown}"),
            };
            let told = told.replacen("1 mistakes", "1 mistake", 1);
            Check::new("settings", Verdict::Bad, told).with(mistakes.into_iter().collect())
        }
    }
}

fn try_out<T: Settings>(defaults: &str, file: Option<&Path>, mistakes: &mut BTreeSet<String>) {
    if let Err(error) = load::<T>(defaults, file, std::env::vars_os(), []) {
        note(&error, mistakes);
    }
}

fn note(error: &SettingsError, mistakes: &mut BTreeSet<String>) {
    match error {
        SettingsError::Mistakes(found) => mistakes.extend(found.iter().map(ToString::to_string)),
        other => drop(mistakes.insert(shared::failure::chain(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_any_programs_section_is_told_once_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("callsheet.toml");
        std::fs::write(
            &file,
            "[worker]\nslotts = 2\n[broker]\nurl = \"http://x\"\n",
        )
        .unwrap();
        let check = settings(Some(&file), None);
        assert_eq!(check.verdict, Verdict::Bad);
        assert_eq!(check.more.len(), 2, "{:?}", check.more);
        assert!(check.more[0].starts_with("broker.url"), "{:?}", check.more);
        assert!(
            check.more[1].starts_with("worker.slotts"),
            "{:?}",
            check.more
        );
        std::fs::write(&file, "[worker]\nslots = 2\n").unwrap();
        assert_eq!(settings(Some(&file), None).verdict, Verdict::Well);
    }
}
