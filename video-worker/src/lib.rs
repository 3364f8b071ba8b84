//! Makes keyframes, clips and the film.

pub mod ffmpeg;
