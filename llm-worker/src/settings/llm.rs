//! Section `[llm]`: the models that write stories.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use shared::byte_size::ByteSize;
use shared::film::Mistake;
use shared::ids::ProfileName;
use shared::profile::{DeviceMemory, ResourceRequest};
use shared::settings::Secret;
use shared::time::millis;
use url::Url;
use worker_runtime::backend::BackendId;

use super::size::ModelSize;
use crate::discover;
use crate::lifecycle::{Kept, Lifecycle, ModelServer, OllamaModels, Place, Wanted};
use crate::outline;
use crate::provider::{Gemini, Key, Ollama, OpenAi, Provider, Server, SetUpError, is_loopback};

/// Smallest and largest context that can be set, in tokens. Below the smallest not even a plan fits.
pub(crate) const CONTEXT: std::ops::RangeInclusive<u32> = 2_560..=1_048_576;

/// Section `[llm]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct LlmSettings {
    /// Whether stories are taken without asking first whether the server is there.
    #[serde(default)]
    pub skip_health_check: bool,
    /// Whether servers on this host are looked for at the start.
    #[serde(default)]
    pub auto: bool,
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
    /// What it is made of, from which the memory is worked out where that is not said.
    #[serde(default)]
    pub size: Option<ModelSize>,
    /// What it runs on.
    #[serde(default)]
    pub runs_on: RunsOn,
    /// Whether it stays loaded whoever needs its memory.
    #[serde(default)]
    pub pinned: bool,
    /// Who may write in its place when it cannot, first come first.
    #[serde(default)]
    pub fallbacks: Vec<ProfileName>,
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

/// What a model runs on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunsOn {
    /// The card.
    #[default]
    Gpu,
    /// The processor, in host memory.
    Cpu,
}

