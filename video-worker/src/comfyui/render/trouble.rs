//! What can become of a render instead of a clip, each by its name, and what that means for the job.

use std::time::Duration;

use shared::failure::{Failure, FailureKind};

use crate::comfyui::client::{Lacks, NodeFailure, Refusal};
use crate::comfyui::graph::GraphError;

/// Why there is no clip.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The graph cannot be sent at all.
    #[error("the workflow cannot be run: {0}")]
    Graph(#[from] GraphError),
    /// The workflow does not take such a job.
    #[error("the workflow cannot be filled: {0}")]
    Unfit(String),
    /// The server does not run the graph.
    #[error("{0}")]
    Refused(Refusal),
    /// The server fails at our request: its words.
    #[error("ComfyUI does not take the job: {0}")]
    NotTaken(String),
    /// A node failed.
    #[error("node `{}` ({}) failed: {}: {}", .0.node, .0.class, .0.exception, .0.message)]
    Node(NodeFailure),
    /// Device or host ran out of memory, twice.
    #[error("out of memory in node `{}` ({}), once more after ComfyUI was told to free its models: {}", .0.node, .0.class, .0.message)]
    OutOfMemory(NodeFailure),
    /// No step for too long.
    #[error("node `{node}` stands at step {done} of {of} for longer than {} s; it was interrupted", limit.as_secs())]
    Stalled {
        /// The node.
        node: String,
        /// Steps done.
        done: u32,
        /// Steps in all.
        of: u32,
        /// The limit.
        limit: Duration,
    },
    /// Not a word for too long, of a node that counts no steps then.
    #[error("nothing is heard of node `{node}` for longer than {} s; it was interrupted. If it loads or decodes for longer, raise limits.silence_s, or limits.silence_of_s for this node, in the workflow", limit.as_secs())]
    Silent {
        /// The node.
        node: String,
        /// The limit.
        limit: Duration,
    },
    /// Too long altogether.
    #[error("the render took longer than its limit of {} s and was interrupted", .0.as_secs())]
    TimedOut(Duration),
    /// Nobody wants it any more.
    #[error("the render is not wanted any more")]
    Unwanted,
    /// Somebody else stopped it, again and again.
    #[error("somebody at ComfyUI stopped the render, at each of {0} tries")]
    StoppedByOthers(u32),
    /// The server is away.
    #[error("ComfyUI is away for longer than {} s: {reason}", limit.as_secs())]
    Gone {
        /// How long it was waited for.
        limit: Duration,
        /// What was tried last.
        reason: String,
    },
    /// The server answers and runs nothing.
    #[error(
        "ComfyUI answers, but its executor is dead ({0}): restart it, or set comfyui.restart in the settings"
    )]
    DeadExecutor(&'static str),
    /// The server forgets the prompt each time.
    #[error(
        "ComfyUI loses the render: it was submitted {0} times and is neither in its queue nor in its history"
    )]
    Lost(u32),
    /// The server says success and has no file of ours.
    #[error("ComfyUI says success without a new file: {0}")]
    NoResult(&'static str),
    /// The result is no file that may be fetched.
    #[error("{0}")]
    Unfetchable(String),
    /// The clip was looked at and turned down; nothing else to be done here. Already told in its own words.
    #[error("{}", .0.message)]
    Told(Failure),
}

impl Trouble {
    /// The class of the failed attempt.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Refused(refusal) => match refusal.lacks() {
                // Another worker's server may have it; this one takes no more of these before it has it.
                Lacks::Models(_) | Lacks::Node(_) => FailureKind::Transient,
                Lacks::Nothing => FailureKind::Permanent,
            },
            Self::Graph(_) | Self::Unfit(_) | Self::NotTaken(_) | Self::Unfetchable(_) => {
                FailureKind::Permanent
            }
            // What fails for its model or its input fails at the next server, too, unless the card itself is broken.
            Self::Node(failure) if failure.breaks_the_server() => FailureKind::Transient,
            Self::Node(_) => FailureKind::Permanent,
            Self::OutOfMemory(_) => FailureKind::OutOfMemory,
            Self::Stalled { .. } | Self::Silent { .. } => FailureKind::Stalled,
            Self::TimedOut(_) => FailureKind::TimedOut,
            Self::Unwanted | Self::StoppedByOthers(_) => FailureKind::Cancelled,
            // Nobody saw the work end: it may still be found there.
            Self::Gone { .. } | Self::DeadExecutor(_) | Self::Lost(_) => FailureKind::Lost,
            Self::NoResult(_) => FailureKind::RejectedContent,
            Self::Told(failure) => failure.kind,
        }
    }

    /// Whether the server should be started anew.
    pub fn wants_a_restart(&self) -> bool {
        match self {
            Self::DeadExecutor(_) => true,
            Self::Node(failure) => failure.breaks_the_server(),
            _ => false,
        }
    }

    /// As the attempt's failure.
    pub fn failure(&self) -> Failure {
        Failure::new(self.kind(), self.to_string())
    }
}
