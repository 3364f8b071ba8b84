//! Which role each route needs. Pure; a test holds it against every route there is.

#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use axum::http::Method;

use crate::access::Role;

/// Who may call a route of a coordinator that asks for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Anyone who reaches it.
    Nothing,
    /// One who may do what this role may.
    Role(Role),
}

impl Needs {
    /// Whether that role will do. Who operates may do whatever those may who submit.
    pub(super) fn are_met_by(self, role: Role) -> bool {
        match self {
            Self::Nothing => true,
            Self::Role(Role::Submit) => matches!(role, Role::Submit | Role::Operate),
            Self::Role(needed) => role == needed,
        }
    }
}

/// What a route needs, by its path as the router has it. `None`: there is no such route.
pub(super) fn needs(method: &Method, path: &str) -> Option<Needs> {
    // What answers GET answers HEAD.
    let method = match method.as_str() {
        "HEAD" => "GET",
        other => other,
    };
    Some(match (method, path) {
        ("GET", "/healthz" | "/readyz" | "/" | "/page.css" | "/page.js" | "/v1/openapi.json")
        | ("POST" | "DELETE", "/v1/session") => Needs::Nothing,
        ("GET" | "POST", "/v1/films")
        | (
            "GET",
            "/v1/films/{id}"
            | "/v1/films/{id}/events"
            | "/v1/films/{id}/film.mp4"
            | "/v1/films/{id}/film.json"
            | "/v1/films/{id}/scenes/{number}/keyframe.png"
            | "/v1/films/{id}/scenes/{number}/clip.mp4"
            | "/v1/jobs/{id}"
            | "/v1/jobs/{id}/explain"
            | "/v1/jobs/{id}/preview",
        ) => Needs::Role(Role::Submit),
        ("DELETE", "/v1/films/{id}")
        | ("GET", "/v1/workers" | "/metrics")
        | (
            "POST",
            "/v1/films/{id}/cancel"
            | "/v1/films/{id}/retry"
            | "/v1/jobs/{id}/retry"
            | "/v1/workers/{id}/pause"
            | "/v1/workers/{id}/resume",
        ) => Needs::Role(Role::Operate),
        ("GET" | "PUT", "/v1/artifacts/{sha256}") => Needs::Role(Role::Worker),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_may_what_submitters_may_and_workers_stand_aside() {
        let roles = |needs: Needs| Role::ALL.map(|role| needs.are_met_by(role));
        assert_eq!(roles(Needs::Nothing), [true, true, true]);
        assert_eq!(roles(Needs::Role(Role::Submit)), [true, true, false]);
        assert_eq!(roles(Needs::Role(Role::Operate)), [false, true, false]);
        assert_eq!(roles(Needs::Role(Role::Worker)), [false, false, true]);
    }

    #[test]
    fn what_is_no_route_needs_are_unknown_of() {
        assert_eq!(needs(&Method::PATCH, "/v1/films"), None);
        assert_eq!(needs(&Method::GET, "/v2"), None);
        let head = needs(&Method::HEAD, "/v1/workers");
        assert_eq!(head, Some(Needs::Role(Role::Operate)));
    }
}
