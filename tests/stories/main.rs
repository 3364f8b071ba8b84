//! Stories told across processes. One binary, one module a story.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod artifacts;
mod backup;
mod broker;
mod command;
mod commands_over_http;
mod disk;
mod doctor;
mod film;
mod metrics;
mod push;
mod ready;
mod rights;
mod storm;
mod tls;
mod trace;

/// A small film of a story by rule, as words for `callsheet`.
const SMALL: [&str; 8] = [
    "--scenes",
    "3",
    "--seconds",
    "0.5",
    "--size",
    "320x180",
    "--seed",
    "7",
];
