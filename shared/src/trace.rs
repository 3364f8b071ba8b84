//! Traces: what a film went through, as spans that any OpenTelemetry collector takes.
//!
//! A film is one trace. Its first span is its submission, whose [`TraceContext`] is stored with the film, so that a restart of the
//! coordinator breaks no trace; from there it travels in the header [`HEADER`] of messages and HTTP requests, as the W3C writes
//! it. Two rules keep every span connected, whoever is killed:
//!
//! * a span has ended and is with the exporter before its context leaves the process: nobody can be the child of a span that
//!   is lost with somebody else's crash;
//! * children that are made within a span are handed over together with it ([`Tree`]).
//!
//! So spans are made when they end, from points in time that were noted, and not held open; many of them are waits that began
//! elsewhere. Contexts are passed on even where nothing is exported. Exporting is the feature `otlp`; without it, or without
//! a collector in the settings, all of this costs a look at a flag.

mod context;
mod span;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::broker::Message;

pub use self::context::{BadTraceContext, TraceContext, TraceId};
pub use self::span::{Ended, Kind, Span, Tree, Value};

/// The header of messages and HTTP requests that a context travels in.
pub const HEADER: &str = "traceparent";

/// Takes spans that have ended; returns at once, whatever becomes of them.
type Sink = Box<dyn Fn(Vec<Ended>) + Send + Sync>;

static SINK: OnceLock<Sink> = OnceLock::new();
static EXPORTED: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Whether spans of this process go anywhere.
pub fn is_on() -> bool {
    SINK.get().is_some()
}

/// Spans that a collector has, since this process began.
pub fn exported() -> u64 {
    EXPORTED.load(Ordering::Relaxed)
}

/// Spans that were thrown away since this process began: the collector was away or too slow.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// A request that came from outside: when, and as part of which trace.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// When it came.
    pub at: SystemTime,
    /// What it is part of, if it said so.
    pub parent: Option<TraceContext>,
}

impl Arrival {
    /// It comes now. What cannot be read as a context counts as none: a trace is not worth a refusal.
    pub fn now(header: Option<&str>) -> Self {
        Self {
            at: SystemTime::now(),
            parent: header.and_then(|text| text.parse().ok()),
        }
    }
}

/// The message as part of that, if of anything.
pub fn mark(message: Message, part_of: Option<TraceContext>) -> Message {
    match part_of {
        Some(context) => message.with_header(HEADER, context.to_string()),
        None => message,
    }
}

#[cfg(feature = "otlp")]
pub(crate) fn set_sink(sink: Sink) -> bool {
    SINK.set(sink).is_ok()
}

fn hand_over(spans: Vec<Ended>) {
    if let Some(sink) = SINK.get() {
        sink(spans);
    }
}

#[cfg(feature = "otlp")]
pub(crate) fn count(of: Fate, spans: usize) {
    let counter = match of {
        Fate::Exported => &EXPORTED,
        Fate::Dropped => &DROPPED,
    };
    counter.fetch_add(u64::try_from(spans).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// What became of spans.
#[cfg(feature = "otlp")]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    /// A collector has them.
    Exported,
    /// Nobody has them.
    Dropped,
}
