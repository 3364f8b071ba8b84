//! What is answered when something is not done: a problem as RFC 9457 describes it.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use shared::api::Problem;
use shared::artifacts::ArtifactError;
use shared::failure::chain;
use shared::film::Mistake;

use crate::coordinator::AskError;

/// Longest text in a problem, in characters: what is wrong with a megabyte of input need not repeat it.
const TEXT_MAX: usize = 500;

/// The sorts of problem. Each has its own `type`, title and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    BadRequest,
    NoToken,
    CrossSite,
    WrongRole,
    NoSuchRoute,
    NotFound,
    NotThereYet,
    MethodNotAllowed,
    TooSlow,
    Conflict,
    KeyReused,
    LengthRequired,
    TooLarge,
    UnsupportedMediaType,
    RangeNotSatisfiable,
    WrongHost,
    Mistaken,
    Damaged,
    FileLost,
    StoreFailed,
    NotReady,
    StoreFull,
}

impl Sort {
    /// The last part of its `type`, its title and its status.
    const fn parts(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::BadRequest => (
                "bad-request",
                "The request cannot be read",
                StatusCode::BAD_REQUEST,
            ),
            Self::NoToken => (
                "no-token",
                "The request shows no token that is known here",
                StatusCode::UNAUTHORIZED,
            ),
            Self::CrossSite => (
                "cross-site",
                "The request comes from another site",
                StatusCode::FORBIDDEN,
            ),
            Self::WrongRole => (
                "wrong-role",
                "The token is for other things",
                StatusCode::FORBIDDEN,
            ),
            Self::NoSuchRoute => (
                "no-such-route",
                "There is nothing here",
                StatusCode::NOT_FOUND,
            ),
            Self::NotFound => ("not-found", "There is no such thing", StatusCode::NOT_FOUND),
            Self::NotThereYet => ("not-there-yet", "It is not made yet", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                "This cannot be done here",
                StatusCode::METHOD_NOT_ALLOWED,
            ),
            Self::TooSlow => (
                "too-slow",
                "The request took too long to arrive",
                StatusCode::REQUEST_TIMEOUT,
            ),
            Self::Conflict => (
                "conflict",
                "It cannot be done as things stand",
                StatusCode::CONFLICT,
            ),
            Self::KeyReused => (
                "key-reused",
                "The idempotency key was used before",
                StatusCode::CONFLICT,
            ),
            Self::LengthRequired => (
                "length-required",
                "The request does not say how long it is",
                StatusCode::LENGTH_REQUIRED,
            ),
            Self::TooLarge => (
                "too-large",
                "The request is too large",
                StatusCode::PAYLOAD_TOO_LARGE,
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                "The body must be JSON",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ),
            Self::RangeNotSatisfiable => (
                "range-not-satisfiable",
                "The file has no such part",
                StatusCode::RANGE_NOT_SATISFIABLE,
            ),
            Self::WrongHost => (
                "wrong-host",
                "The request is meant for another host",
                StatusCode::MISDIRECTED_REQUEST,
            ),
            Self::Mistaken => (
                "mistakes",
                "The film cannot be made as asked for",
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
            Self::Damaged => (
                "damaged",
                "The file is not what it is said to be",
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
            Self::FileLost => (
                "file-lost",
                "The file is lost",
                StatusCode::INTERNAL_SERVER_ERROR,
            ),
            Self::StoreFailed => (
                "store-failed",
                "The store cannot be used",
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            Self::NotReady => (
                "not-ready",
                "The coordinator is not ready",
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            Self::StoreFull => (
                "store-full",
                "There is no more room",
                StatusCode::INSUFFICIENT_STORAGE,
            ),
        }
    }
}

/// Why a request is not done. Becomes a response; its source goes to the log only.
#[derive(Debug)]
pub(super) struct ApiError {
    sort: Sort,
    detail: String,
    mistakes: Vec<Mistake>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    content_range: Option<HeaderValue>,
}

impl ApiError {
    /// A problem of that sort.
    pub(super) fn new(sort: Sort, detail: impl Into<String>) -> Self {
        Self {
            sort,
            detail: detail.into(),
            mistakes: Vec::new(),
            source: None,
            content_range: None,
        }
    }

    /// A part of the path, of the query or of the headers that cannot be read.
    pub(super) fn field(name: &str, problem: impl Into<String>) -> Self {
        let mistake = Mistake::new(name, problem);
        Self {
            detail: shorten(&mistake.to_string()),
            mistakes: vec![mistake],
            ..Self::new(Sort::BadRequest, "")
        }
    }

    /// A film that cannot be made.
    pub(super) fn mistakes(mistakes: Vec<Mistake>) -> Self {
        let detail = match mistakes.as_slice() {
            [only] => only.to_string(),
            many => format!("{} mistakes; nothing was accepted", many.len()),
        };
        Self {
            mistakes,
            ..Self::new(Sort::Mistaken, detail)
        }
    }

    /// A file of `size` bytes that has no such part.
    pub(super) fn range_not_satisfiable(size: u64) -> Self {
        let detail = format!("the file has {size} bytes; ask for a part of them");
        Self {
            content_range: HeaderValue::from_str(&format!("bytes */{size}")).ok(),
            ..Self::new(Sort::RangeNotSatisfiable, detail)
        }
    }

    /// The same with what a log should say of it.
    pub(super) fn because(
        self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        let text = error.to_string();
        match error {
            AskError::NotFound(_) => Self::new(Sort::NotFound, text),
            AskError::Conflict(_) => Self::new(Sort::Conflict, text),
            AskError::KeyReused => Self::new(Sort::KeyReused, text),
            AskError::Store(source) => Self::new(
                Sort::StoreFailed,
                "the coordinator cannot use its store just now and its log says why; try again, a submission with the same \
                 Idempotency-Key",
            )
            .because(source),
        }
    }
}

impl From<ArtifactError> for ApiError {
    fn from(error: ArtifactError) -> Self {
        let lost = matches!(error, ArtifactError::Missing(_) | ArtifactError::Damaged(_));
        match lost {
            true => Self::new(
                Sort::FileLost,
                "the film has this file, but the artifact store has lost it; its log says more",
            ),
            false => Self::new(
                Sort::StoreFailed,
                "the artifact store cannot be read just now and the coordinator's log says why; try again",
            ),
        }
        .because(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (name, title, status) = self.sort.parts();
        if let Some(source) = &self.source {
            tracing::error!(error = %chain(source.as_ref()), problem = name, "a request could not be answered");
        }
        let problem = Problem {
            kind: format!("urn:callsheet:problem:{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: shorten(&self.detail),
            mistakes: self
                .mistakes
                .into_iter()
                .map(|mistake| Mistake::new(shorten(&mistake.field), shorten(&mistake.problem)))
                .collect(),
        };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"callsheet\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(range) = self.content_range {
            headers.insert(header::CONTENT_RANGE, range);
        }
        response
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Answers for every path that is none.
pub(super) async fn no_such_route(uri: Uri) -> ApiError {
    let detail = format!(
        "there is nothing at `{}`; /v1/openapi.json lists what there is",
        uri.path()
    );
    ApiError::new(Sort::NoSuchRoute, detail)
}

/// Answers for every method that a path does not have; the header `Allow` is added by the router.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    let detail = format!(
        "`{}` does not take {method}; the header `Allow` says what it takes",
        uri.path()
    );
    ApiError::new(Sort::MethodNotAllowed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_says_of_itself_stays_inside() {
        let error = ApiError::from(AskError::Store("disk I/O error in /secret/place".into()));
        assert!(!error.detail.contains("secret"), "{}", error.detail);
        assert_eq!(
            error.into_response().status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shorten("né"), "né");
        assert_eq!(shorten(&"é".repeat(TEXT_MAX)), "é".repeat(TEXT_MAX));
        assert_eq!(
            shorten(&"é".repeat(TEXT_MAX + 1)),
            format!("{}…", "é".repeat(TEXT_MAX))
        );
    }
}
