//! Section `[llm]`: the models that write stories.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use shared::byte_size::ByteSize;
use shared::film::Mistake;
use shared::ids::ProfileName;
use shared::profile::{DeviceMemory, ResourceRequest};
use shared::settings::Secret;
use shared::time::millis;
use url::Url;

use crate::outline;
use crate::provider::{Gemini, Key, Ollama, OpenAi, Provider, Server, SetUpError, is_loopback};

/// Smallest and largest context that can be set, in tokens. Below the smallest not even a plan fits.
const CONTEXT: std::ops::RangeInclusive<u32> = 2_560..=1_048_576;

/// Section `[llm]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct LlmSettings {
    /// Whether stories are taken without asking first whether the server is there.
    #[serde(default)]
    pub skip_health_check: bool,
    /// Key of the Gemini API.
    #[serde(default)]
    pub gemini_key: Option<Secret>,
    /// The models.
    #[serde(default)]
    pub models: Vec<ModelSettings>,
}

/// A model that writes stories.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ModelSettings {
    /// What films call it.
    pub profile: ProfileName,
    /// What kind of server runs it.
    pub provider: ProviderKind,
    /// Where the server is.
    #[serde(default)]
    pub url: Option<String>,
    /// Its name there.
    pub model: String,
    /// Its context, in tokens.
    #[serde(default = "defaults::context")]
    pub context: u32,
    /// Device memory that it holds here, in MiB.
    #[serde(default)]
    pub gpu_mib: Option<u32>,
    /// Host memory that it holds here, in MiB.
    #[serde(default)]
    pub ram_mib: u32,
    /// Processor threads that it keeps busy here.
    #[serde(default)]
    pub threads: u32,
    /// How free it is in its choice of words.
    #[serde(default = "defaults::temperature")]
    pub temperature: f64,
    /// Longest wait for one answer.
    #[serde(default = "defaults::timeout", rename = "timeout_ms", with = "millis")]
    pub timeout: Duration,
    /// A key, if the server wants one.
    #[serde(default)]
    pub key: Option<Secret>,
    /// The file of that key.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

mod defaults {
    use std::time::Duration;

    pub(super) const fn context() -> u32 {
        8_192
    }
    pub(super) const fn temperature() -> f64 {
        0.8
    }
    pub(super) const fn timeout() -> Duration {
        Duration::from_secs(600)
    }
}

/// What kind of server runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ProviderKind {
    /// One that speaks OpenAI's chat completions.
    OpenAi,
    /// Ollama.
    Ollama,
    /// The Gemini API.
    Gemini,
}

impl TryFrom<String> for ProviderKind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "openai" => Ok(Self::OpenAi),
            "ollama" => Ok(Self::Ollama),
            "gemini" => Ok(Self::Gemini),
            _ => Err(format!(
                "`{text}` is no provider; choose openai, ollama or gemini"
            )),
        }
    }
}

impl LlmSettings {
    /// What is wrong with them.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        let mut names = HashSet::from([outline::NAME]);
        for (number, model) in self.models.iter().enumerate() {
            let mut add = |key: &str, problem: String| {
                found.push(Mistake::new(format!("llm.models[{number}].{key}"), problem));
            };
            if !names.insert(model.profile.as_str()) {
                add(
                    "profile",
                    format!("`{}` is taken; choose another name", model.profile),
                );
            }
            model.mistakes(&mut add);
            if model.provider == ProviderKind::Gemini && self.key_of(model) == Key::None {
                let problem = "Gemini wants a key: set llm.gemini_key, llm.gemini_key_file or this";
                add("key_file", problem.to_owned());
            }
        }
        found
    }

    /// The key of a model's server.
    pub(crate) fn key_of(&self, model: &ModelSettings) -> Key {
        let own = model.key.clone().map(Key::Given);
        let filed = || model.key_file.clone().map(Key::File);
        let shared = || match model.provider {
            ProviderKind::Gemini => self.gemini_key.clone().map(Key::Given),
            // A key is shown to the one server that it was given for.
            ProviderKind::OpenAi | ProviderKind::Ollama => None,
        };
        own.or_else(filed).or_else(shared).unwrap_or_default()
    }
}

impl ModelSettings {
    fn mistakes(&self, add: &mut impl FnMut(&str, String)) {
        if self.model.trim().is_empty() || self.model.contains(char::is_whitespace) {
            add(
                "model",
                "it must be the model's name at the server".to_owned(),
            );
        }
        if !CONTEXT.contains(&self.context) {
            let (least, most) = (CONTEXT.start(), CONTEXT.end());
            add(
                "context",
                format!("{} is not possible; {least} to {most} are", self.context),
            );
        }
        if !(0.0..=2.0).contains(&self.temperature) {
            add(
                "temperature",
                format!("{} is not possible; 0 to 2 are", self.temperature),
            );
        }
        if self.timeout < Duration::from_secs(1) {
            add(
                "timeout_ms",
                "it is too short; at least 1000 is possible".to_owned(),
            );
        }
        if self.key.is_some() && self.key_file.is_some() {
            add("key_file", "give either this or `key`, not both".to_owned());
        }
        if self.provider == ProviderKind::Gemini && self.needs() != ResourceRequest::default() {
            add(
                "gpu_mib",
                "Gemini runs elsewhere: it needs no memory here".to_owned(),
            );
        }
        match self.url() {
            None => add(
                "url",
                "it is needed; write it as http://HOST:PORT".to_owned(),
            ),
            Some(_) => {
                if let Err(error) = self.server(Key::None) {
                    add("url", error.to_string());
                }
            }
        }
    }

