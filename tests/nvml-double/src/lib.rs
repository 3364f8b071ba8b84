//! A stand-in for NVIDIA's management library, NVML.
//!
//! Built as a shared library it exports the C symbols that we use (`symbols`) and answers each call with what a file says at
//! that moment ([`state`]). Linked as a Rust library it lets tests and simulated backends install it and write that file
//! ([`install`]). So the wrapper around NVML is under test with us, and several processes can see one made-up card.

pub mod install;
mod library;
pub mod state;
mod symbols;
mod whereabouts;
