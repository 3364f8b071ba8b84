//! Storyboards: a frame drawn from the words of a scene, and the frames of a camera move over it. Nothing here waits, and
//! nothing but the payload decides what is drawn: the same words and seed give the same bytes.
//!
//! A crate of its own, since it is the one that must be fast: it is compiled as one unit, and what only carries is not.

mod camera;
mod canvas;
mod card;
mod colour;
mod dice;
mod frames;
mod keyframe;
mod palette;
mod picture;
mod reading;
mod scenery;
#[cfg(test)]
mod tests;
mod typeface;

pub use self::camera::Move;
pub use self::frames::{Frames, FramesError};
pub use self::keyframe::{ImageError, Keyframe, draw, read};
