//! What can be wrong with a clip.

use shared::film::Size;

/// Why a clip is no result, with the figures.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The file is no MP4, or cannot be decoded to its end.
    #[error("it cannot be read to its end: {reason}")]
    Unreadable {
        /// What ffmpeg said.
        reason: String,
    },
    /// There must be exactly one video stream.
    #[error("it has {found} video streams instead of one")]
    Streams {
        /// How many there are.
        found: usize,
    },
    /// Another encoding than the one that every player and browser shows.
    #[error("it is {codec} in {pixel_format}; h264 in yuv420p is expected")]
    Encoding {
        /// The codec, in ffmpeg's words.
        codec: String,
        /// The pixel format, in ffmpeg's words.
        pixel_format: String,
    },
    /// Another size.
    #[error("its size is {found} instead of {expected}")]
    Size {
        /// As asked for.
        expected: Size,
        /// As found.
        found: Size,
    },
    /// Another frame rate.
    #[error("it runs at {found:.3} frames a second instead of {expected}")]
    Rate {
        /// As asked for, in frames per second.
        expected: u32,
        /// As found, in frames per second.
        found: f64,
    },
    /// The running time is off by more than a frame.
    #[error("it is {found:.3} s long instead of {expected:.3} s")]
    Duration {
        /// As asked for, in seconds.
        expected: f64,
        /// As the file says, in seconds; 0 if it does not say.
        found: f64,
    },
    /// The number of frames is off by more than one.
    #[error("{found} frames can be decoded instead of {expected}")]
    Frames {
        /// As asked for.
        expected: u32,
        /// Counted.
        found: u32,
    },
    /// Too much of it shows one flat tone.
    #[error("it is blank: {blank} of {frames} frames show one flat tone")]
    Blank {
        /// How many frames do.
        blank: u32,
        /// How many there are.
        frames: u32,
    },
    /// Too much of it shows a picture in which nothing moves.
    #[error("it is frozen: nothing moves in {frozen} of {frames} frames")]
    Frozen {
        /// How many frames do.
        frozen: u32,
        /// How many there are.
        frames: u32,
    },
}

/// ffmpeg can say a lot about a damaged file, and the first of it says the most.
const REASON_MAX: usize = 200;

impl Rejection {
    pub(crate) fn unreadable(said: &str) -> Self {
        Self::Unreadable {
            reason: said.chars().take(REASON_MAX).collect(),
        }
    }
}
