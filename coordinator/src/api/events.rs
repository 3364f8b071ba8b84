//! What happens to a film, as server-sent events.
//!
//! Nothing is gathered here: the next event is asked for when the connection has room for it, so a slow reader holds up
//! only itself.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use futures::StreamExt;
use futures::stream::BoxStream;

use super::error::ApiError;
use super::fields::{self, PathFields, QueryFields};
use super::serving::Shutdown;
use crate::coordinator::{Coordinator, Numbered};

/// How often a silent stream says that it is there: proxies cut what is silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What happened to a film and what happens, until it has ended.
#[utoipa::path(
    get, path = "/v1/films/{id}/events", tag = "films",
    params(
        ("id" = String, Path, format = "uuid", description = "The film"),
        ("Last-Event-ID" = Option<u64>, Header, description = "Only events after the one with this `id`; browsers send it by themselves"),
        ("after" = Option<u64>, Query, description = "The same for clients that cannot set headers; the header wins"),
    ),
    responses(
        (status = 200, description = "Server-sent events: `event` is the tag, `id` the number of an event that is kept, `data` a FilmEvent. \
            Progress is not kept and has no number. The stream ends after the event that ends the film",
            body = ref("#/components/schemas/FilmEvent"), content_type = "text/event-stream"),
        (status = 204, description = "The film has ended and nothing came after that event; a browser then stops asking"),
        (status = 400, description = "The number cannot be read"),
        (status = 404, description = "There is no such film"),
    )
)]
pub(super) async fn watch_film(
    State(coordinator): State<Coordinator>,
    path: PathFields,
    query: QueryFields,
    headers: HeaderMap,
    shutdown: Option<Extension<Shutdown>>,
) -> Result<Response, ApiError> {
    let id = path.film()?;
    let in_query = query.only(&["after"])?.get("after")?;
    let after = match fields::header(&headers, "Last-Event-ID")? {
        Some(text) => Some(fields::parse("Last-Event-ID", text)?),
        None => in_query,
    };
    let ended = after.is_some() && coordinator.film(id).await?.summary.status.is_final();
    let mut events = coordinator.events(id, after).await?.peekable();
    if ended && std::pin::Pin::new(&mut events).peek().await.is_none() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events: BoxStream<'static, Numbered> = match shutdown {
        Some(Extension(Shutdown(token))) => events.take_until(token.cancelled_owned()).boxed(),
        None => events.boxed(),
    };
    let lines = events.map(|event| Ok::<_, Infallible>(line(&event)));
    Ok(Sse::new(lines)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response())
}

fn line(numbered: &Numbered) -> Event {
    let event = Event::default()
        .event(numbered.event.what.name())
        .json_data(&numbered.event)
        .expect("events consist of strings, numbers and lists, which JSON can hold");
    match numbered.number {
        Some(number) => event.id(number.to_string()),
        None => event,
    }
}
