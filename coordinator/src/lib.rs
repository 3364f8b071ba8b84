//! Owns films and jobs, the only writer of their state; HTTP API.
//!
//! [`start`] wires it all up: store, engine, intake, clock, API. `core` decides, `engine` carries it through the store, the
//! rest brings things in and out.

pub mod access;
pub mod api;
pub mod coordinator;
pub mod core;
mod effects;
mod engine;
mod intake;
mod live;
mod lock;
mod maintenance;
mod metrics;
mod outbox;
pub mod program;
pub mod settings;
mod start;
pub mod store;
pub mod tls;
mod views;
mod watching;

pub use coordinator::Coordinator;
pub use settings::CoordinatorSettings;
/// The name that programs know [`Failed`] by.
pub use start::Failed as AnotherCoordinator;
pub use start::{Failed, Running, StartError, start, url_of};

/// The settings with their defaults, commented.
pub const DEFAULT_SETTINGS: &str = include_str!("../config.default.toml");
