//! What can go wrong between us and a ComfyUI server.

use std::path::PathBuf;

use super::refusal::Refusal;

/// Why the server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ComfyError {
    /// Nobody listens there.
    #[error(
        "ComfyUI cannot be reached at {url}: start it, or set comfyui.url in the settings to where it is"
    )]
    Unreachable {
        /// Where it should be.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke; what was asked may have been done.
    #[error("the connection to ComfyUI broke ({what})")]
    Broken {
        /// What was asked.
        what: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// No answer in time; what was asked may have been done.
    #[error("ComfyUI did not answer in time ({what})")]
    TimedOut {
        /// What was asked.
        what: &'static str,
    },
    /// Another sort of server.
    #[error("this is not ComfyUI: {why}; set comfyui.url in the settings to where ComfyUI is")]
    NotComfy {
        /// How that shows.
        why: String,
    },
    /// An answer that ends in the middle, or has another form.
    #[error("ComfyUI's answer cannot be read ({what}): {why}")]
    Unreadable {
        /// What was asked.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// It failed inside, or refused in a way that is not expected there.
    #[error("ComfyUI answered with status {status} ({what}): {said}")]
    Status {
        /// What was asked.
        what: &'static str,
        /// The status of HTTP.
        status: u16,
        /// The beginning of what it said.
        said: String,
    },
    /// It does not run that graph.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A name that leaves the folder it belongs in.
    #[error("ComfyUI names an output `{name}` in folder `{subfolder}`: such a name is not fetched")]
    UnsafeName {
        /// The file.
        name: String,
        /// The folder.
        subfolder: String,
    },
    /// A file that is not kept, or none.
    #[error(
        "ComfyUI says that the result `{name}` is of type `{kind}`; only `output` is kept there"
    )]
    NotAnOutput {
        /// The file.
        name: String,
        /// Its type.
        kind: String,
    },
    /// It is not there any more.
    #[error("ComfyUI has no file `{0}`")]
    NoFile(String),
    /// A file here could not be read or written.
    #[error("cannot use the file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The WebSocket could not be opened.
    #[error("ComfyUI's WebSocket cannot be opened")]
    Socket(#[source] Box<tokio_tungstenite::tungstenite::Error>),
}

/// How much of what a server says is repeated.
const SAID_MAX: usize = 300;

impl ComfyError {
    /// Whether the server may be away for a moment: it is being restarted, say. What was asked can be asked again.
    pub const fn is_absence(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::Socket(_) => true,
            // A proxy before a server that starts.
            Self::Status { status, .. } => matches!(status, 502..=504),
            Self::NotComfy { .. }
            | Self::Unreadable { .. }
            | Self::Refused(_)
            | Self::UnsafeName { .. }
            | Self::NotAnOutput { .. }
            | Self::NoFile(_)
            | Self::File { .. } => false,
        }
    }

    pub(crate) fn of_sending(what: &'static str, url: &str, source: reqwest::Error) -> Self {
        if source.is_connect() {
            let url = url.to_owned();
            return Self::Unreachable { url, source };
        }
        match source.is_timeout() {
            true => Self::TimedOut { what },
            false => Self::Broken { what, source },
        }
    }
}

/// The beginning of a text, on one line.
pub(crate) fn shorten(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(SAID_MAX) {
        Some((end, _)) => format!("{}…", &one_line[..end]),
        None => one_line,
    }
}
