//! The settings of all programs: one file serves them all.

use std::collections::BTreeSet;
use std::path::Path;

use shared::settings::{Settings, SettingsError, load};

use super::{Check, Host, Verdict, given_by_environment};
use crate::settings::Unusable;

/// The secrets that a coordinator's service gets from its environment.
const OF_COORDINATOR: [&str; 3] = [
    "CALLSHEET__ACCESS__SUBMIT_TOKEN_FILE",
    "CALLSHEET__ACCESS__OPERATE_TOKEN_FILE",
    "CALLSHEET__ACCESS__WORKER_TOKEN_FILE",
];

/// Looks whether each program of such a host could be started with them. `own` is what is wrong with them for this command.
pub(crate) fn settings(file: Option<&Path>, own: Option<&Unusable>, host: Host) -> Check {
    let mut mistakes = BTreeSet::new();
    if let Some(unusable) = own {
        note(&unusable.error, &mut mistakes);
    }
    if host.has_coordinator() {
        let defaults = coordinator::DEFAULT_SETTINGS;
        try_out::<coordinator::settings::Settings>(defaults, file, &mut mistakes);
    } else {
        // The same file may serve the host that has one.
        let is_for_one = |mistake: &String| {
            ["coordinator.", "access."]
                .iter()
                .any(|it| mistake.starts_with(it))
        };
        mistakes.retain(|mistake| !is_for_one(mistake));
    }
    try_out::<llm_worker::Settings>(llm_worker::DEFAULT_SETTINGS, file, &mut mistakes);
    try_out::<video_worker::Settings>(video_worker::DEFAULT_SETTINGS, file, &mut mistakes);
    let shown = file.map_or_else(
        || "the defaults and the environment".to_owned(),
        |file| file.display().to_string(),
    );
    if mistakes.is_empty() {
        return Check::new("settings", Verdict::Well, shown);
    }
    let count = mistakes.len();
    let mut told = match own {
        Some(Unusable { is_usual: true, .. }) => {
            format!("{count} mistakes in {shown}; what follows is about the defaults")
        }
        _ => format!("{count} mistakes in {shown}"),
    };
    if count == 1 {
        told = told.replacen("1 mistakes", "1 mistake", 1);
    }
    let hint = mistakes.iter().any(|it| it.starts_with("access."));
    let hint = hint.then(|| given_by_environment(&OF_COORDINATOR));
    Check::new("settings", Verdict::Bad, told).with(mistakes.into_iter().chain(hint).collect())
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
        let check = settings(Some(&file), None, Host::All);
        assert_eq!(check.verdict, Verdict::Bad);
        assert_eq!(check.more.len(), 2, "{:?}", check.more);
        assert!(check.more[0].starts_with("broker.url"), "{:?}", check.more);
        assert!(
            check.more[1].starts_with("worker.slotts"),
            "{:?}",
            check.more
        );
        std::fs::write(&file, "[worker]\nslots = 2\n").unwrap();
        assert_eq!(
            settings(Some(&file), None, Host::All).verdict,
            Verdict::Well
        );
    }

    #[test]
    fn what_only_a_coordinator_could_not_start_with_is_no_mistake_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("callsheet.toml");
        let text =
            "[coordinator]\nlisten = \"0.0.0.0:7420\"\n[artifacts]\nurl = \"http://studio:7420\"\n";
        std::fs::write(&file, text).unwrap();
        let (_, own) = crate::settings::Settings::load_whatever(Some(&file), Vec::new()).unwrap();
        let own = own.unwrap();
        assert!(!own.is_usual);
        let further = settings(Some(&file), Some(&own), Host::Worker);
        assert_eq!(further.verdict, Verdict::Well, "{:?}", further.more);
        let first = settings(Some(&file), Some(&own), Host::All);
        assert_eq!(first.more.len(), 3, "{:?}", first.more);
        assert!(first.more[0].starts_with("access.operate_token: "));
        assert!(first.more[1].starts_with("artifacts.url: "));
        let hint = &first.more[2];
        assert!(hint.contains(OF_COORDINATOR[1]) && hint.contains("callsheet-doctor"));
        assert!(!first.told.contains("defaults"), "{}", first.told);
    }
}
