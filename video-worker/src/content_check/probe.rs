//! What a file says of itself, read by ffprobe.

use std::io;
use std::path::Path;

use serde::Deserialize;
use shared::film::Size;
use tokio_util::sync::CancellationToken;

use super::{Expected, Rejection};
use crate::ffmpeg::{FfmpegError, FfmpegPrograms};

/// The part of a frame rate by which it may be off: 24 and 23.976 differ by twice that.
const RATE_TOLERANCE: f64 = 0.000_5;
/// Time stamps are rounded to the ticks of the file.
const ROUNDING_SECONDS: f64 = 0.001;

/// What ffprobe tells of a file.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Probe {
    #[serde(default)]
    streams: Vec<Stream>,
    /// Chapter marks in order.
    #[serde(default)]
    pub(crate) chapters: Vec<Chapter>,
}

/// A stream of any sort.
#[derive(Debug, Clone, Deserialize)]
struct Stream {
    codec_type: Option<String>,
    #[serde(flatten)]
    video: Video,
}

/// A video stream.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Video {
    /// All that must be the same in two clips before their packets may follow each other in one stream.
    #[serde(flatten)]
    pub(crate) encoding: Encoding,
    avg_frame_rate: Option<String>,
    duration: Option<String>,
    nb_read_packets: Option<String>,
}

/// How a stream is encoded. Two streams with the same encoding can be joined without encoding them again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Encoding {
    codec_name: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    pix_fmt: Option<String>,
    sample_aspect_ratio: Option<String>,
    color_range: Option<String>,
    color_space: Option<String>,
    color_transfer: Option<String>,
    color_primaries: Option<String>,
    field_order: Option<String>,
    time_base: Option<String>,
    r_frame_rate: Option<String>,
    /// Hash of the parameter sets: profile, level, reference frames, entropy coding and the rest.
    extradata_hash: Option<String>,
}

/// A chapter mark.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Chapter {
    start_time: String,
}

impl Chapter {
    /// Where it begins, in seconds.
    pub(crate) fn start(&self) -> f64 {
        self.start_time.parse().unwrap_or(f64::NAN)
    }
}

impl Probe {
    /// Its only video stream.
    pub(crate) fn video(&self) -> Result<&Video, Rejection> {
        let mut videos = self
            .streams
            .iter()
            .filter(|stream| stream.codec_type.as_deref() == Some("video"));
        match (videos.next(), videos.count()) {
            (Some(stream), 0) => Ok(&stream.video),
            (None, _) => Err(Rejection::Streams { found: 0 }),
            (Some(_), more) => Err(Rejection::Streams { found: 1 + more }),
        }
    }
}

impl Video {
    /// Running time in seconds; 0 if the file does not say.
    pub(crate) fn seconds(&self) -> f64 {
        number(self.duration.as_deref())
    }

    /// Frames per second on average; 0 if the file does not say.
    pub(crate) fn fps(&self) -> f64 {
        let rate = self.avg_frame_rate.as_deref().unwrap_or_default();
        let (frames, seconds) = rate.split_once('/').unwrap_or((rate, "1"));
        match number(Some(seconds)) {
            0.0 => 0.0,
            seconds => number(Some(frames)) / seconds,
        }
    }

    /// Number of frames, counted as packets without decoding them.
    pub(crate) fn packets(&self) -> u32 {
        let packets = self.nb_read_packets.as_deref();
        packets.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Size in pixels; 0x0 if the file does not say.
    pub(crate) fn size(&self) -> Size {
        Size {
            width: self.encoding.width.unwrap_or(0),
            height: self.encoding.height.unwrap_or(0),
        }
    }

    /// Checks that it is H.264 in yuv420p.
    pub(crate) fn check_encoding(&self) -> Result<(), Rejection> {
        let codec = self.encoding.codec_name.as_deref().unwrap_or("unknown");
        let pixel_format = self.encoding.pix_fmt.as_deref().unwrap_or("unknown");
        if (codec, pixel_format) == ("h264", "yuv420p") {
            return Ok(());
        }
        Err(Rejection::Encoding {
            codec: codec.to_owned(),
            pixel_format: pixel_format.to_owned(),
        })
    }

    /// Checks the size.
    pub(crate) fn check_size(&self, expected: Size) -> Result<(), Rejection> {
        let found = self.size();
        if found == expected {
            return Ok(());
        }
        Err(Rejection::Size { expected, found })
    }

    /// Checks the frame rate.
    pub(crate) fn check_rate(&self, expected: u32) -> Result<(), Rejection> {
        let found = self.fps();
        if (found / f64::from(expected) - 1.0).abs() <= RATE_TOLERANCE {
            return Ok(());
        }
        Err(Rejection::Rate { expected, found })
    }

    /// Checks the number of frames, exactly.
    pub(crate) fn check_frames(&self, expected: u32) -> Result<(), Rejection> {
        let found = self.packets();
        if found == expected {
            return Ok(());
        }
        Err(Rejection::Frames { expected, found })
    }

    /// Checks the running time, in seconds: it may be off by one frame.
    pub(crate) fn check_duration(&self, expected: f64, fps: u32) -> Result<(), Rejection> {
        let found = self.seconds();
        if (found - expected).abs() <= 1.0 / f64::from(fps) + ROUNDING_SECONDS {
            return Ok(());
        }
        Err(Rejection::Duration { expected, found })
    }
}

fn number(text: Option<&str>) -> f64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

/// Judges what a clip says of itself. Returns its running time in seconds.
pub(super) fn judge(probe: &Probe, expected: &Expected) -> Result<f64, Rejection> {
    let video = probe.video()?;
    video.check_encoding()?;
    video.check_size(expected.size)?;
    video.check_rate(expected.fps)?;
    video.check_duration(expected.seconds(), expected.fps)?;
    Ok(video.seconds())
}

/// Asks ffprobe about an MP4 file. `what` names the work in errors, as `probe scene 3`.
///
/// # Errors
/// If ffprobe cannot be run, cannot read the file, or `cancelled` fires.
pub(crate) async fn probe(
    programs: &FfmpegPrograms,
    what: &str,
    path: &Path,
    cancelled: &CancellationToken,
) -> Result<Probe, FfmpegError> {
    let said = programs
        .ffprobe(what)
        // Named, so that no file can pass for a list of other files.
        .args(["-f", "mp4"])
        .args(["-show_streams", "-show_chapters", "-count_packets"])
        .args(["-show_data_hash", "sha256", "-of", "json"])
        .input(path)
        .run(cancelled)
        .await?;
    serde_json::from_slice(&said).map_err(|error| FfmpegError::Run {
        what: what.to_owned(),
        path: programs.ffprobe.clone(),
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    })
}
