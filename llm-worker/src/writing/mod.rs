//! Writes a story with a language model, in steps that a small one can do: first the bible (what it is about, who is in it,
//! where), then the scenes, a few at a time. Everything here is pure: [`Draft`] says what to ask next and judges what came
//! back; carrying that to a model is the backend's.
//!
//! What a model writes is checked, shown to it once with its mistakes, and then it stands or falls: no rule fills in for a
//! story that failed.

#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

mod bible;
mod checks;
mod draft;
mod judge;
mod order;
mod scenes;
mod story;

pub use self::draft::{Draft, Next, Said};
pub use self::order::Order;
