//! What the suite asks with.

use std::time::Duration;

use llm_double::{Double, KEY, Kind, MODEL};
use llm_worker::provider::{
    Answer, Ask, Gemini, Key, Limit, Ollama, OpenAi, Provider, ProviderError, Server, Turn,
};
use llm_worker::schema::Schema;
use shared::settings::Secret;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What that kind of server is spoken to with.
pub(crate) fn provider(kind: Kind, model: &str) -> Box<dyn Provider> {
    let model = model.to_owned();
    match kind {
        Kind::LlamaServer | Kind::Router | Kind::LmStudio | Kind::Vllm => {
            Box::new(OpenAi { model })
        }
        Kind::Ollama => Box::new(Ollama {
            model,
            context: 8_192,
            on_processor: false,
        }),
        Kind::Gemini => Box::new(Gemini { model }),
    }
}

pub(crate) fn ask() -> Ask {
    Ask {
        system: "You name films.".to_owned(),
        turns: vec![Turn::User(
            "A lighthouse keeper befriends a storm".to_owned(),
        )],
        name: "film",
        schema: Schema::Object(vec![("title", Schema::text(40))]),
        max_tokens: 100,
        temperature: 0.7,
        seed: 7,
        threads: None,
    }
}

/// Long enough for everything that ends by itself.
pub(crate) fn limit() -> Limit {
    Limit {
        deadline: Instant::now() + Duration::from_secs(10),
        cancelled: CancellationToken::new(),
    }
}

pub(crate) fn server(kind: Kind, url: &str) -> Server {
    Server::new(provider(kind, MODEL), url, Key::None).unwrap()
}

pub(crate) fn server_with_key(kind: Kind, url: &str) -> Server {
    let key = Key::Given(Secret::new(KEY));
    Server::new(provider(kind, MODEL), url, key).unwrap()
}

/// Asks once, with patience.
pub(crate) async fn once(kind: Kind, double: &Double) -> Result<Answer, ProviderError> {
    server(kind, &double.url)
        .ask(&ask(), &limit(), &mut |_| {})
        .await
}
