//! Clips and films, made and looked at by a real ffmpeg.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod assembly;
mod conform;
mod content_check;
mod fixtures;
mod support;
