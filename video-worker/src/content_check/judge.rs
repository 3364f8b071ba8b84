//! The verdict on what a clip shows. Pure.
//!
//! What counts is the share of the clip. A film fades in and out, a camera rests for a moment: a second of it is no fault
//! and two seconds out of four are.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use super::measure::{FrameStats, longest_lag};
use super::{Expected, Rejection};

/// How many frames there may be too many or too few.
pub(crate) const FRAMES_TOLERANCE: u32 = 1;
/// The share of a clip that may be blank, and the share in which nothing may move. A half is too much; two fades of a
/// second in a clip of four make 0.1 of it blank and nothing of it frozen.
const SHARE_MAX: f64 = 0.4;
/// The contrast, in levels of 255, below which a frame shows nothing.
const CONTRAST_MIN: f32 = 6.0;
/// The move of the camera, in pixels of the raster, from which on it is a move.
const CAMERA_MIN: f32 = 0.1;
/// The local change, in units of what the encoder may do to a still, from which on something has moved.
const LOCAL_MIN: f32 = 1.5;

/// Judges the frames of a clip.
///
/// # Errors
/// What is wrong with it: too few or too many frames, blank, or frozen.
pub fn judge(stats: &[FrameStats], expected: &Expected) -> Result<(), Rejection> {
    let frames = u32::try_from(stats.len()).unwrap_or(u32::MAX);
    if frames.abs_diff(expected.frames) > FRAMES_TOLERANCE || frames == 0 {
        return Err(Rejection::Frames {
            expected: expected.frames,
            found: frames,
        });
    }
    let too_much = |part: u32| f64::from(part) > SHARE_MAX * f64::from(frames);
    let blank = count(stats.iter().map(is_blank));
    if too_much(blank) {
        return Err(Rejection::Blank { blank, frames });
    }
    let frozen = count(frozen(stats, longest_lag(expected)).into_iter());
    if too_much(frozen) && !expected.still_is_fine {
        return Err(Rejection::Frozen { frozen, frames });
    }
    Ok(())
}

fn is_blank(stats: &FrameStats) -> bool {
    stats.contrast < CONTRAST_MIN
}

/// Tells for each frame whether it lies in a stretch of `lag` frames over which nothing has moved.
fn frozen(stats: &[FrameStats], lag: usize) -> Vec<bool> {
    let mut frozen = vec![false; stats.len()];
    for (at, stats) in stats.iter().enumerate().skip(lag) {
        let is_still = stats
            .motion
            .is_some_and(|motion| motion.camera < CAMERA_MIN && motion.local < LOCAL_MIN);
        if is_still {
            frozen[at - lag..=at].fill(true);
        }
    }
    frozen
}

fn count(flags: impl Iterator<Item = bool>) -> u32 {
    u32::try_from(flags.filter(|flag| *flag).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use shared::film::Size;

    use super::super::measure::Motion;
    use super::*;

    const EXPECTED: Expected = Expected {
        frames: 100,
        fps: 25,
        size: Size {
            width: 854,
            height: 480,
        },
        still_is_fine: false,
    };

    /// The figures of a clip, from those at each frame: contrast, camera, local.
    fn clip(frames: usize, at: impl Fn(usize) -> (f32, f32, f32)) -> Vec<FrameStats> {
        let stats = |index| {
            let (contrast, camera, local) = at(index);
            FrameStats {
                contrast,
                motion: (index >= 13).then_some(Motion { camera, local }),
            }
        };
        (0..frames).map(stats).collect()
    }

    #[test]
    fn either_sort_of_motion_is_motion() {
        for moves in [(100.0, 1.0, 0.0), (100.0, 0.0, 9.0), (20.0, 0.2, 0.1)] {
            assert_eq!(judge(&clip(100, |_| moves), &EXPECTED), Ok(()), "{moves:?}");
        }
        let still = clip(100, |_| (100.0, 0.05, 1.0));
        let frozen = Rejection::Frozen {
            frozen: 100,
            frames: 100,
        };
        assert_eq!(judge(&still, &EXPECTED), Err(frozen));
    }

    #[test]
    fn a_still_may_be_fine_and_a_blank_never_is() {
        let expected = Expected {
            still_is_fine: true,
            ..EXPECTED
        };
        assert_eq!(judge(&clip(100, |_| (100.0, 0.0, 0.0)), &expected), Ok(()));
        let blank = Rejection::Blank {
            blank: 100,
            frames: 100,
        };
        assert_eq!(
            judge(&clip(100, |_| (1.0, 9.0, 9.0)), &expected),
            Err(blank)
        );
    }

    #[test]
    fn what_counts_is_the_share_of_the_clip() {
        let black_for = |frames| {
            clip(100, move |at| {
                (if at < frames { 0.0 } else { 99.0 }, 1.0, 9.0)
            })
        };
        assert_eq!(judge(&black_for(40), &EXPECTED), Ok(()));
        let blank = Rejection::Blank {
            blank: 41,
            frames: 100,
        };
        assert_eq!(judge(&black_for(41), &EXPECTED), Err(blank));

        // Nothing has moved at a frame for the second before it: 25 frames and itself.
        let rests_from = |first| {
            clip(100, move |at| {
                (99.0, if at < first { 1.0 } else { 0.0 }, 0.0)
            })
        };
        assert_eq!(judge(&rests_from(85), &EXPECTED), Ok(()));
        let frozen = Rejection::Frozen {
            frozen: 41,
            frames: 100,
        };
        assert_eq!(judge(&rests_from(84), &EXPECTED), Err(frozen));
    }

    #[test]
    fn a_frame_more_or_fewer_will_do_and_two_will_not() {
        for (frames, fine) in [
            (98, false),
            (99, true),
            (101, true),
            (102, false),
            (0, false),
        ] {
            let verdict = judge(&clip(frames, |_| (99.0, 9.0, 9.0)), &EXPECTED);
            assert_eq!(verdict.is_ok(), fine, "{frames} frames: {verdict:?}");
        }
    }

    #[test]
    fn moves_are_looked_for_over_a_time_that_suits_the_clip() {
        let lag = |frames, fps| {
            longest_lag(&Expected {
                frames,
                fps,
                ..EXPECTED
            })
        };
        assert_eq!(lag(96, 24), 24);
        assert_eq!(lag(240, 24), 60);
        assert_eq!(lag(3_600, 60), 240);
        assert_eq!(lag(12, 24), 4);
        assert_eq!(lag(1, 1), 1);
    }
}
