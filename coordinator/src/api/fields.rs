//! The parts of a request that are not its body: path, query and headers. A mistake names its part.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use shared::ids::FilmId;

use super::error::ApiError;

/// Longest idempotency key, in characters.
const KEY_MAX: usize = 200;

/// The named parts of the path.
#[derive(Debug)]
pub(super) struct PathFields(RawPathParams);

impl PathFields {
    /// The part of that name.
    pub(super) fn get<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, ApiError> {
        let text = self
            .0
            .iter()
            .find(|(key, _)| *key == name)
            .map_or("", |(_, text)| text);
        parse(name, text)
    }

    /// The film.
    pub(super) fn film(&self) -> Result<FilmId, ApiError> {
        self.get("id")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathFields {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        RawPathParams::from_request_parts(parts, state)
            .await
            .map(Self)
            .map_err(|error| ApiError::field("path", error.body_text()))
    }
}

/// The query, read strictly: a name that means nothing here is a mistake, not a wish that is silently passed over.
#[derive(Debug)]
pub(super) struct QueryFields(Vec<(String, String)>);

impl QueryFields {
    /// Checks that there are no other names than these, and none twice.
    pub(super) fn only(self, known: &[&str]) -> Result<Self, ApiError> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(ApiError::field(
                    name,
                    format!("means nothing here; known are {}", known.join(", ")),
                ));
            }
            if self.0[..index].iter().any(|(other, _)| other == name) {
                return Err(ApiError::field(name, "is given twice; give it once"));
            }
        }
        Ok(self)
    }

    /// The value of that name, if it is there.
    pub(super) fn get<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, text)| parse(name, text)).transpose()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for QueryFields {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(
            url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        ))
    }
}

/// The value of a header that may be given once and is plain text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(ApiError::field(
                name,
                "holds characters other than visible ASCII",
            )),
        },
        (Some(_), Some(_)) => Err(ApiError::field(name, "is given twice; give it once")),
    }
}

/// The idempotency key, if there is one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(key) = header(headers, "Idempotency-Key")? else {
        return Ok(None);
    };
    match (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Some(key.to_owned())),
        false => Err(ApiError::field(
            "Idempotency-Key",
            format!(
                "a key has 1 to {KEY_MAX} visible ASCII characters and no spaces; a new UUID does well"
            ),
        )),
    }
}

/// Reads the value of a field.
pub(super) fn parse<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, ApiError> {
    text.parse()
        .map_err(|error: T::Err| ApiError::field(name, error.to_string()))
}
