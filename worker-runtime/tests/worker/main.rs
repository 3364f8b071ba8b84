//! A worker over the embedded broker, with a coordinator and a backend that the test speaks for.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it like the test itself"
)]

mod card;
mod connection;
mod drain;
mod grant;
mod host;
mod listener;
mod log;
mod restart;
mod run;
mod support;
mod tap;
