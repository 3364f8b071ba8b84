//! What the coordinator decides, and nothing of how it is carried out. Everything in here is pure: no clock, no randomness,
//! no I/O, no logging.

pub mod decide;
pub mod fleet;
pub mod job;
pub mod leases;
pub mod plan;
