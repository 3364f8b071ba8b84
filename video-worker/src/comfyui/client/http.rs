//! Answers of a size that is read whole.

use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::error::{ComfyError, shorten};

/// Most of an answer that is read, in bytes: a queue of many graphs has some megabytes.
const BODY_MAX: usize = 64 << 20;

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    what: &'static str,
    body: Vec<u8>,
}

impl Reply {
    pub(super) async fn read(
        mut response: Response,
        what: &'static str,
        url: &str,
    ) -> Result<Self, ComfyError> {
        let status = response.status();
        let mut body = Vec::new();
        loop {
            let piece = response.chunk().await;
            let piece = piece.map_err(|error| ComfyError::of_sending(what, url, error))?;
            let Some(piece) = piece else { break };
            if body.len() + piece.len() > BODY_MAX {
                return Err(ComfyError::Unreadable {
                    what,
                    why: format!("it is longer than {} MiB", BODY_MAX >> 20),
                });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Self { status, what, body })
    }

    /// The JSON of a success.
    pub(super) fn json(&self) -> Result<Value, ComfyError> {
        if !self.status.is_success() {
            return Err(self.unexpected());
        }
        self.any_json()
    }

    /// The JSON, whatever the status.
    pub(super) fn any_json(&self) -> Result<Value, ComfyError> {
        serde_json::from_slice(&self.body).map_err(|error| ComfyError::Unreadable {
            what: self.what,
            why: match error.is_eof() {
                true => "it ends in the middle".to_owned(),
                false => format!("it is no JSON ({})", shorten(&self.text())),
            },
        })
    }

    /// Whether it succeeded; what it says beside that does not matter.
    pub(super) fn success(&self) -> Result<(), ComfyError> {
        match self.status.is_success() {
            true => Ok(()),
            false => Err(self.unexpected()),
        }
    }

    /// The error of a status that is not expected there.
    pub(super) fn unexpected(&self) -> ComfyError {
        ComfyError::Status {
            what: self.what,
            status: self.status.as_u16(),
            said: shorten(&self.text()),
        }
    }

    /// Whether it is a page for people.
    pub(super) fn looks_like_a_page(&self) -> bool {
        let begin = self.body.trim_ascii_start();
        begin.first() == Some(&b'<')
    }

    fn text(&self) -> String {
        // The beginning says enough.
        let begin = &self.body[..self.body.len().min(2_000)];
        String::from_utf8_lossy(begin).into_owned()
    }
}
