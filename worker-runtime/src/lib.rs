//! Everything a worker is, except the work: taking attempts, asking for the grant, reports, leases, drain.
//!
//! A worker program brings its backends and calls [`run`]. What a run goes through is told in `ask` (from delivery to grant)
//! and `attempt` (from grant to report); when queues are open is decided in `tap`, what is taken of work for a card in `admission`.

mod admission;
mod ask;
mod attempt;
pub mod backend;
pub mod gpu;
mod heartbeat;
mod host;
mod inbox;
mod journal;
mod listener;
mod metrics;
mod offers;
mod pace;
mod pictures;
pub mod program;
mod progress;
mod readiness;
mod replace;
mod report;
mod runs;
mod runtime;
pub mod serving;
pub mod settings;
mod slots;
mod tap;
mod traces;
mod worker;

pub use self::journal::JournalError;
pub use self::runtime::{WorkerError, run, run_on};
