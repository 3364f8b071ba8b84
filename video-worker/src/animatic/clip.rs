//! A clip: frames on one side, ffmpeg on the other, two buffers going round between them.

use std::path::{Path, PathBuf};

use shared::artifacts::ArtifactError;
use shared::job::{KeyframePayload, ScenePayload};
use shared::story::Camera;
use storyboard::{Frames, FramesError, ImageError, Move};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use worker_runtime::backend::AttemptContext;

use crate::content_check::{self, CheckError, Checked, Expected};
use crate::ffmpeg::{FfmpegError, FfmpegPrograms, colour};

/// Up to here one thread encodes a clip, as two clips are in the making at once; above, more are worth it. The number is
/// fixed by the size alone: x264 gives other pixels with another number of threads.
const PIXELS_FOR_ONE_THREAD: u64 = 1_000_000;

/// Why there is no clip.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClipError {
    #[error("H.264 needs an even width and height, not {0}; choose another size")]
    OddSize(shared::film::Size),
    #[error("a clip needs at least one frame and one frame per second")]
    Empty,
    #[error("cannot fetch the keyframe")]
    Fetch(#[source] ArtifactError),
    #[error("cannot store the clip")]
    Store(#[source] ArtifactError),
    #[error("cannot read the keyframe from the scratch folder")]
    Read(#[source] std::io::Error),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Frames(#[from] FramesError),
    #[error(transparent)]
    Ffmpeg(#[from] FfmpegError),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error("the attempt was cancelled")]
    Cancelled,
}

/// Makes the clip of a scene. Returns its file in the scratch folder and what the check found of it.
pub(crate) async fn make(
    programs: &FfmpegPrograms,
    payload: &ScenePayload,
    context: &AttemptContext,
) -> Result<(PathBuf, Checked), ClipError> {
    let size = payload.size;
    if size.width % 2 == 1 || size.height % 2 == 1 {
        return Err(ClipError::OddSize(size));
    }
    if payload.frames == 0 || payload.fps == 0 {
        return Err(ClipError::Empty);
    }
    let keyframe = context.scratch.join("keyframe.png");
    let fetched = context.artifacts.fetch(&payload.keyframe, &keyframe);
    unless_cancelled(&context.cancelled, fetched)
        .await?
        .map_err(ClipError::Fetch)?;
    let clip = context.scratch.join("clip.mp4");
    film(programs, payload, context, &keyframe, &clip).await?;
    let expected = Expected {
        frames: payload.frames,
        fps: payload.fps,
        size,
        still_is_fine: payload.scene.camera == Camera::Static,
    };
    let checked = content_check::check(programs, &clip, &expected, &context.cancelled).await?;
    Ok((clip, checked))
}

/// Waits for something that ends with the attempt.
pub(crate) async fn unless_cancelled<T>(
    cancelled: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<T, ClipError> {
    tokio::select! {
        () = cancelled.cancelled() => Err(ClipError::Cancelled),
        done = work => Ok(done),
    }
}

async fn film(
    programs: &FfmpegPrograms,
    payload: &ScenePayload,
    context: &AttemptContext,
    keyframe: &Path,
    clip: &Path,
) -> Result<(), ClipError> {
    let cancelled = &context.cancelled;
    let mut encoder = encoder(programs, payload, clip).start()?;
    let (full, mut next) = mpsc::channel::<Vec<u8>>(1);
    let (empty, spare) = mpsc::channel::<Vec<u8>>(2);
    for _ in 0..2 {
        // There is room for both.
        let _ = empty.try_send(Vec::new());
    }
    let painter = {
        let (payload, keyframe) = (payload.clone(), keyframe.to_owned());
        tokio::task::spawn_blocking(move || paint(&payload, &keyframe, spare, &full))
    };
    let mut done = 0;
    loop {
        let pixels = tokio::select! {
            // Not merely dropped: when the attempt has ended, so has ffmpeg.
            () = cancelled.cancelled() => return Err(encoder.cancel().await.into()),
            pixels = next.recv() => pixels,
        };
        let Some(pixels) = pixels else { break };
        encoder.write(&pixels, cancelled).await?;
        done += 1;
        context.progress.tell("frames", done, payload.frames);
        // The painter has gone after the last frame and wants no more buffers.
        let _ = empty.try_send(pixels);
    }
    painter
        .await
        .unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?;
    encoder.finish(cancelled).await?;
    Ok(())
}

/// Paints all frames, until nobody takes them any more.
fn paint(
    payload: &ScenePayload,
    keyframe: &Path,
    mut spare: mpsc::Receiver<Vec<u8>>,
    full: &mpsc::Sender<Vec<u8>>,
) -> Result<(), ClipError> {
    let file = std::fs::read(keyframe).map_err(ClipError::Read)?;
    let keyframe = storyboard::read(&file)?;
    drop(file);
    let seconds = f64::from(payload.frames) / f64::from(payload.fps);
    let camera = Move::new(payload.scene.camera, seconds);
    let mut frames = Frames::new(keyframe, camera, payload.size, payload.frames)?;
    for index in 0..payload.frames {
        let Some(mut pixels) = spare.blocking_recv() else {
            return Ok(());
        };
        pixels.clear();
        pixels.extend_from_slice(frames.frame(index)?);
        if full.blocking_send(pixels).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn encoder(programs: &FfmpegPrograms, payload: &ScenePayload, clip: &Path) -> crate::ffmpeg::Call {
    let size = payload.size;
    let fps = payload.fps.to_string();
    let pixels = u64::from(size.width) * u64::from(size.height);
    let threads = if pixels <= PIXELS_FOR_ONE_THREAD {
        "1"
    } else {
        "4"
    };
    // A key frame every two seconds, so that players find their way fast.
    let key_frames = (2 * payload.fps).to_string();
    let call = programs.ffmpeg(format!("encoding scene {}", payload.scene.number));
    call.args([
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgba",
        "-s",
        &size.to_string(),
    ])
    .args(["-framerate", &fps, "-i", "pipe:0", "-an"])
    .arg("-vf")
    .arg(format!("scale={},format=yuv420p", colour::SCALE_OPTIONS))
    .args(colour::TAGS)
    .args([
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-tune",
        "animation",
        "-crf",
        "18",
    ])
    .args(["-threads", threads, "-g", &key_frames])
    // No encoder's name and no date inside: the same frames are the same file.
    .args([
        "-map_metadata",
        "-1",
        "-fflags",
        "+bitexact",
        "-flags:v",
        "+bitexact",
    ])
    .args(["-movflags", "+faststart", "-f", "mp4"])
    .output(clip)
}

/// Draws a frame, away from the threads that must not wait.
pub(crate) async fn keyframe(
    payload: &KeyframePayload,
    context: &AttemptContext,
) -> Result<Vec<u8>, ClipError> {
    let payload = payload.clone();
    let drawing = tokio::task::spawn_blocking(move || storyboard::draw(&payload));
    let drawn = unless_cancelled(&context.cancelled, drawing).await?;
    let png = drawn.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?;
    Ok(png)
}
