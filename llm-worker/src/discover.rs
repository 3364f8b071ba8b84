//! Looks for language model servers on this host, where they usually are, and tells them by what they answer.

use std::thread;
use std::time::Duration;

use serde_json::Value;
use shared::failure::{Failure, FailureKind};
use shared::ids::ProfileName;
use tokio::time::timeout;

use crate::provider::{Call, Key, OpenAi, Reply, Server};
use crate::settings::{LlmSettings, ModelSettings, ProviderKind};

/// The profile that stands for the best that was found.
pub const AUTO: &str = "auto";
/// Where servers usually are: LM Studio, Ollama, llama-server. Any of them may be at any of these.
const PLACES: [&str; 3] = [
    "http://127.0.0.1:1234",
    "http://127.0.0.1:11434",
    "http://127.0.0.1:8080",
];
/// Who is there answers within this time.
const ANSWERS_WITHIN: Duration = Duration::from_millis(800);
/// So many models of one server are taken up, those that are loaded first.
const MODELS_MAX: usize = 8;
/// Longest name of a profile.
const NAME_MAX: usize = 64;

/// How a server is told by what it answers: what is asked, and which models it has if that is its answer.
type Sign = (
    &'static str,
    ProviderKind,
    fn(&Value) -> Option<Vec<Listed>>,
);

/// A model that a server lists.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    model: String,
    loaded: bool,
}

/// What is asked at each place, in this order: the most telling first.
const SIGNS: [Sign; 3] = [
    ("/api/v1/models", ProviderKind::OpenAi, lm_studio),
    ("/api/tags", ProviderKind::Ollama, ollama),
    ("/v1/models", ProviderKind::OpenAi, open_ai),
];

/// The models of the servers that answer on this host now, loaded ones first. Blocks for a second at most.
pub fn on_this_host(settings: &LlmSettings) -> Vec<ModelSettings> {
    at(&PLACES, settings)
}

/// Why the story is not written by a model.
pub(crate) fn nothing() -> Failure {
    let places = PLACES
        .map(|place| place.trim_start_matches("http://"))
        .join(", ");
    let problem = format!("no language model server answers at {places}");
    Failure::new(FailureKind::Transient, problem)
}

/// The models of the servers that answer at those places now. Blocks for a second at most.
pub fn at(places: &[&str], settings: &LlmSettings) -> Vec<ModelSettings> {
    let is_free = |place: &&&str| {
        settings
            .models
            .iter()
            .all(|model| model.url() != Some(**place))
    };
    let wanted: Vec<String> = places
        .iter()
        .filter(is_free)
        .map(|it| (*it).to_owned())
        .collect();
    let look = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .map(|runtime| runtime.block_on(ask(&wanted)))
            .unwrap_or_default()
    };
    // On a thread of its own: the caller may be a task, and no task may wait for others.
    let found = thread::spawn(look).join().unwrap_or_default();
    let mut models = Vec::new();
    for (place, provider, listed) in found {
        let names: Vec<&str> = listed.iter().map(|it| it.model.as_str()).collect();
        tracing::info!(
            url = place,
            models = names.join(", "),
            "a language model server was found"
        );
        for it in listed {
            let taken = |name: &ProfileName| {
                let all = settings.models.iter().chain(&models);
                name.as_str() == AUTO || all.into_iter().any(|model| model.profile == *name)
            };
            if let Some(profile) = profile(&it.model).filter(|name| !taken(name)) {
                models.push(ModelSettings::found(profile, provider, &place, it.model));
            }
        }
    }
    models
}

async fn ask(places: &[String]) -> Vec<(String, ProviderKind, Vec<Listed>)> {
    let mut found = Vec::new();
    for place in places {
        if let Some((provider, listed)) = recognise(place).await {
            found.push((place.clone(), provider, listed));
        }
    }
    found
}

