//! Worker processes race for one simulated card, and are killed with `kill -9` meanwhile.
//!
//! Every worker is a process of its own and has a backend, which is another process: a killed worker's job goes on. Two
//! [strategies](plan::Strategy) run with the same jobs and the same kills: the gate that the product has, and a naive one
//! that compares free memory with what a job needs. What is proven is not only that the first never runs out of memory, but
//! that the second does, in the same race: otherwise the race would prove nothing.

pub mod figures;
pub mod plan;
pub mod race;
pub mod worker;

mod backends;
mod chance;
mod gated;
mod life;
mod naive;
mod report;
mod sight;
mod watch;
