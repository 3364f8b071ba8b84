//! Owns films and jobs, the only writer of their state; HTTP API.

pub mod api;
pub mod coordinator;
pub mod core;
pub mod store;
