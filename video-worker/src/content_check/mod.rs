//! The content check: no attempt succeeds before its clip has been looked at.
//!
//! One ffprobe for what the file says of itself, one decoding at a small size for what it shows. The figures are read in
//! `measure`, the verdict is spoken in `judge`; both are pure. ffmpeg's own `blackdetect` and `freezedetect` are left
//! out: no setting of theirs tells a dark scene from a black one, or a slow push-in on flat art from a still, and both
//! judge moments where the share of the clip counts. The thresholds and where they come from stand in
//! `docs/design/content-check.md`.

mod judge;
mod measure;
pub(crate) mod probe;
mod rejection;

use std::path::Path;

use shared::failure::{Failure, FailureKind};
use shared::film::Size;
use tokio_util::sync::CancellationToken;

pub(crate) use self::judge::FRAMES_TOLERANCE;
pub use self::judge::judge;
pub use self::measure::{FrameStats, Meter, Motion};
pub use self::rejection::Rejection;
use crate::ffmpeg::{FfmpegError, FfmpegPrograms};

/// What a clip should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Number of frames; one more or fewer will do.
    pub frames: u32,
    /// Frames per second.
    pub fps: u32,
    /// Size in pixels.
    pub size: Size,
    /// Whether the clip may show one picture from end to end: an animatic with a static camera. It must not be blank even so.
    pub still_is_fine: bool,
}

impl Expected {
    /// Running time in seconds.
    fn seconds(&self) -> f64 {
        f64::from(self.frames) / f64::from(self.fps)
    }
}

/// What was found of a clip that passed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Checked {
    /// Its number of frames, counted by decoding them.
    pub frames: u32,
    /// Its running time in seconds, as the file says.
    pub seconds: f64,
}

/// Why a clip has not passed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The clip is at fault.
    #[error("the content check turned the clip down: {0}")]
    Rejected(#[from] Rejection),
    /// The check could not be made; nothing is known of the clip.
    #[error(transparent)]
    Ffmpeg(#[from] FfmpegError),
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Rejected(_) => Self::from_error(FailureKind::RejectedContent, &error),
            CheckError::Ffmpeg(error) => error.into(),
        }
    }
}

impl CheckError {
    /// A program that ran and gave up says that the file is bad; one that was killed, never ran or will not do says nothing
    /// of it.
    async fn of_reading(programs: &FfmpegPrograms, error: FfmpegError) -> Self {
        match programs.complaint(error).await {
            Ok(said) => Rejection::unreadable(&said).into(),
            Err(error) => Self::Ffmpeg(error),
        }
    }
}

/// Looks at a clip: stream, size, rate, running time, then every frame.
///
/// # Errors
/// [`CheckError::Rejected`] if the clip is not as expected, cannot be read to its end, is blank or frozen;
/// [`CheckError::Ffmpeg`] if ffmpeg cannot be run or `cancelled` fires.
pub async fn check(
    programs: &FfmpegPrograms,
    path: &Path,
    expected: &Expected,
    cancelled: &CancellationToken,
) -> Result<Checked, CheckError> {
    let probe = match probe::probe(programs, "probe the clip", path, cancelled).await {
        Ok(probe) => probe,
        Err(error) => return Err(CheckError::of_reading(programs, error).await),
    };
    let seconds = probe::judge(&probe, expected)?;

    let mut meter = Meter::new(expected);
    let [width, height] = meter.raster();
    let fps = expected.fps;
    let decoded = programs
        .ffmpeg("decode the clip")
        // Damage is an error here, not something to paint over. One thread: the frames are small, and cores have other work.
        .args(["-xerror", "-err_detect", "explode", "-threads", "1"])
        .args(["-f", "mp4"])
        .input(path)
        .args(["-map", "0:v:0", "-vf"])
        // Frames are numbered anew, so that none is dropped or doubled for its time stamp: they are to be counted.
        .arg(format!(
            "scale={width}:{height}:flags=area,settb=1/{fps},setpts=N"
        ))
        .args(["-r", &fps.to_string()])
        .args(["-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"])
        .run_streaming(cancelled, |bytes| meter.feed(bytes))
        .await;
    if let Err(error) = decoded {
        return Err(CheckError::of_reading(programs, error).await);
    }

    let stats = meter.finish();
    judge(&stats, expected)?;
    Ok(Checked {
        frames: u32::try_from(stats.len()).unwrap_or(u32::MAX),
        seconds,
    })
}
