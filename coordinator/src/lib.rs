//! Owns films and jobs, the only writer of their state; HTTP API.

pub mod coordinator;
pub mod core;
