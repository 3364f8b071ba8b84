//! What is sent, and an answer that is no stream.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

/// Longest piece of a server's text that is shown to people, in characters.
const SHOWN_MAX: usize = 240;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The path with its query, from the server's root.
    pub path: String,
    /// The JSON that is posted; nothing for a `GET`.
    pub body: Option<String>,
}

impl Call {
    /// A `GET`.
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            body: None,
        }
    }

    /// A `POST`.
    pub fn post(path: impl Into<String>, body: &impl Serialize) -> Self {
        let body = serde_json::to_string(body);
        Self {
            path: path.into(),
            body: Some(body.expect("texts, numbers and lists can be written as JSON")),
        }
    }
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, without the key if it was repeated there.
    pub body: String,
    /// What `Retry-After` says.
    pub retry_after: Option<Duration>,
}

impl Reply {
    /// Whether the status is one of success. That alone says little: some servers answer 200 to a path they do not know.
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.body).ok()
    }

    /// What it says, for a person: the message of an error if there is one, else the beginning of the body.
    pub fn message(&self) -> String {
        let json = self.json().unwrap_or_default();
        let error = &json["error"];
        let said = error["message"]
            .as_str()
            .or_else(|| error.as_str())
            .or_else(|| json["message"].as_str());
        match said {
            Some(said) => shown(said),
            None if self.body.trim().is_empty() => format!("status {} and no text", self.status),
            None => format!("status {}: {}", self.status, shown(&self.body)),
        }
    }
}

/// A server's text in one line and shortened.
pub(super) fn shown(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_every_form_of_error_is_found() {
        let message = |body: &str| {
            let reply = Reply {
                status: 500,
                body: body.to_owned(),
                retry_after: None,
            };
            reply.message()
        };
        assert_eq!(message(r#"{"error":{"message":"a\nb"}}"#), "a b");
        assert_eq!(message(r#"{"error":"c"}"#), "c");
        assert_eq!(message(r#"{"message":"d"}"#), "d");
        assert_eq!(message("proxy error"), "status 500: proxy error");
        assert_eq!(message(""), "status 500 and no text");
        assert_eq!(message(&"é".repeat(5_000)).chars().count(), 12 + 241);
    }
}
