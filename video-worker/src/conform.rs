//! A clip becomes what its scene asked for. Models make clips in sizes, lengths and rates of their own; the film has one size
//! and one rate, and a scene that asked for 96 frames gets 96.
//!
//! The rate is changed by showing frames twice or leaving some out: what lies between two frames is not invented. The size is
//! changed without distortion, and what stands out of the shape is cut off at both sides: models keep nearly the shape that
//! was asked for, so that it is a few pixels. A clip that is as it was asked for is left as it is.

use std::path::Path;

use shared::failure::{Failure, FailureKind};
use tokio_util::sync::CancellationToken;

use crate::content_check::probe::probe;
use crate::content_check::{Expected, FRAMES_TOLERANCE, Rejection};
use crate::ffmpeg::{Call, FfmpegError, FfmpegPrograms, colour};

/// Frames that are shown once more where a clip ends a moment early, at most: times are rounded when the rate changes.
const PADDING: u32 = 2;

/// Why a clip was not brought to what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ConformError {
    /// ffmpeg did not do it.
    #[error(transparent)]
    Ffmpeg(#[from] FfmpegError),
    /// It did, and the clip is another one than it should be.
    #[error("the clip is not what it was to be made into: {0}")]
    Unlike(#[from] Rejection),
}

impl From<ConformError> for Failure {
    fn from(error: ConformError) -> Self {
        match error {
            ConformError::Ffmpeg(error) => error.into(),
            ConformError::Unlike(_) => Self::from_error(FailureKind::RejectedContent, &error),
        }
    }
}

/// Whether a clip must be encoded again to be what is wanted. One frame more or fewer will do, as in the content check.
pub fn differs(made: &Expected, wanted: &Expected) -> bool {
    made.size != wanted.size
        || made.fps != wanted.fps
        || made.frames.abs_diff(wanted.frames) > FRAMES_TOLERANCE
}

/// Brings a clip that was checked to be as `made` to what is `wanted`, in the file `to`.
///
/// # Errors
/// If ffmpeg cannot be run or fails, if `cancelled` fires, or if the clip is still another one, as one that was too short.
pub async fn conform(
    programs: &FfmpegPrograms,
    from: &Path,
    made: &Expected,
    wanted: &Expected,
    to: &Path,
    cancelled: &CancellationToken,
) -> Result<(), ConformError> {
    encoder(programs, from, made, wanted, to)
        .run(cancelled)
        .await?;
    let found = probe(programs, "probe the clip in its new rate", to, cancelled).await?;
    let video = found.video()?;
    video.check_encoding()?;
    video.check_size(wanted.size)?;
    video.check_rate(wanted.fps)?;
    video.check_frames(wanted.frames)?;
    Ok(())
}

fn encoder(
    programs: &FfmpegPrograms,
    from: &Path,
    made: &Expected,
    wanted: &Expected,
    to: &Path,
) -> Call {
    let (width, height) = (wanted.size.width, wanted.size.height);
    let colours = colour::SCALE_OPTIONS;
    let scale = match made.size == wanted.size {
        true => format!("scale={colours}"),
        false => format!(
            "scale={width}:{height}:force_original_aspect_ratio=increase:flags=lanczos:{colours},crop={width}:{height},setsar=1"
        ),
    };
    let fps = wanted.fps;
    programs
        .ffmpeg("bring the clip to the size and rate of the film")
        .args(["-f", "mp4"])
        .input(from)
        .args([
            "-map",
            "0:v:0",
            "-map_metadata",
            "-1",
            "-map_chapters",
            "-1",
        ])
        .arg("-vf")
        .arg(format!(
            "{scale},fps={fps},tpad=stop_mode=clone:stop={PADDING},format=yuv420p"
        ))
        .args(["-frames:v", &wanted.frames.to_string()])
        .args(colour::TAGS)
        .args(["-c:v", "libx264", "-preset", "medium", "-crf", "17"])
        // A key frame every two seconds, so that players find their way fast.
        .args(["-g", &(2 * fps).to_string(), "-r", &fps.to_string()])
        .args(["-fflags", "+bitexact", "-flags:v", "+bitexact"])
        .args(["-movflags", "+faststart", "-f", "mp4"])
        .output(to)
}

#[cfg(test)]
mod tests {
    use shared::film::Size;

    use super::*;

    #[test]
    fn what_is_as_it_was_asked_for_is_left_as_it_is() {
        let size = Size {
            width: 854,
            height: 480,
        };
        let asked = Expected {
            frames: 96,
            fps: 24,
            size,
            still_is_fine: false,
        };
        assert!(!differs(&asked, &asked));
        assert!(!differs(
            &Expected {
                frames: 97,
                ..asked
            },
            &asked
        ));
        assert!(!differs(
            &Expected {
                still_is_fine: true,
                ..asked
            },
            &asked
        ));
        let small = Size { width: 848, ..size };
        for other in [
            Expected {
                frames: 98,
                ..asked
            },
            Expected { fps: 16, ..asked },
            Expected {
                size: small,
                ..asked
            },
        ] {
            assert!(differs(&other, &asked), "{other:?}");
        }
    }
}
