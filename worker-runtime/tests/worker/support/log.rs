//! What is logged while a test runs.

use std::fmt;
use std::sync::{Arc, Mutex};

use shared::fields;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Event, Level, Metadata, Subscriber};

/// The log of everything that happens on this thread, from `info` on.
pub(crate) struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

/// A line: its level, what it says, and the reason in it.
#[derive(Debug, Clone, Default)]
struct Line {
    level: String,
    message: String,
    reason: String,
}

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

impl Log {
    /// Listens from now on. A test of one thread has all of its worker on it.
    pub(crate) fn of_this_test() -> Self {
        let lines = Lines::default();
        Self {
            _guard: set_default(lines.clone()),
            lines,
        }
    }

    /// The lines that say one of these things: the level of each, and its reason.
    pub(crate) fn lines(&self, said: &[&str]) -> Vec<String> {
        let lines = self.lines.0.lock().unwrap();
        let lines = lines.iter();
        lines
            .filter(|line| said.iter().any(|said| line.message.contains(said)))
            .map(|line| format!("{} {}", line.level, line.reason))
            .collect()
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            fields::REASON => self.reason = format!("{value:?}"),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line {
            level: event.metadata().level().to_string(),
            ..Line::default()
        };
        event.record(&mut line);
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
