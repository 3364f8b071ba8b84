//! What all of Callsheet agrees on.
//!
//! Ids, films, jobs, the protocol between coordinator and workers, the broker port, the artifact store, settings and
//! telemetry. Nothing here decides who works when: that is the coordinator's and the worker-runtime's business.

pub mod api;
pub mod artifact;
pub mod artifacts;
pub mod broker;
pub mod byte_size;
pub mod failure;
pub mod fields;
pub mod film;
pub mod http;
pub mod ids;
pub mod job;
pub mod metrics;
pub mod news;
#[cfg(feature = "otlp")]
mod otlp;
pub mod preview;
pub mod profile;
pub mod program;
pub mod protocol;
pub mod retry;
pub mod script;
pub mod settings;
pub mod shutdown;
pub mod story;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod trace;
