//! What every kind of server must show, on doubles that answer as the real ones were seen to.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod chain;
mod lifecycle;
mod real;
mod suite;
mod support;
mod traps;
mod writer;