/// What kind of server runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
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
        let mut names = HashSet::from([outline::NAME, discover::AUTO]);
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
            for fallback in &model.fallbacks {
                if let Some(problem) = self.mistake_of_fallback(model, fallback) {
                    add("fallbacks", problem);
                }
            }
            if model.provider == ProviderKind::Gemini && self.key_of(model) == Key::None {
                let problem = "Gemini wants a key: set llm.gemini_key, llm.gemini_key_file or this";
                add("key_file", problem.to_owned());
            }
        }
        found
    }

    fn mistake_of_fallback(&self, model: &ModelSettings, name: &ProfileName) -> Option<String> {
        if name.as_str() == outline::NAME {
            return None;
        }
        let mut others = self
            .models
            .iter()
            .filter(|other| other.profile != model.profile);
        let Some(other) = others.find(|other| other.profile == *name) else {
            return Some(format!("there is no other profile `{name}` here"));
        };
        let on_card = |of: &ModelSettings| of.needs().device.map(|memory| memory.load);
        let same = (other.provider, other.url()) == (model.provider, model.url());
        match (on_card(other), on_card(model)) {
            (None, _) => None,
            (Some(needs), Some(has)) if same && needs <= has => None,
            (Some(_), _) => Some(format!(
                "`{name}` needs device memory that a job of `{}` is not promised; it must be a smaller model on the same server, or \
                 one that needs none here",
                model.profile
            )),
        }
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
    /// One that was found on this host. Nobody has said what it needs.
    pub(crate) fn found(
        profile: ProfileName,
        provider: ProviderKind,
        url: &str,
        model: String,
    ) -> Self {
        Self {
            profile,
            provider,
            url: Some(url.to_owned()),
            model,
            context: defaults::context(),
            gpu_mib: None,
            ram_mib: 0,
            threads: 0,
            size: None,
            runs_on: RunsOn::Gpu,
            pinned: false,
            fallbacks: Vec::new(),
            temperature: defaults::temperature(),
            timeout: defaults::timeout(),
            key: None,
            key_file: None,
        }
    }

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
        if self.runs_on == RunsOn::Cpu && self.gpu_mib.is_some_and(|count| count > 0) {
            add(
                "gpu_mib",
                "it runs on the processor (runs_on): it needs no device memory".to_owned(),
            );
        }
        if let Some(problem) = self.size.and_then(|size| size.mistake()) {
            add("size", problem);
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

    /// Its server with that model and others.
    pub(crate) fn models(&self, key: Key, kept: Vec<Kept>) -> Result<Arc<ModelServer>, SetUpError> {
        let server = self.server(key)?;
        let known: Option<Option<&'static dyn Lifecycle>> = match self.provider {
            ProviderKind::OpenAi => None,
            ProviderKind::Ollama => Some(Some(&OllamaModels)),
            ProviderKind::Gemini => Some(None),
        };
        let url = server.url();
        let (host, port) = (
            url.host_str().unwrap_or_default(),
            url.port_or_known_default(),
        );
        let port = port.unwrap_or_default();
        let place = Place {
            id: BackendId(format!("{}@{host}:{port}", server.provider().name())),
            port: is_loopback(url).then_some(port),
        };
        Ok(ModelServer::new(place, server, known, kept))
    }

    /// The model as its server is to keep it.
    pub(crate) fn kept(&self) -> Kept {
        Kept {
            profile: self.profile.clone(),
            wanted: Wanted {
                model: self.model.clone(),
                context: self.context,
                on_processor: self.runs_on == RunsOn::Cpu,
            },
            device: self.needs().device.map(|memory| memory.load),
            pinned: self.pinned,
        }
    }

    /// Whether it may hold memory of a device here that nobody was told of.
    pub(crate) fn may_hold_memory_unsaid(&self) -> bool {
        let is_here = |url: &str| Url::parse(url).is_ok_and(|url| is_loopback(&url));
        let unsaid = self.gpu_mib.is_none() && self.size.is_none() && self.runs_on == RunsOn::Gpu;
        unsaid && self.url().is_some_and(is_here)
    }

    fn provider(&self) -> Box<dyn Provider> {
        let model = self.model.clone();
        match self.provider {
            ProviderKind::OpenAi => Box::new(OpenAi { model }),
            ProviderKind::Ollama => Box::new(Ollama {
                model,
                context: self.context,
                on_processor: self.runs_on == RunsOn::Cpu,
            }),
            ProviderKind::Gemini => Box::new(Gemini { model }),
        }
    }

    /// What it holds on this host. All of its device memory is taken when it is loaded, and held until it is unloaded.
    pub(crate) fn needs(&self) -> ResourceRequest {
        let mib = |count: u32| ByteSize::mib(u64::from(count));
        let worked_out = |on: RunsOn| {
            let size = self.size.filter(|_| self.runs_on == on)?;
            Some(size.need(self.context, on == RunsOn::Gpu))
        };
        let said = self.gpu_mib.map(mib);
        let device = said.or_else(|| worked_out(RunsOn::Gpu));
        let device = device.filter(|whole| *whole > ByteSize::ZERO);
        let ram = match self.ram_mib {
            0 => worked_out(RunsOn::Cpu).unwrap_or_default(),
            said => mib(said),
        };
        ResourceRequest {
            device: device.map(|whole| DeviceMemory {
                load: whole,
                peak: whole,
                spike: whole,
            }),
            ram,
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
        let [nemo, gemini] = &settings.models[..] else {
            panic!()
        };
        let minimal = "[[llm.models]]\nprofile = \"x\"\nprovider = \"openai\"\nmodel = \"story\"\nurl = \"http://127.0.0.1:8080\"";
        let minimal = load(minimal).unwrap().models[0].clone();
        let same = ModelSettings {
            profile: minimal.profile.clone(),
            gpu_mib: None,
            size: None,
            ..nemo.clone()
        };
        assert_eq!(same, minimal);
        let device = nemo.needs().device.unwrap();
        assert_eq!(
            (device.load, device.spike),
            (ByteSize::mib(9_650), ByteSize::mib(9_650))
        );
        // What is said and what is worked out tell the same.
        let size = nemo.size.unwrap();
        assert_eq!(
            size.need(nemo.context, true).to_string(),
            device.load.to_string()
        );
        assert_eq!(minimal.needs(), ResourceRequest::default());
        assert_eq!(settings.key_of(gemini), Key::Given(Secret::new("s3cret")));
        assert_eq!(
            settings.key_of(nemo),
            Key::None,
            "no server is shown another's key"
        );
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn what_a_model_needs_is_said_or_worked_out_and_on_the_processor_it_needs_host_memory() {
        let needs = |more: &str| {
            let size = "{ weights_mib = 7134, layers = 40, kv_heads = 8, head_dim = 128 }";
            let model = format!(
                "[[llm.models]]\nprofile = \"x\"\nprovider = \"ollama\"\nmodel = \"m\"\nsize = {size}\n{more}"
            );
            let needs = load(&model).unwrap().models[0].needs();
            (
                needs.device.map(|it| it.load.to_string()),
                needs.ram.to_string(),
            )
        };
        let (gib, none) = (
            |text: &str| Some(text.to_owned()),
            ByteSize::ZERO.to_string(),
        );
        assert_eq!(needs(""), (gib("9.4 GiB"), none.clone()));
        assert_eq!(needs("context = 131072"), (gib("28.2 GiB"), none.clone()));
        assert_eq!(needs("gpu_mib = 8192"), (gib("8.0 GiB"), none.clone()));
        assert_eq!(needs("gpu_mib = 0"), (None, none));
        assert_eq!(needs("runs_on = \"cpu\""), (None, "8.8 GiB".to_owned()));
        assert_eq!(
            needs("runs_on = \"cpu\"\nram_mib = 2048"),
            (None, "2.0 GiB".to_owned())
        );
    }

    #[test]
    fn a_fallback_is_known_and_needs_no_memory_that_its_job_is_not_promised() {
        let mistake = |fallback: &str, of: &str| {
            let model = |name: &str, url: u16, mib: u32, more: &str| {
                format!(
                    "[[llm.models]]\nprofile = \"{name}\"\nprovider = \"openai\"\nmodel = \"m\"\n\
                     url = \"http://127.0.0.1:{url}\"\ngpu_mib = {mib}\n{more}\n"
                )
            };
            let listed = |name: &str| match name == of {
                true => format!("fallbacks = [\"{fallback}\"]"),
                false => String::new(),
            };
            let all = [
                ("large", 1, 9_000),
                ("small", 1, 4_000),
                ("elsewhere", 2, 4_000),
                ("none", 2, 0),
            ];
            let all = all.map(|(name, url, mib)| model(name, url, mib, &listed(name)));
            load(&all.concat()).err()
        };
        for (fallback, of) in [("outline", "none"), ("small", "large"), ("none", "large")] {
            assert_eq!(mistake(fallback, of), None, "{fallback} for {of}");
        }
        for (fallback, of, why) in [
            ("nobody", "large", "no other profile `nobody`"),
            ("large", "large", "no other profile `large`"),
            ("large", "small", "needs device memory"),
            ("elsewhere", "large", "needs device memory"),
            ("small", "none", "needs device memory"),
        ] {
            let error = mistake(fallback, of).unwrap();
            assert!(
                error.contains("fallbacks") && error.contains(why),
                "{error}"
            );
        }
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
            runs_on = "cpu"
            size = { weights_mib = 1, layers = 0, kv_heads = 1, head_dim = 1 }
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
            "models[1].size",
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
