//! The ComfyUI backend against a double of that server, and the client against a real one.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod double;
mod kills;
mod ladder;
mod previews;
mod real;
mod store;
mod suite;
mod support;
mod takes;
mod wrong;