    /// Where its server is.
    pub(crate) fn url(&self) -> Option<&str> {
        let usual = match self.provider {
            ProviderKind::OpenAi => None,
            ProviderKind::Ollama => Some("http://127.0.0.1:11434"),
            ProviderKind::Gemini => Some("https://generativelanguage.googleapis.com"),
        };
        self.url.as_deref().or(usual)
    }

    /// Its server.
    pub(crate) fn server(&self, key: Key) -> Result<Server, SetUpError> {
        Server::new(self.provider(), self.url().unwrap_or_default(), key)
    }

    /// Whether it may hold memory of a device here that nobody was told of.
    pub(crate) fn may_hold_memory_unsaid(&self) -> bool {
        let is_here = |url: &str| Url::parse(url).is_ok_and(|url| is_loopback(&url));
        self.gpu_mib.is_none() && self.url().is_some_and(is_here)
    }

    fn provider(&self) -> Box<dyn Provider> {
        let model = self.model.clone();
        match self.provider {
            ProviderKind::OpenAi => Box::new(OpenAi { model }),
            ProviderKind::Ollama => Box::new(Ollama {
                model,
                context: self.context,
            }),
            ProviderKind::Gemini => Box::new(Gemini { model }),
        }
    }

    /// What it holds on this host. All of its device memory is taken when it is loaded, and held until it is unloaded.
    pub(crate) fn needs(&self) -> ResourceRequest {
        let mib = |count: u32| ByteSize::mib(u64::from(count));
        let device = self.gpu_mib.filter(|count| *count > 0).map(mib);
        ResourceRequest {
            device: device.map(|whole| DeviceMemory {
                load: whole,
                peak: whole,
                spike: whole,
            }),
            ram: mib(self.ram_mib),
            threads: self.threads,
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::settings::Settings as _;

    use super::*;
    use crate::Settings;

    fn load(file: &str) -> Result<LlmSettings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("callsheet.toml");
        std::fs::write(&path, file).unwrap();
        shared::settings::load::<Settings>(crate::DEFAULT_SETTINGS, Some(&path), [], [])
            .map(|settings| {
                assert!(settings.mistakes().is_empty());
                settings.llm
            })
            .map_err(|error| error.to_string())
    }

    /// The commented models of the defaults, as a user would have them.
    fn example() -> String {
        let lines = crate::LLM_DEFAULT_SETTINGS.lines();
        let models = lines.skip_while(|line| !line.starts_with("# [[llm.models]]"));
        let plain = models.map(|line| line.trim_start_matches('#').trim_start());
        let text = plain.collect::<Vec<_>>().join("\n");
        format!(
            "[llm]\ngemini_key = \"s3cret\"\n{}",
            text.replace("key_file", "# key_file")
        )
    }

    #[test]
    fn without_settings_there_is_no_model() {
        assert_eq!(load("").unwrap(), LlmSettings::default());
    }

    #[test]
    fn the_example_in_the_defaults_can_be_used_and_says_every_key_with_its_default() {
        let settings = load(&example()).unwrap();
        let [mistral, gemini] = &settings.models[..] else {
            panic!()
        };
        let minimal = "[[llm.models]]\nprofile = \"x\"\nprovider = \"openai\"\nmodel = \"story\"\nurl = \"http://127.0.0.1:8080\"";
        let minimal = load(minimal).unwrap().models[0].clone();
        let same = ModelSettings {
            profile: minimal.profile.clone(),
            gpu_mib: None,
            ..mistral.clone()
        };
        assert_eq!(same, minimal);
        let device = mistral.needs().device.unwrap();
        assert_eq!(
            (device.load, device.spike),
            (ByteSize::mib(6_450), ByteSize::mib(6_450))
        );
        assert_eq!(minimal.needs(), ResourceRequest::default());
        assert_eq!(settings.key_of(gemini), Key::Given(Secret::new("s3cret")));
        assert_eq!(
            settings.key_of(mistral),
            Key::None,
            "no server is shown another's key"
        );
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn the_gemini_key_comes_from_the_environment_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "s3cret\n").unwrap();
        for (name, value) in [
            ("CALLSHEET__LLM__GEMINI_KEY", "s3cret"),
            ("CALLSHEET__LLM__GEMINI_KEY_FILE", path.to_str().unwrap()),
        ] {
            let environment = [(name.into(), value.into())];
            let settings =
                shared::settings::load::<Settings>(crate::DEFAULT_SETTINGS, None, environment, [])
                    .unwrap();
            assert_eq!(
                settings.llm.gemini_key,
                Some(Secret::new("s3cret")),
                "{name}"
            );
        }
    }

    #[test]
    fn every_mistake_names_its_model_and_key() {
        let error = load(
            r#"
            [[llm.models]]
            profile = "outline"
            provider = "openai"
            model = " "
            context = 100
            temperature = 3
            timeout_ms = 1
            key = "s3cret"
            key_file = "x"
            [[llm.models]]
            profile = "flash"
            provider = "gemini"
            model = "m"
            gpu_mib = 1
            url = "ftp://x"
            "#,
        )
        .unwrap_err();
        for expected in [
            "models[0].profile",
            "models[0].model",
            "models[0].context",
            "models[0].temperature",
            "models[0].timeout_ms",
            "models[0].key_file",
            "models[0].url",
            "models[1].gpu_mib",
            "models[1].url",
            "models[1].key_file",
        ] {
            assert!(error.contains(expected), "{expected}: {error}");
        }
        assert!(!error.contains("s3cret"));
        let error = load("[[llm.models]]\nprofile = \"x\"\nprovider = \"bard\"\nmodel = \"m\"")
            .unwrap_err();
        assert!(error.contains("choose openai, ollama or gemini"), "{error}");
        let error = load("[llm]\nmodle = 1").unwrap_err();
        assert!(error.contains("llm.modle"), "{error}");
    }
}
