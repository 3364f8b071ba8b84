//! Where images, clips and films lie that several machines share.

use shared::artifact::MediaType;
use shared::artifacts::ArtifactStore;
use shared::failure::chain;
use shared::settings::{ArtifactSettings, SettingsError};

use super::{Check, Verdict};

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
            Check::new(what, Verdict::Bad, told)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
