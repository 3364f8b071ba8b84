//! A server that answers like ComfyUI, made from recordings of two versions, and that misbehaves as it is told.
//!
//! It runs in threads of its own, so that it can be killed and started again on the same port as a process would be: queue,
//! history and sockets are gone then, files stay. Nothing is computed: a node takes the time that it is told to, and a node
//! that saves writes the content that it is told to.
//!
//! [`process`] is the same as a process of its own, beside a simulated card.
//!
//! Like the real one it runs a prompt twice that is posted twice, answers a repeated graph out of its cache with the name of the
//! old file, forgets a socket when an older one of the same id closes, says success before its history does, and tells nobody
//! anything more while one client that is told much does not read.

mod behaviour;
mod engine;
mod graph;
mod http;
mod messages;
mod picture;
pub mod process;
mod socket;
mod state;
mod upload;

pub use behaviour::{Answers, Behaviour, Card, Content, Fate, Shows};
pub use state::{Double, Flavour, Rendered};
