//! How the page comes in where tokens are asked for.
//!
//! A browser can show no token where it loads an image, a film or a stream of events: so the page shows it once, and gets a cookie
//! that no script can read and that no page of another site is sent with. It holds a hash in the token's place, and goes when the
//! browser is closed.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Options;
use super::error::{ApiError, Sort};
use super::guard::{self, COOKIE};
use crate::access::{Access, Role};

/// Signs a browser in: shown a token, it answers with a cookie that stands for it.
#[utoipa::path(
    post, path = "/v1/session", tag = "access",
    params(("Authorization" = Option<String>, Header, description = "`Bearer TOKEN`, of the role submit or operate")),
    responses(
        (status = 204, description = "Signed in; or nothing is to be shown here, as this coordinator asks for no tokens",
            headers(("Set-Cookie" = String, description = "Where tokens are asked for"))),
        (status = 401, description = "The token is none of this coordinator's"),
        (status = 403, description = "It is the token of workers, who have no use for the page"),
    )
)]
pub(super) async fn sign_in(
    State(options): State<Options>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if options.access.is_open() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let token = guard::token(&headers)?;
    let role = token.and_then(|token| options.access.role_of_token(token));
    match (token, role) {
        (Some(token), Some(Role::Submit | Role::Operate)) => {
            Ok(with_cookie(&Access::cookie(token), "", &options, &headers))
        }
        (Some(_), Some(Role::Worker)) => Err(ApiError::new(
            Sort::WrongRole,
            "this is the token of workers; the page needs one of the role submit or operate",
        )),
        (token, _) => Err(guard::no_role(token.is_some())),
    }
}

/// Signs a browser out.
#[utoipa::path(
    delete, path = "/v1/session", tag = "access",
    responses((status = 204, description = "The cookie is taken back", headers(("Set-Cookie" = String, description = "An empty one")))),
)]
pub(super) async fn sign_out(State(options): State<Options>, headers: HeaderMap) -> Response {
    with_cookie("", "; Max-Age=0", &options, &headers)
}

fn with_cookie(value: &str, more: &str, options: &Options, headers: &HeaderMap) -> Response {
    // A proxy that does TLS says so; without TLS, a browser would send a secure cookie nowhere.
    let is_behind_tls = headers
        .get("x-forwarded-proto")
        .is_some_and(|scheme| scheme == "https");
    let is_secure = options.is_https || is_behind_tls;
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}");
    let mut cookie = HeaderValue::from_str(&cookie).expect("it consists of words and digits");
    cookie.set_sensitive(true);
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}
