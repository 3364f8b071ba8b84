//! Section `[llm]`: the models that write stories.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use shared::byte_size::ByteSize;
use shared::film::Mistake;
use shared::http::is_loopback;
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
use crate::provider::{Gemini, Key, Ollama, OpenAi, Provider, Server, SetUpError};

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
