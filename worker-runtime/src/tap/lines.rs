//! The lines that are open: what each has in hand, and how to close it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::choose::QueueView;

/// All lines of one worker.
#[derive(Debug)]
pub(super) struct Lines {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    lines: BTreeMap<u64, Line>,
    last_line: u64,
    /// When each queue was served last, counted in deliveries.
    served: Vec<u64>,
    deliveries: u64,
}

#[derive(Debug)]
struct Line {
    queue: usize,
    /// The consumer priority that its subscription is opened with; it keeps it.
    priority: i32,
    phase: Phase,
    close: CancellationToken,
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its subscription is on the way.
    Opening,
    /// It offers to take a delivery.
    Idle,
    /// It has one in hand.
    Holding,
}

impl Lines {
    pub(super) fn new(queues: usize) -> Self {
        let state = State {
            lines: BTreeMap::new(),
            last_line: 0,
            served: vec![0; queues],
            deliveries: 0,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// Enters a line that is being opened. It is gone when the guard is dropped.
    pub(super) fn enter(self: &Arc<Self>, queue: usize, priority: i32) -> LineGuard {
        let close = CancellationToken::new();
        let mut state = self.lock();
        state.last_line += 1;
        let line = Line {
            queue,
            priority,
            phase: Phase::Opening,
            close: close.clone(),
        };
        let id = state.last_line;
        state.lines.insert(id, line);
        LineGuard {
            lines: Arc::clone(self),
            id,
            close,
        }
    }

    /// Tells that many idle lines of that queue to close.
    pub(super) fn close(&self, queue: usize, count: u32) {
        let state = self.lock();
        let idle = state
            .lines
            .values()
            .filter(|line| line.queue == queue && line.offers());
        for line in idle.take(count as usize) {
            line.close.cancel();
        }
    }

    /// Tells the idle lines of that queue that were opened with another priority to close.
    pub(super) fn close_others(&self, queue: usize, priority: i32) {
        let state = self.lock();
        let outdated =
            |line: &&Line| line.queue == queue && line.priority != priority && line.offers();
        for line in state.lines.values().filter(outdated) {
            line.close.cancel();
        }
    }

    /// The queues as the choice sees them, none of them admitted yet.
    pub(super) fn view(&self) -> Vec<QueueView> {
        let state = self.lock();
        let mut queues: Vec<_> = state
            .served
            .iter()
            .map(|served| QueueView {
                served: *served,
                ..QueueView::default()
            })
            .collect();
        for line in state.lines.values().filter(|line| line.offers()) {
            queues[line.queue].idle += 1;
        }
        queues
    }

    /// Whether a line is being opened.
    pub(super) fn any_opening(&self) -> bool {
        let state = self.lock();
        state
            .lines
            .values()
            .any(|line| line.phase == Phase::Opening)
    }

    /// Whether no line is left.
    pub(super) fn none(&self) -> bool {
        self.lock().lines.is_empty()
    }

    /// Waits for the next change since the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl Line {
    /// Whether a delivery may come in on it. One that was told to close does not count: it closes.
    fn offers(&self) -> bool {
        self.phase != Phase::Holding && !self.close.is_cancelled()
    }
}

/// A line's place among the lines.
#[derive(Debug)]
pub(super) struct LineGuard {
    lines: Arc<Lines>,
    id: u64,
    /// Fires when the line is to close as soon as it has nothing in hand.
    pub(super) close: CancellationToken,
}

impl LineGuard {
    pub(super) fn set(&self, phase: Phase) {
        let mut state = self.lines.lock();
        let deliveries = state.deliveries + u64::from(phase == Phase::Holding);
        state.deliveries = deliveries;
        let Some(line) = state.lines.get_mut(&self.id) else {
            return;
        };
        line.phase = phase;
        let queue = line.queue;
        if phase == Phase::Holding {
            state.served[queue] = deliveries;
        }
        drop(state);
        self.lines.changed.notify_one();
    }
}

impl Drop for LineGuard {
    fn drop(&mut self) {
        self.lines.lock().lines.remove(&self.id);
        self.lines.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_lines_of_another_priority_close_and_those_with_something_in_hand_stay() {
        let lines = Arc::new(Lines::new(2));
        let guards: Vec<_> = [(0, 0), (0, 10), (0, 0), (1, 0)]
            .into_iter()
            .map(|(queue, priority)| lines.enter(queue, priority))
            .collect();
        guards[0].set(Phase::Idle);
        guards[1].set(Phase::Idle);
        guards[2].set(Phase::Holding);
        guards[3].set(Phase::Idle);
        lines.close_others(0, 10);
        let closed: Vec<_> = guards
            .iter()
            .map(|guard| guard.close.is_cancelled())
            .collect();
        assert_eq!(closed, [true, false, false, false]);
        let idle: Vec<_> = lines.view().iter().map(|queue| queue.idle).collect();
        assert_eq!(idle, [1, 1]);
    }
}
