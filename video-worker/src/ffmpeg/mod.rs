//! Runs ffmpeg and ffprobe as child processes.
//!
//! Arguments go to the program as a list, never through a shell, and files are named as `file:PATH`, so that no name is
//! taken for an option or a protocol. A child is killed when its attempt is cancelled and when its owner is dropped.

mod call;
pub(crate) mod colour;
mod error;
mod programs;
mod running;

pub use self::call::Call;
pub use self::error::FfmpegError;
pub use self::programs::FfmpegPrograms;
pub use self::running::Running;

#[cfg(test)]
#[cfg(unix)]
pub(crate) mod script;
#[cfg(test)]
mod tests;
