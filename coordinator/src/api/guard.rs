//! Who may call. Where there are tokens: who shows one whose role the route needs (`roles`), in a header or, from the page, as a
//! cookie (`session`). Where there are none, whoever reaches the address may use it. What must never reach it is a page of
//! another site, open in a browser on a machine that does.
//!
//! - *DNS rebinding*: such a page has its own name resolved to this server. So a `Host` that is a name must be one that we
//!   go by ([`Options::names`]); an address in figures cannot be rebound.
//! - *Cross-site requests*: such a page posts to this server. Browsers say where a request comes from (`Sec-Fetch-Site`,
//!   in old ones `Origin`), and other programs send neither. A request that changes something must come from our own
//!   page or from no page.
//! - *Reading*: no answer carries a CORS permission, so browsers keep answers from other sites' pages.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Options;
use super::error::{ApiError, Sort};
use super::fields;
use super::roles::{self, Needs};
use crate::access::{Access, Role};

/// The page's cookie.
pub(super) const COOKIE: &str = "callsheet";

/// Turns away what must not call, and adds to every answer what a browser should know of it.
pub(super) async fn guard(
    State(options): State<Options>,
    request: Request,
    next: Next,
) -> Response {
    // What leads nowhere is answered as that, whoever asks. A route that stands in no line of the table is for operators.
    let needs = match request.extensions().get::<MatchedPath>() {
        Some(path) => {
            roles::needs(request.method(), path.as_str()).unwrap_or(Needs::Role(Role::Operate))
        }
        None => Needs::Nothing,
    };
    let checked = check(&options, request.method(), request.headers())
        .and_then(|()| admit(&options.access, needs, request.headers()));
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn check(options: &Options, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(host) = fields::header(headers, "Host")? else {
        return Err(ApiError::field("Host", "is missing; HTTP/1.1 needs it"));
    };
    if !is_ours(host, options) {
        let detail = format!(
            "this server does not go by the name in `{host}`; use its address or one of its names"
        );
        return Err(ApiError::new(Sort::WrongHost, detail));
    }
    if !method.is_safe() && !is_own_page_or_none(host, headers)? {
        let detail = "a page of another site asked for this; only this server's own page and other programs may";
        return Err(ApiError::new(Sort::CrossSite, detail));
    }
    Ok(())
}

/// Whether the caller may call what needs that.
fn admit(access: &Access, needs: Needs, headers: &HeaderMap) -> Result<(), ApiError> {
    if access.is_open() || needs == Needs::Nothing {
        return Ok(());
    }
    let token = token(headers)?;
    let role = match token {
        Some(token) => access.role_of_token(token),
        None => cookie(headers).and_then(|cookie| access.role_of_cookie(cookie)),
    };
    match (role, needs) {
        (Some(role), needs) if needs.are_met_by(role) => Ok(()),
        (Some(role), Needs::Role(needed)) => Err(ApiError::new(
            Sort::WrongRole,
            format!(
                "this token has the role {role}, and this needs {needed}: use access.{needed}_token"
            ),
        )),
        (_, _) => Err(no_role(token.is_some())),
    }
}

/// Nobody whom we know: `shown` says whether a token was shown at all.
pub(super) fn no_role(shown: bool) -> ApiError {
    let detail = match shown {
        true => "this token is none of this coordinator's; its settings have them in [access]",
        false => {
            "this coordinator asks for a token: send it as `Authorization: Bearer TOKEN`; its settings have them in [access]"
        }
    };
    ApiError::new(Sort::NoToken, detail)
}

/// The token that is shown, if any.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(given) = fields::header(headers, "Authorization")? else {
        return Ok(None);
    };
    let (scheme, token) = given.split_once(' ').unwrap_or((given, ""));
    // Another scheme is a token that nobody has: what it shows may be a password and is not repeated.
    Ok(Some(match scheme.eq_ignore_ascii_case("bearer") {
        true => token.trim(),
        false => "",
    }))
}

/// What the page's cookie holds, if it is there.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let mut cookies = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    cookies.find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn is_ours(host: &str, options: &Options) -> bool {
    let Some(names) = &options.names else {
        return true;
    };
    let name = without_port(host);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<Ipv4Addr>().is_ok()
        || name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        || names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_own_page_or_none(host: &str, headers: &HeaderMap) -> Result<bool, ApiError> {
    if let Some(site) = fields::header(headers, "Sec-Fetch-Site")? {
        return Ok(matches!(site, "same-origin" | "none"));
    }
    let Some(origin) = fields::header(headers, "Origin")? else {
        return Ok(true);
    };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    Ok(authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> Options {
        Options {
            names: Some(Vec::new()),
            ..Options::default()
        }
    }

    fn allowed(options: &Options, method: &Method, headers: &[(&'static str, &str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (
                    header::HeaderName::from_static(name),
                    value.parse().unwrap(),
                )
            })
            .collect();
        check(options, method, &headers).is_ok()
    }

    #[test]
    fn a_local_server_goes_by_localhost_and_addresses() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
            "192.168.1.7:1",
        ] {
            assert!(allowed(&local(), &Method::GET, &[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            ":80",
        ] {
            assert!(
                !allowed(&local(), &Method::GET, &[("host", host)]),
                "{host}"
            );
        }
        assert!(!allowed(&local(), &Method::GET, &[]));
    }

    #[test]
    fn a_server_for_others_goes_by_any_name_unless_it_was_told_its_names() {
        let open = Options::default();
        assert!(allowed(&open, &Method::GET, &[("host", "studio.example")]));
        let named = Options {
            names: Some(vec!["studio.example".to_owned()]),
            ..Options::default()
        };
        assert!(allowed(
            &named,
            &Method::GET,
            &[("host", "Studio.example:80")]
        ));
        assert!(!allowed(&named, &Method::GET, &[("host", "evil.example")]));
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let host = ("host", "localhost:8080");
        for mark in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "http://localhost:9999"),
            ("origin", "null"),
        ] {
            assert!(!allowed(&local(), &Method::POST, &[host, mark]), "{mark:?}");
            assert!(
                !allowed(&local(), &Method::DELETE, &[host, mark]),
                "{mark:?}"
            );
            assert!(allowed(&local(), &Method::GET, &[host, mark]), "{mark:?}");
        }
    }

    #[test]
    fn our_own_page_and_other_programs_may_post() {
        let host = ("host", "localhost:8080");
        for marks in [
            &[host] as &[_],
            &[host, ("origin", "http://localhost:8080")],
            &[
                host,
                ("sec-fetch-site", "same-origin"),
                ("origin", "https://behind-a-proxy.example"),
            ],
            &[host, ("sec-fetch-site", "none")],
        ] {
            assert!(allowed(&local(), &Method::POST, marks), "{marks:?}");
        }
    }
}
