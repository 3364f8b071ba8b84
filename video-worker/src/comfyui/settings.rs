//! Section `[comfyui]`: the server to render on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use shared::film::Mistake;
use shared::time::millis;
use url::Url;

use super::client::PreviewMethod;

/// Section `[comfyui]`. A worker has one server at most: several cards have a worker and a server each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ComfyUiSettings {
    /// Where the server is; empty: there is none.
    #[serde(default)]
    pub url: String,
    /// Folder with workflows of one's own, beside those that come with the program; empty: none.
    #[serde(default)]
    pub workflows: PathBuf,
    /// How long a render waits for a server that is away.
    #[serde(
        default = "defaults::patience",
        rename = "patience_ms",
        with = "millis"
    )]
    pub patience: Duration,
    /// The command that starts the server anew, program and arguments; empty: it is not this worker's to start.
    #[serde(default)]
    pub restart: Vec<String>,
    /// How what is rendered is shown meanwhile.
    #[serde(default)]
    pub previews: PreviewMethod,
}

mod defaults {
    use std::time::Duration;

    pub(super) const fn patience() -> Duration {
        Duration::from_secs(120)
    }
}

impl Default for ComfyUiSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            workflows: PathBuf::new(),
            patience: defaults::patience(),
            restart: Vec::new(),
            previews: PreviewMethod::default(),
        }
    }
}

impl ComfyUiSettings {
    /// Whether there is a server.
    pub fn is_set(&self) -> bool {
        !self.url.is_empty()
    }

    /// The server, if one is named.
    ///
    /// # Errors
    /// If it cannot be one; loading the settings finds that.
    pub fn server(&self) -> Option<Result<Url, String>> {
        self.is_set().then(|| server_url(&self.url))
    }

    /// The folder with workflows of one's own, if there is one.
    pub fn folder(&self) -> Option<&Path> {
        let is_named = !self.workflows.as_os_str().is_empty();
        is_named.then_some(&*self.workflows)
    }

    /// What is wrong with them.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        if let Some(Err(problem)) = self.server() {
            found.push(Mistake::new("comfyui.url", problem));
        }
        // Without a server nobody reads it: one file of settings may serve programs that do not see that folder.
        if let Some(folder) = self.folder()
            && self.is_set()
            && !folder.is_dir()
        {
            let problem = format!("there is no folder {}", folder.display());
            found.push(Mistake::new("comfyui.workflows", problem));
        }
        if self
            .restart
            .first()
            .is_some_and(|program| program.trim().is_empty())
        {
            found.push(Mistake::new(
                "comfyui.restart",
                "give a program and its arguments, as [\"systemctl\", \"--user\", \"restart\", \"comfyui\"]",
            ));
        }
        found
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
    fn pictures_are_made_by_the_method_that_is_named() {
        assert_eq!(load("").unwrap().previews, PreviewMethod::Auto);
        for (word, method) in [
            ("none", PreviewMethod::None),
            ("auto", PreviewMethod::Auto),
            ("latent2rgb", PreviewMethod::Latent2rgb),
            ("taesd", PreviewMethod::Taesd),
        ] {
            let settings = load(&format!("[comfyui]\npreviews = \"{word}\"")).unwrap();
            assert_eq!(settings.previews, method);
            assert_eq!(serde_json::json!(method), word, "as a prompt names it");
        }
    }

    #[test]
    fn every_mistake_names_its_key() {
        let error =
            load("[comfyui]\nurl = \"127.0.0.1:8188\"\nworkflows = \"/no/such\"").unwrap_err();
        for expected in [
            "comfyui.url: `127.0.0.1:8188` is no server's URL; write it as http://HOST:PORT",
            "comfyui.workflows: there is no folder /no/such",
        ] {
            assert!(error.contains(expected), "{expected}: {error}");
        }
        assert!(load("[comfyui]\nworkflows = \"/no/such\"").is_ok());
        let error = load("[comfyui]\npreviews = \"some\"").unwrap_err();
        assert!(error.contains("comfyui.previews"), "{error}");
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
