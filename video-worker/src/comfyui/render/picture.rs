//! What one look at the server shows of a take. Pure.

use std::time::Duration;

use shared::time::Timestamp;

use crate::comfyui::client::{Entry, Queue};
use crate::comfyui::tag::Tag;

/// A look at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Where our prompt is.
    pub ours: Place,
    /// Whether any prompt runs.
    pub runs: bool,
    /// How many wait.
    pub pending: usize,
}

/// Where a prompt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It runs.
    Running(Found),
    /// It waits.
    Pending(Found),
    /// It has ended.
    Ended {
        /// Which submission.
        submission: u32,
        /// How.
        entry: Entry,
    },
    /// The server knows nothing of it.
    Nowhere,
}

/// A prompt of ours in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which submission.
    pub submission: u32,
    /// The WebSocket's id that hears of it.
    pub client: Option<String>,
    /// When it was sent, by the clock of who has sent it.
    pub sent_at: Option<Timestamp>,
    /// How long it has run already, if it was not seen to begin.
    pub ran_for: Duration,
}

impl Found {
    /// The same, of a server whose last prompt before it ended then: it began when it was sent, or when that one had ended.
    pub fn begun_after(mut self, last_end: Option<Timestamp>, now: Timestamp) -> Self {
        let began = self.sent_at.map(|sent_at| match last_end {
            Some(last_end) => last_end.max(sent_at),
            None => sent_at,
        });
        self.ran_for = began.map(|began| now.since(began)).unwrap_or_default();
        self
    }
}

impl Picture {
    /// The picture of a take: the queue, and the newest entry in the history. The history must have been asked after the queue:
    /// a prompt goes from one to the other.
    pub fn of(queue: &Queue, newest: Option<(u32, Entry)>, tag: &Tag) -> Self {
        let found = |list: &[crate::comfyui::client::Queued]| {
            let mut list = list.iter();
            list.find_map(|queued| {
                let theirs = queued.tag.filter(|theirs| theirs.is_same_take(tag))?;
                Some(Found {
                    submission: theirs.submission,
                    client: queued.client.clone(),
                    sent_at: queued.sent_at,
                    ran_for: Duration::ZERO,
                })
            })
        };
        let ours = match (found(&queue.running), found(&queue.pending), newest) {
            (Some(running), ..) => Place::Running(running),
            (_, Some(pending), _) => Place::Pending(pending),
            (.., Some((submission, entry))) => Place::Ended { submission, entry },
            _ => Place::Nowhere,
        };
        Self {
            ours,
            runs: !queue.running.is_empty(),
            pending: queue.pending.len(),
        }
    }
}
