//! Section `[comfyui]`: the server that renders, and the workflows that it is given.

use std::path::PathBuf;

use serde::Deserialize;
use shared::film::Mistake;
use url::Url;

/// Section `[comfyui]`. A worker has one server at most: several cards have a worker and a server each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ComfyUiSettings {
    /// Where the server is, as `http://127.0.0.1:8188`; empty: there is none.
    #[serde(default)]
    pub url: String,
    /// Folder with workflows of one's own, beside those that come with the program.
    #[serde(default)]
    pub workflows: Option<PathBuf>,
}

impl ComfyUiSettings {
    /// What is wrong with them.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        if let Some(Err(problem)) = self.server() {
            found.push(Mistake::new("comfyui.url", problem));
        }
        if self
            .workflows
            .as_ref()
            .is_some_and(|folder| folder.as_os_str().is_empty())
        {
            found.push(Mistake::new(
                "comfyui.workflows",
                "name a folder, or leave it out",
            ));
        }
        found
    }

    /// The server, if one is named.
    ///
    /// # Errors
    /// If it cannot be one; loading the settings finds that.
    pub fn server(&self) -> Option<Result<Url, String>> {
        (!self.url.is_empty()).then(|| server_url(&self.url))
    }
}

/// Reads the URL of a server. It ends with a slash, so that paths can be joined to it.
///
/// # Errors
/// What is wrong with it and how it is written.
pub fn server_url(text: &str) -> Result<Url, String> {
    let wrong = || format!("`{text}` is no server's URL; write it as http://HOST:PORT");
    let mut url = Url::parse(text).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https")
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(wrong());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str) -> Result<ComfyUiSettings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("callsheet.toml");
        std::fs::write(&path, file).unwrap();
        shared::settings::load::<crate::Settings>(crate::DEFAULT_SETTINGS, Some(&path), [], [])
            .map(|settings| settings.comfyui)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_settings_there_is_no_server() {
        assert_eq!(load("").unwrap(), ComfyUiSettings::default());
    }

    #[test]
    fn the_example_in_the_defaults_can_be_used_and_says_every_key() {
        let lines = crate::DEFAULT_SETTINGS.lines();
        let section = lines.skip_while(|line| *line != "[comfyui]");
        let set: Vec<_> = section
            .map(|line| {
                line.strip_prefix("# ")
                    .filter(|set| set.contains(" = "))
                    .unwrap_or(line)
            })
            .collect();
        let expected = ComfyUiSettings {
            url: "http://127.0.0.1:8188".to_owned(),
            workflows: Some("workflows".into()),
        };
        assert_eq!(load(&set.join("\n")).unwrap(), expected);
    }

    #[test]
    fn every_mistake_names_its_key() {
        let error = load("[comfyui]\nurl = \"127.0.0.1:8188\"\nworkflows = \"\"").unwrap_err();
        for expected in [
            "comfyui.url: `127.0.0.1:8188` is no server's URL; write it as http://HOST:PORT",
            "comfyui.workflows: name a folder",
        ] {
            assert!(error.contains(expected), "{expected}: {error}");
        }
        let error = load("[comfyui]\nlru = \"http://x:1\"").unwrap_err();
        assert!(error.contains("comfyui.lru"), "{error}");
    }

    #[test]
    fn a_path_is_kept_and_can_be_joined_to() {
        let url = |text| {
            server_url(text)
                .unwrap()
                .join("object_info")
                .unwrap()
                .to_string()
        };
        assert_eq!(url("http://x:1"), "http://x:1/object_info");
        assert_eq!(url("https://x/comfy"), "https://x/comfy/object_info");
    }
}
