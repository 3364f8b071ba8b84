//! A prompt that was sent: what is known of how far it is, and when that is too long ago. Pure.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use tokio::time::Instant;

use super::trouble::Trouble;
use crate::comfyui::client::Word;
use crate::comfyui::graph::Limits;

/// A prompt that runs or waits.
#[derive(Debug, Clone, Default)]
pub(super) struct Follow {
    /// Since when it is known to run.
    pub(super) running_since: Option<Instant>,
    /// When the queue was looked at last.
    pub(super) looked_at: Option<Instant>,
    /// When its end was heard of.
    pub(super) ended_at: Option<Instant>,
    /// How often in a row the server knew nothing of it.
    pub(super) misses: u32,
    /// The node at work, if it was told.
    pub(super) node: Option<String>,
    /// The last step of that node.
    step: Option<Step>,
    /// When a word of it was heard last.
    heard_at: Option<Instant>,
    /// Whether the server surely tells us each step: not after a connection was lost, when it may be deaf to a new one.
    pub(super) hears: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    done: u32,
    of: u32,
    at: Instant,
}

impl Follow {
    /// A prompt that was sent with an open WebSocket, or one that was found.
    pub(super) fn new(hears: bool) -> Self {
        Self {
            hears,
            ..Self::default()
        }
    }

    /// Takes in a word.
    pub(super) fn hear(&mut self, word: Word, now: Instant) {
        if matches!(word, Word::Node(_) | Word::Step { .. }) {
            self.heard_at = Some(now);
        }
        match word {
            Word::Node(node) => {
                self.running_since.get_or_insert(now);
                if self.node.as_ref() != Some(&node) {
                    self.node = Some(node);
                    self.step = None;
                }
            }
            Word::Step { node, done, of } => {
                self.running_since.get_or_insert(now);
                let is_new = self.node.as_ref() != Some(&node)
                    || self
                        .step
                        .is_none_or(|last| (last.done, last.of) != (done, of));
                self.node = Some(node);
                // The same step is told twice, in two ways.
                if is_new {
                    self.step = Some(Step { done, of, at: now });
                }
            }
            Word::Ended => self.ended_at = Some(now),
            Word::Else => {}
        }
    }

    /// Steps done and in all of the node at work; 0 while there are none.
    pub(super) fn steps(&self) -> (u32, u32) {
        self.step.map_or((0, 0), |step| (step.done, step.of))
    }

    /// What is too long by now.
    pub(super) fn overdue(&self, limits: &Limits, now: Instant) -> Option<Trouble> {
        let since = self.running_since?;
        if now.duration_since(since) > limits.time {
            return Some(Trouble::TimedOut(limits.time));
        }
        // Of a server that has never said a word, or may not be heard any more, silence tells nothing.
        let (true, Some(heard_at), Some(node)) = (self.hears, self.heard_at, &self.node) else {
            return None;
        };
        // After its last step a node saves or hands over, and before its first one it loads: both are silent for longer.
        match self.step.filter(|step| (1..step.of).contains(&step.done)) {
            Some(step) => {
                let stands = now.duration_since(step.at) > limits.stall;
                stands.then(|| Trouble::Stalled {
                    node: node.clone(),
                    done: step.done,
                    of: step.of,
                    limit: limits.stall,
                })
            }
            None => {
                let limit = limits.silence_of(node);
                let is_silent = now.duration_since(heard_at) > limit;
                is_silent.then(|| Trouble::Silent {
                    node: node.clone(),
                    limit,
                })
            }
        }
    }
}
