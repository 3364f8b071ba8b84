//! Stories told across processes. One binary, one module a story.

mod broker;
mod command;
mod film;
mod storm;
