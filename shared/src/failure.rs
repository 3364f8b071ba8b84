//! Why an attempt failed, classified once, near where it failed. The retry rule looks at nothing else.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The classes of failure that the retry rule tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// It may pass by itself: a server restarted, a disk was full, a connection broke.
    Transient,
    /// It will fail the same way again: a graph that does not validate, a script that cannot be read.
    Permanent,
    /// The device or the host ran out of memory.
    OutOfMemory,
    /// It ran longer than its time limit.
    TimedOut,
    /// It was running but made no step for longer than the stall limit.
    Stalled,
    /// It produced something, and the content check turned it down: blank, frozen, wrong length.
    RejectedContent,
    /// Someone stopped it: the coordinator, or a person at the backend.
    Cancelled,
    /// Nobody heard of its worker for longer than the lease.
    Lost,
}

impl FailureKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Transient,
        Self::Permanent,
        Self::OutOfMemory,
        Self::TimedOut,
        Self::Stalled,
        Self::RejectedContent,
        Self::Cancelled,
        Self::Lost,
    ];

    /// Whether another attempt can end otherwise.
    pub const fn is_worth_a_retry(self) -> bool {
        match self {
            Self::Transient
            | Self::OutOfMemory
            | Self::TimedOut
            | Self::Stalled
            | Self::RejectedContent
            | Self::Cancelled
            | Self::Lost => true,
            Self::Permanent => false,
        }
    }

    /// Whether someone saw the work end badly. Only then may a new take be rendered; otherwise the old one may still be
    /// found in a backend.
    pub const fn is_judged(self) -> bool {
        match self {
            Self::Transient
            | Self::Permanent
            | Self::OutOfMemory
            | Self::TimedOut
            | Self::Stalled
            | Self::RejectedContent => true,
            Self::Cancelled | Self::Lost => false,
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::OutOfMemory => "out of memory",
            Self::TimedOut => "timed out",
            Self::Stalled => "stalled",
            Self::RejectedContent => "rejected content",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        })
    }
}

/// A failed attempt: its class and what to tell a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Failure {
    /// The class.
    pub kind: FailureKind,
    /// What failed and what can be done, for a person; at most a few hundred characters.
    pub message: String,
}

impl Failure {
    /// A failure of that class.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// A failure with an error and its whole chain of sources as the message.
    pub fn from_error(kind: FailureKind, error: &dyn std::error::Error) -> Self {
        Self::new(kind, chain(error))
    }
}

/// An error with all its sources in one line, outermost first.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
