//! Which span of which trace: the W3C's `traceparent`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A trace. That of a film whose submission was part of no other is called like the film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A place in a trace: what comes from it is a child of that span. Written as `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceContext {
    trace: u128,
    span: u64,
    /// Whether its spans are wanted by whoever began the trace.
    sampled: bool,
}

/// Text that is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no trace context: it is written as 00-TRACE-SPAN-01, with 32 and 16 hexadecimal digits")]
pub struct BadTraceContext;

impl TraceContext {
    /// The first span of a trace that is called like this, as the film with that id.
    pub fn first(trace: u128) -> Self {
        Self {
            // No trace is called 0.
            trace: trace.max(1),
            span: fresh(),
            sampled: true,
        }
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn next(self) -> Self {
        Self {
            span: fresh(),
            ..self
        }
    }

    /// The trace.
    pub const fn trace_id(self) -> TraceId {
        TraceId(self.trace)
    }

    /// Whether its spans are wanted.
    pub const fn is_sampled(self) -> bool {
        self.sampled
    }

    #[cfg(feature = "otlp")]
    pub(crate) const fn bits(self) -> (u128, u64) {
        (self.trace, self.span)
    }
}

/// A span's id: the random half of a version 7 UUID, which is never 0 for the variant in it.
fn fresh() -> u64 {
    Uuid::now_v7().as_u64_pair().1
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace,
            span,
            sampled,
        } = self;
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", u8::from(*sampled))
    }
}

impl FromStr for TraceContext {
    type Err = BadTraceContext;

    fn from_str(text: &str) -> Result<Self, BadTraceContext> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (
            part(parts.next(), 2)?,
            part(parts.next(), 32)?,
            part(parts.next(), 16)?,
            part(parts.next(), 2)?,
        );
        // Later versions may add parts, this one has none.
        let is_this_version = version == 0 && parts.next().is_none();
        let is_later = (1..0xff).contains(&version);
        let span = u64::try_from(span).map_err(|_| BadTraceContext)?;
        if trace == 0 || span == 0 || !(is_this_version || is_later) {
            return Err(BadTraceContext);
        }
        Ok(Self {
            trace,
            span,
            sampled: flags & 1 == 1,
        })
    }
}

fn part(text: Option<&str>, digits: usize) -> Result<u128, BadTraceContext> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.filter(|text| text.len() == digits && text.bytes().all(is_digit))
        .and_then(|text| u128::from_str_radix(text, 16).ok())
        .ok_or(BadTraceContext)
}

impl TryFrom<String> for TraceContext {
    type Error = BadTraceContext;

    fn try_from(text: String) -> Result<Self, BadTraceContext> {
        text.parse()
    }
}

impl From<TraceContext> for String {
    fn from(context: TraceContext) -> Self {
        context.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_is_written_as_it_was_read() {
        let context: TraceContext = TEXT.parse().unwrap();
        assert_eq!(context.to_string(), TEXT);
        assert!(context.is_sampled());
        assert_eq!(
            context.trace_id().to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        let unwanted: TraceContext = TEXT.replace("-01", "-00").parse().unwrap();
        assert!(!unwanted.is_sampled());
        assert!(!unwanted.next().is_sampled(), "nor is what comes from it");
    }

    #[test]
    fn what_is_no_context_is_none() {
        for text in [
            "",
            "00",
            &TEXT[..54],
            &TEXT.to_uppercase(),
            &TEXT.replace("00-", "ff-"),
            &format!("{TEXT}-more"),
            &TEXT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &TEXT.replace("b7ad6b7169203331", &"0".repeat(16)),
            &TEXT.replace('-', "_"),
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(BadTraceContext), "{text}");
        }
        let later = format!("{}-more", TEXT.replace("00-", "01-"));
        assert!(later.parse::<TraceContext>().is_ok(), "a later version");
    }

    #[test]
    fn spans_of_a_trace_have_their_own_ids() {
        let first = TraceContext::first(7);
        let next = first.next();
        assert_eq!(next.trace_id(), first.trace_id());
        assert_ne!(next, first);
        assert_eq!(first.to_string().parse(), Ok(first));
        assert!(
            TraceContext::first(0)
                .to_string()
                .parse::<TraceContext>()
                .is_ok()
        );
    }
}
