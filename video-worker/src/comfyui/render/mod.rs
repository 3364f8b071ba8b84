//! One take at a ComfyUI server, from looking for what is there already to the file: [`Render`] decides what to do next by what
//! was seen, and does nothing itself. The driver does it and tells what came of it.

mod decide;
mod follow;
mod judge;
mod pace;
mod picture;
mod trouble;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::decide::Render;
pub use self::picture::{Found, Picture, Place};
pub use self::trouble::Trouble;

use super::client::{Entry, OutputFile, Word};
use super::tag::Tag;
use shared::failure::Failure;

/// What was seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Nothing yet: the beginning.
    Begin,
    /// The server, after [`Do::Look`].
    Picture(Picture),
    /// How our prompt ended, or that it has not, after [`Do::Peek`].
    Entry(Option<Entry>),
    /// A file with the name of this take, after [`Do::Find`].
    File(Option<OutputFile>),
    /// What became of [`Do::Submit`].
    Submitted(Submitted),
    /// A word over the WebSocket, while listening.
    Word(Word),
    /// The WebSocket is gone, so that no step is heard of any more until it is back.
    Deaf,
    /// The time to listen is over.
    Time,
    /// The server could not be asked.
    Away(String),
    /// The server was told to free its memory, after [`Do::Free`]; whether that was seen to happen.
    Freed(bool),
    /// The command that starts the server anew has ended, after [`Do::Restart`].
    Restarted,
    /// A file could not be made ours, after [`Do::Collect`].
    NotCollected(NotCollected),
    /// Nobody wants the result any more.
    Unwanted,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// The server has it.
    Taken,
    /// The server may have it: its answer was lost.
    Unclear,
    /// It does not take it.
    Refused(Trouble),
}

/// Why a file is not ours.
#[derive(Debug, Clone, PartialEq)]
pub enum NotCollected {
    /// The server has no such file.
    Missing,
    /// The content check turned it down.
    Rejected(Failure),
    /// It could not be stored here.
    Failed(Failure),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Do {
    /// Look at the queue, then at the history.
    Look,
    /// Ask for the end of our prompt alone: that is cheap.
    Peek,
    /// Look for a file with the name of one of this take's submissions.
    Find,
    /// Write down that submission, then send it.
    Submit(Tag),
    /// Listen for words, at most for so long.
    Listen(Duration),
    /// Take that prompt out of the line, and stop it if it runs.
    Stop(Tag),
    /// Have the server free its memory, and see whether it does.
    Free,
    /// Start the server anew.
    Restart,
    /// Fetch that file, check it and store it.
    Collect(OutputFile),
    /// There is no clip.
    Fail(Trouble),
}

/// What the settings say about patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long a server that is away is waited for.
    pub patience: Duration,
    /// Whether it can be started anew from here.
    pub can_restart: bool,
}
