//! Films: to submit, list, show, cancel, retry and delete.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use shared::api::{FilmList, FilmView, SubmitAnswer};
use shared::film::FilmRequest;
use shared::ids::FilmId;
use shared::trace::{self, Arrival};

use super::BODY_MAX;
use super::error::{ApiError, Sort};
use super::fields::{self, PathFields, QueryFields};
use crate::coordinator::{Coordinator, SubmissionKey, Submitted};

/// Films on a page of the list, if the request does not say.
const LIMIT: u32 = 50;
/// Most films on a page of the list.
const LIMIT_MAX: u32 = 200;
/// Longest time that a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Submits a film. With an `Idempotency-Key` the same request can be repeated until it is answered, and makes one film.
#[utoipa::path(
    post, path = "/v1/films", tag = "films",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]+$",
        description = "Makes a repeat harmless: 1 to 200 visible ASCII characters, another one for each film"),
        ("traceparent" = Option<String>, Header, description = "The W3C's trace context: the film becomes part of that trace")),
    request_body(content = ref("#/components/schemas/FilmRequest"), content_type = "application/json"),
    responses(
        (status = 201, description = "Accepted: it will be finished or end with a reason",
            body = ref("#/components/schemas/SubmitAnswer"), content_type = "application/json",
            headers(("Location" = String, description = "Where the film is"))),
        (status = 200, description = "Accepted before under the same key",
            body = ref("#/components/schemas/SubmitAnswer"), content_type = "application/json",
            headers(("Location" = String, description = "Where the film is"))),
        (status = 409, description = "The key was used before for another film"),
        (status = 413, description = "The body is larger than 2 MiB"),
        (status = 415, description = "The body is not said to be application/json"),
        (status = 422, description = "The film cannot be made as asked for; `mistakes` names each field"),
    )
)]
pub(super) async fn submit_film(
    State(coordinator): State<Coordinator>,
    request: Request,
) -> Result<Response, ApiError> {
    let arrival = Arrival::now(
        request
            .headers()
            .get(trace::HEADER)
            .and_then(|value| value.to_str().ok()),
    );
    require_json(request.headers())?;
    let key = fields::idempotency_key(request.headers())?.map(SubmissionKey::Http);
    let body = read_body(request).await?;
    let film = FilmRequest::parse(&body).map_err(ApiError::mistakes)?;
    let Submitted { film, repeated } = coordinator.submit_arrived(film, key, arrival).await?;
    let status = if repeated {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let location = [(header::LOCATION, format!("/v1/films/{film}"))];
    Ok((status, location, Json(SubmitAnswer::Accepted { film })).into_response())
}

/// A form in a page of another site can post text, but not JSON without asking the browser first; so this is also a part
/// of the defence that `guard` describes.
fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = fields::header(headers, "Content-Type")?.unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    match media_type.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(ApiError::new(
            Sort::UnsupportedMediaType,
            format!("`Content-Type` is `{given}`; send JSON as `application/json`"),
        )),
    }
}

async fn read_body(request: Request) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(BODY_TIME, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("a film is described in at most {BODY_MAX} bytes");
            Err(ApiError::new(Sort::TooLarge, detail))
        }
        Ok(Err(_)) => Err(ApiError::new(
            Sort::BadRequest,
            "the body broke off; send the request again",
        )),
        Err(_) => {
            let detail = format!(
                "the body took longer than {} s; send the request again",
                BODY_TIME.as_secs()
            );
            Err(ApiError::new(Sort::TooSlow, detail))
        }
    }
}

/// Films, newest first.
#[utoipa::path(
    get, path = "/v1/films", tag = "films",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Most films to list; 50 if absent"),
        ("before" = Option<String>, Query, format = "uuid", description = "Only films older than this one: `next` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of films", body = ref("#/components/schemas/FilmList"), content_type = "application/json"),
        (status = 400, description = "A query parameter cannot be read"),
    )
)]
pub(super) async fn list_films(
    State(coordinator): State<Coordinator>,
    query: QueryFields,
) -> Result<Json<FilmList>, ApiError> {
    let query = query.only(&["limit", "before"])?;
    let limit = query.get("limit")?.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::field(
            "limit",
            format!("{limit} films; ask for 1 to {LIMIT_MAX}"),
        ));
    }
    let before = query.get::<FilmId>("before")?;
    Ok(Json(coordinator.films(before, limit).await?))
}

/// Everything about a film.
#[utoipa::path(
    get, path = "/v1/films/{id}", tag = "films",
    params(("id" = String, Path, format = "uuid", description = "The film")),
    responses(
        (status = 200, description = "The film", body = ref("#/components/schemas/FilmView"), content_type = "application/json"),
        (status = 404, description = "There is no such film"),
    )
)]
pub(super) async fn show_film(
    State(coordinator): State<Coordinator>,
    path: PathFields,
) -> Result<Json<FilmView>, ApiError> {
    Ok(Json(coordinator.film(path.film()?).await?))
}

/// Cancels a film: nothing of it starts any more, and what runs is stopped.
#[utoipa::path(
    post, path = "/v1/films/{id}/cancel", tag = "films",
    params(("id" = String, Path, format = "uuid", description = "The film")),
    responses(
        (status = 200, description = "The film as it is now", body = ref("#/components/schemas/FilmView"), content_type = "application/json"),
        (status = 404, description = "There is no such film"),
        (status = 409, description = "It is completed"),
    )
)]
pub(super) async fn cancel_film(
    State(coordinator): State<Coordinator>,
    path: PathFields,
) -> Result<Json<FilmView>, ApiError> {
    Ok(Json(coordinator.cancel_film(path.film()?).await?))
}

/// Gives every failed job of a film new tries.
#[utoipa::path(
    post, path = "/v1/films/{id}/retry", tag = "films",
    params(("id" = String, Path, format = "uuid", description = "The film")),
    responses(
        (status = 200, description = "The film as it is now", body = ref("#/components/schemas/FilmView"), content_type = "application/json"),
        (status = 404, description = "There is no such film"),
        (status = 409, description = "Nothing of it failed"),
    )
)]
pub(super) async fn retry_film(
    State(coordinator): State<Coordinator>,
    path: PathFields,
) -> Result<Json<FilmView>, ApiError> {
    Ok(Json(coordinator.retry_film(path.film()?).await?))
}

/// Forgets a film that has ended. Its files go with the next clean-up, unless another film has them too.
#[utoipa::path(
    delete, path = "/v1/films/{id}", tag = "films",
    params(("id" = String, Path, format = "uuid", description = "The film")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = 404, description = "There is no such film"),
        (status = 409, description = "It has not ended; cancel it first"),
    )
)]
pub(super) async fn delete_film(
    State(coordinator): State<Coordinator>,
    path: PathFields,
) -> Result<StatusCode, ApiError> {
    coordinator.delete_film(path.film()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
