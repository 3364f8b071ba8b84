//! What a worker tells the race, a line each on its standard output. A line is written in one piece: a worker that is
//! killed has told it or not.

use std::io::{self, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a worker tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// It turns to its job of that number.
    Turned {
        /// Which.
        number: u32,
    },
    /// It has decided, and nobody else could meanwhile.
    Decided {
        /// For how long nobody else could.
        held: Duration,
        /// How long it took to read the device for it, before and in rare cases meanwhile.
        looked: Duration,
    },
    /// The job may begin, or the worker gave up waiting.
    Waited {
        /// Whether it may begin.
        admitted: bool,
    },
    /// The job has ended.
    Ended {
        /// Whether it is done; otherwise it ran out of memory.
        done: bool,
    },
    /// It was told to stop, and has nothing in work.
    Stopped,
}

impl Report {
    /// Tells it.
    pub(crate) fn tell(&self) {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        // Nobody listens any more when the race is given up.
        let _ = io::stdout().lock().write_all(&line);
    }
}
