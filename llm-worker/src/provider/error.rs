//! Why a server gave no answer that counts.

use std::time::Duration;

use shared::failure::{Failure, FailureKind};

/// Why a server gave no answer that counts.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Nobody listens there.
    #[error("nothing answers there")]
    Unreachable(#[source] reqwest::Error),
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] reqwest::Error),
    /// The key is missing or wrong, or may not do this.
    #[error("the key is missing, wrong or has no right to this: {0}")]
    Unauthorized(String),
    /// The file of the key cannot be read.
    #[error("the file of the key, {path}, cannot be read")]
    KeyFile {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server does not have the model.
    #[error("the model is not there: {0}")]
    UnknownModel(String),
    /// The server has no such API at this URL.
    #[error("this is no such server, or not its URL: {0}")]
    WrongServer(String),
    /// The request is not one that it takes. It would not take it the next time either.
    #[error("the request was refused: {0}")]
    BadRequest(String),
    /// The prompt is longer than the context.
    #[error("the prompt does not fit the context: {0}")]
    TooLong(String),
    /// The model is still being loaded.
    #[error("the model is still loading: {0}")]
    Loading(String),
    /// The model sleeps, and must not be asked before it is awake.
    #[error("the model sleeps; wake it first")]
    Asleep,
    /// It has too much to do.
    #[error("the server is busy: {message}")]
    Busy {
        /// What it says.
        message: String,
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// A quota is used up.
    #[error("{quota}: {message}")]
    Quota {
        /// Which.
        quota: Quota,
        /// What it says.
        message: String,
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// It failed inside.
    #[error("the server failed: {0}")]
    Failed(String),
    /// It ran out of memory.
    #[error("the server ran out of memory: {0}")]
    OutOfMemory(String),
    /// The stream ended before the answer did.
    #[error("the answer is not whole: {0}")]
    Incomplete(String),
    /// The answer ran into the limit of tokens or the end of the context.
    #[error("the answer is cut after {tokens} tokens")]
    Cut {
        /// How many came.
        tokens: u32,
    },
    /// The model said nothing, or spent everything on its thoughts.
    #[error("the model said nothing")]
    Empty,
    /// The answer is far longer than what was asked for.
    #[error("the answer has no end")]
    TooMuch,
    /// The prompt or the answer was blocked for what it says.
    #[error("blocked by the service ({0}); another premise may pass")]
    Blocked(String),
    /// It took longer than the limit.
    #[error("there was no whole answer within the time limit")]
    TimedOut,
    /// Nobody wants the answer any more.
    #[error("the answer is not wanted any more")]
    Cancelled,
}

/// A limit that a service puts on its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Requests or tokens a minute.
    PerMinute,
    /// Requests or tokens a day.
    PerDay,
    /// There is none for this model, ever.
    None,
}

impl std::fmt::Display for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PerMinute => "the quota of this minute is used up",
            Self::PerDay => "the quota of this day is used up",
            Self::None => "there is no quota for this model",
        })
    }
}

impl ProviderError {
    /// The class of the failed attempt. What a user can put right (a key, a model, a server that is down) is transient: the
    /// backend takes no job before its health check has passed again, and the job waits instead of failing for good.
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::Unreachable(_)
            | Self::Broken(_)
            | Self::Unauthorized(_)
            | Self::KeyFile { .. }
            | Self::UnknownModel(_)
            | Self::WrongServer(_)
            | Self::Loading(_)
            | Self::Asleep
            | Self::Busy { .. }
            | Self::Quota { .. }
            | Self::Failed(_)
            | Self::Incomplete(_) => FailureKind::Transient,
            Self::BadRequest(_) | Self::TooLong(_) | Self::Blocked(_) => FailureKind::Permanent,
            Self::OutOfMemory(_) => FailureKind::OutOfMemory,
            Self::Cut { .. } | Self::Empty | Self::TooMuch => FailureKind::RejectedContent,
            Self::TimedOut => FailureKind::TimedOut,
            Self::Cancelled => FailureKind::Cancelled,
        }
    }

    /// How long to wait until the same question may be answered; nothing if waiting does not help. `usual` is for servers that
    /// do not say.
    pub fn passes_after(&self, usual: Duration) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. }
            | Self::Quota {
                quota: Quota::PerMinute,
                retry_after,
                ..
            } => Some(retry_after.unwrap_or(usual)),
            Self::Loading(_) => Some(usual),
            _ => None,
        }
    }

    /// The failed attempt, said of the server of that name.
    pub fn failure(&self, who: &str) -> Failure {
        let text = shared::failure::chain(self);
        Failure::new(self.kind(), format!("{who}: {text}"))
    }
}

/// Whether a text speaks of memory that was not to be had.
pub(crate) fn speaks_of_memory(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "out of memory",
        "outofmemory",
        "cudamalloc failed",
        "failed to allocate",
        "insufficient system resources",
    ]
    .iter()
    .any(|sign| text.contains(sign))
}
