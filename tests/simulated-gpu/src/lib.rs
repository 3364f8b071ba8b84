//! A simulated card, and backends that run simulated models on it.
//!
//! The card is a device in the state of the [NVML double](nvml_double): what a backend takes there, the double tells to
//! whoever asks NVML. A [`Card`] refuses what goes beyond its capacity, and counts that as one more job out of memory.
//!
//! A backend is a process of its own, so that a worker can be killed and its backend goes on and keeps its memory. It does
//! what makes real ones hard to share a card with:
//!
//! - it takes memory bit by bit, long after a job was admitted ([`Settings::ramp`]), and its peak in the middle of the run;
//! - it keeps its model loaded after a job, and what it keeps loaded is not free;
//! - it gives memory back a while after it has said that the job is done, or that it has unloaded ([`Settings::lag`]);
//! - asked to unload, it says yes at once and does so when its present job is done, or never ([`Client::ignore_unloads`]);
//! - it takes several jobs in line, and works on one at a time;
//! - it knows a job by its id, and does not do one twice: whoever comes back finds it running, in line or ended;
//! - it can die in the middle of all that ([`Client::die`], [`Process::kill`]).
//!
//! To use it:
//!
//! ```no_run
//! use nvml_double::{install::Double, state::{Device, State}};
//! use simulated_gpu::{Card, Job, Process, Settings};
//! use shared::byte_size::ByteSize;
//! use std::{path::Path, process::Command, time::Duration};
//!
//! # fn main() -> std::io::Result<()> {
//! let folder = Path::new("/somewhere/temporary");
//! let double = Double::install(folder, &State::with([Device::idle("GPU-1", 24)]))?;
//! let card = Card::new(double.state_file(), "GPU-1");
//! // `double.library()` is for the probe: `NvmlOptions { library: Some(..), .. }`.
//!
//! // The program is `simulated-backend`, or any other that hands its last argument to `simulated_gpu::serve`.
//! let mut program = Command::new("target/debug/simulated-backend");
//! let comfy = Process::start(&mut program, &Settings::on(&card))?;
//! let client = comfy.client();
//! client.run(Job {
//!     id: "a".to_owned(),
//!     model: "wan".to_owned(),
//!     load: ByteSize::gib(18),
//!     peak: ByteSize::gib(21),
//!     takes: Duration::from_millis(500),
//! })?;
//! // It outlives the worker that asked it, and ends when its `Process` is dropped, or when whoever started it is gone.
//! let seen = client.wait_until_idle(Duration::from_secs(20))?;
//! assert!(seen.is_idle());
//! # Ok(())
//! # }
//! ```
//!
//! Every request is answered with the [`BackendState`] as it is after it. Requests come over a loopback address, one to a
//! connection, a line of JSON each way, and are taken in the order in which the connections were made: who asks after
//! another sees what that one did. An address where nobody listens is a backend that is gone.

mod card;
mod client;
mod engine;
mod leashed;
mod process;
mod protocol;
mod server;
mod settings;

pub use card::{Card, Refusal};
pub use client::Client;
pub use leashed::{Leashed, until_let_go};
pub use process::Process;
pub use protocol::{BackendState, Ended, Job, Outcome, Request, Running};
pub use server::serve;
pub use settings::Settings;
