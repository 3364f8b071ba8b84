//! Where images, clips and films lie that several machines share.

use std::path::{Path, PathBuf};

use shared::artifact::MediaType;
use shared::artifacts::{Address, ArtifactError, ArtifactStore};
use shared::failure::chain;
use shared::settings::{ArtifactSettings, SettingsError};

use super::{Check, Verdict, given_by_environment};

/// Where they lie if nobody has named a place.
const USUAL: &str = ".callsheet/artifacts";
/// What is put there and read back. It is the same each time, and goes with the next clean-up.
const TRIAL: &str = "callsheet doctor was here";

/// Puts something there and reads it back. A place that nobody named is the data folder's business.
pub(crate) async fn artifacts(settings: Result<ArtifactSettings, SettingsError>) -> Check {
    let what = "artifacts";
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => return Check::new(what, Verdict::Bad, chain(&error)),
    };
    if settings.url == USUAL {
        let told = "no place is named (artifacts.url): they lie in the data folder; several machines need one that all can see";
        return Check::new(what, Verdict::Note, told);
    }
    if let Some(owner) = folder_of(&settings.url).and_then(|folder| kept_from_us(&folder)) {
        let told = format!(
            "{} was not tried: it belongs to the user {owner}, whom what root leaves there would keep out; look as that user (with \
             systemd, `callsheet-doctor` does)",
            settings.url
        );
        return Check::new(what, Verdict::Note, told);
    }
    let tried = async {
        let store = ArtifactStore::connect(&settings)?;
        // Asked first: what is put there is tried for minutes.
        store.check().await?;
        let put = store.put_bytes(TRIAL.into(), MediaType::Png).await?;
        store.verify(&put).await
    };
    match tried.await {
        Ok(()) => Check::new(
            what,
            Verdict::Well,
            format!("{} takes files and gives them back", settings.url),
        ),
        Err(error) => {
            let told = format!("{} (artifacts.url)", chain(&error));
            let is_unknown = matches!(error, ArtifactError::Refused { .. })
                && settings.token.is_none()
                && is_with_a_coordinator(&settings.url);
            let hint = || given_by_environment(&["CALLSHEET__ARTIFACTS__TOKEN_FILE"]);
            Check::new(what, Verdict::Bad, told).with(is_unknown.then(hint).into_iter().collect())
        }
    }
}

/// Whether it is a coordinator that keeps the files, as it does for workers of other machines.
pub(crate) fn is_with_a_coordinator(url: &str) -> bool {
    matches!(Address::read(url), Ok(Address::Coordinator(_)))
}

/// The folder that a store of files is, if it is one.
pub(crate) fn folder_of(url: &str) -> Option<PathBuf> {
    match Address::read(url) {
        Ok(Address::Folder(folder)) => Some(folder),
        _ => None,
    }
}

/// Whose a folder is in which we, as root, had better leave nothing.
#[cfg(unix)]
fn kept_from_us(folder: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;

    let owner = folder.metadata().ok()?.uid();
    (rustix::process::geteuid().is_root() && owner != 0).then_some(owner)
}

#[cfg(not(unix))]
fn kept_from_us(_: &Path) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[tokio::test]
    async fn root_leaves_nothing_in_the_folder_of_somebody_else() {
        let folder = tempfile::tempdir().unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(folder.path(), Some(12_345), None).unwrap();
        }
        let url = folder.path().display().to_string();
        let check = artifacts(Ok(ArtifactSettings::at(&url))).await;
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        match is_root {
            true => assert_eq!((check.verdict, left), (Verdict::Note, 0), "{}", check.told),
            false => assert_eq!((check.verdict, left), (Verdict::Well, 1), "{}", check.told),
        }
    }

    #[tokio::test]
    async fn a_place_is_tried_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = |url: String| Ok(ArtifactSettings::at(&url));
        let good = folder.path().join("files").display().to_string();
        assert_eq!(artifacts(at(good)).await.verdict, Verdict::Well);
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let bad = artifacts(at(file.display().to_string())).await;
        assert_eq!(bad.verdict, Verdict::Bad);
        assert!(bad.told.contains("artifacts.url"), "{}", bad.told);
        let usual = artifacts(at(USUAL.to_owned())).await;
        assert_eq!(usual.verdict, Verdict::Note);
    }
}