/// The kind of server at that place and its models, if there is one that we know.
async fn recognise(place: &str) -> Option<(ProviderKind, Vec<Listed>)> {
    let model = String::new();
    let server = Server::new(Box::new(OpenAi { model }), place, Key::None).ok()?;
    for (path, provider, read) in SIGNS {
        let answered = timeout(ANSWERS_WITHIN, server.fetch(&Call::get(path))).await;
        // Nobody is there, or nobody in his right mind.
        let reply: Reply = answered.ok()?.ok()?;
        if let Some(listed) = reply
            .json()
            .filter(|_| reply.is_success())
            .and_then(|it| read(&it))
        {
            return Some((provider, best_first(listed)));
        }
    }
    None
}

fn best_first(mut listed: Vec<Listed>) -> Vec<Listed> {
    listed.sort_by_key(|it| !it.loaded);
    listed.truncate(MODELS_MAX);
    listed
}

fn lm_studio(json: &Value) -> Option<Vec<Listed>> {
    let models = json["models"].as_array()?;
    let mut all = models.iter().map(|model| {
        let instances = model["loaded_instances"].as_array()?;
        Some((model, !instances.is_empty()))
    });
    let all: Vec<_> = all.by_ref().collect::<Option<_>>()?;
    let writes = |model: &Value| model["type"] == "llm";
    let listed = all
        .iter()
        .filter(|(model, _)| writes(model))
        .map(|(model, loaded)| Listed {
            model: model["key"].as_str().unwrap_or_default().to_owned(),
            loaded: *loaded,
        });
    Some(listed.collect())
}

fn ollama(json: &Value) -> Option<Vec<Listed>> {
    names(&json["models"], "name")
}

fn open_ai(json: &Value) -> Option<Vec<Listed>> {
    names(&json["data"], "id")
}

fn names(list: &Value, field: &str) -> Option<Vec<Listed>> {
    let names = list.as_array()?.iter().map(|model| {
        let model = model[field].as_str()?.to_owned();
        Some(Listed {
            model,
            loaded: false,
        })
    });
    names.collect()
}

/// What films call that model: its name without what no name of a profile has.
fn profile(model: &str) -> Option<ProfileName> {
    let plain = model
        .strip_suffix(":latest")
        .unwrap_or(model)
        .to_lowercase();
    let last = plain.rsplit('/').next().unwrap_or_default();
    let name: String = last
        .chars()
        .map(|letter| match letter {
            'a'..='z' | '0'..='9' | '.' | '-' => letter,
            _ => '-',
        })
        .take(NAME_MAX)
        .collect();
    name.trim_matches(['-', '.']).parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn models(listed: Option<Vec<Listed>>) -> Vec<String> {
        let listed = best_first(listed.unwrap());
        listed.into_iter().map(|it| it.model).collect()
    }

    #[test]
    fn servers_are_told_by_their_lists_and_what_is_loaded_comes_first() {
        let studio = json!({"models": [
            {"type": "llm", "key": "a/cold", "loaded_instances": []},
            {"type": "embedding", "key": "nomic", "loaded_instances": []},
            {"type": "llm", "key": "a/warm", "loaded_instances": [{"id": "a/warm"}]},
        ]});
        assert_eq!(models(lm_studio(&studio)), ["a/warm", "a/cold"]);
        let tags = json!({"models": [{"name": "mistral-nemo:latest"}]});
        assert_eq!(lm_studio(&tags), None);
        assert_eq!(models(ollama(&tags)), ["mistral-nemo:latest"]);
        let list = json!({"object": "list", "data": [{"id": "story"}]});
        assert_eq!((lm_studio(&list), ollama(&list)), (None, None));
        assert_eq!(models(open_ai(&list)), ["story"]);
        let page = json!({"error": "Unexpected endpoint or method."});
        assert!(
            [lm_studio, ollama, open_ai]
                .iter()
                .all(|read| read(&page).is_none())
        );
    }

    #[test]
    fn a_model_gives_its_profile_a_name_that_can_be_typed() {
        let name = |model: &str| profile(model).map(|it| it.to_string());
        assert_eq!(name("mistral-nemo:latest").as_deref(), Some("mistral-nemo"));
        assert_eq!(
            name("google/Gemma_4:26b-A4B").as_deref(),
            Some("gemma-4-26b-a4b")
        );
        assert_eq!(name("qwen3.5:7b").as_deref(), Some("qwen3.5-7b"));
        assert_eq!(name("///"), None);
    }
}
