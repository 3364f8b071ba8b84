//! What the coordinator decides, and nothing of how it is carried out. Everything in here is pure: no clock, no randomness,
//! no I/O, no logging.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

pub mod decide;
pub mod fleet;
pub mod job;
pub mod leases;
pub mod plan;
pub mod previews;
