//! Tables, laws and walks over `admit`.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test that expects one verdict fails on all others"
)]

mod build;
pub(crate) mod chance;
mod laws;
mod table;
mod walk;
