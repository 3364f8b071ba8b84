//! What the suite asks with.

use std::time::Duration;

use llm_worker::provider::{Answer, Ask, Key, Limit, ProviderError, Server, Turn};
use llm_worker::schema::Schema;
use shared::settings::Secret;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::double::{Double, KEY, MODEL};
use crate::kinds::Kind;

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
    Server::new(kind.provider(MODEL), url, Key::None).unwrap()
}

pub(crate) fn server_with_key(kind: Kind, url: &str) -> Server {
    let key = Key::Given(Secret::new(KEY));
    Server::new(kind.provider(MODEL), url, key).unwrap()
}

/// Asks once, with patience.
pub(crate) async fn once(kind: Kind, double: &Double) -> Result<Answer, ProviderError> {
    server(kind, &double.url)
        .ask(&ask(), &limit(), &mut |_| {})
        .await
}
