//! Clips as models make them become clips as scenes ask for them.

use shared::failure::{Failure, FailureKind};
use tokio_util::sync::CancellationToken;
use video_worker::conform::{ConformError, conform};
use video_worker::content_check::{Expected, check};
use video_worker::ffmpeg::FfmpegPrograms;

use crate::support::picture::art;
use crate::support::{Clip, Source, clip};

/// A camera that moves slowly.
const PAN: Clip = clip(Source::Drawn(|x, y, time| art(x - 12.0 * time, y)));

const fn expected(clip: Clip) -> Expected {
    Expected {
        frames: clip.frames,
        fps: clip.fps,
        size: clip.size,
        still_is_fine: false,
    }
}

/// What becomes of a clip that should be like `wanted`, with the content check's word on it.
async fn become_of(made: Clip, wanted: Clip) -> Result<u32, ConformError> {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (
        folder.path().join("made.mp4"),
        folder.path().join("clip.mp4"),
    );
    made.write(&from);
    let programs = FfmpegPrograms::default();
    let cancelled = CancellationToken::new();
    conform(
        &programs,
        &from,
        &expected(made),
        &expected(wanted),
        &to,
        &cancelled,
    )
    .await?;
    let checked = check(&programs, &to, &expected(wanted), &cancelled).await;
    Ok(checked
        .unwrap_or_else(|error| panic!("{wanted:?}: {error}"))
        .frames)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_of_a_model_gets_the_frames_the_rate_and_the_size_of_its_scene() {
    // Four seconds at 24 frames a second, made as 65 at 16 and in multiples of 16 pixels.
    let wanted = PAN.fps(24);
    assert_eq!(wanted.frames, 96);
    assert_eq!(
        become_of(PAN.frames(65).size(432, 240), wanted)
            .await
            .unwrap(),
        96
    );
    // The same at another rate that was asked for, at more frames than that, and in a larger picture.
    assert_eq!(become_of(PAN.frames(65), PAN.fps(30)).await.unwrap(), 120);
    assert_eq!(become_of(wanted.frames(121), wanted).await.unwrap(), 96);
    assert_eq!(become_of(PAN, PAN.size(640, 360)).await.unwrap(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_that_was_asked_for_is_there_at_any_rate() {
    for fps in [10, 12, 24, 25, 30, 60] {
        // As many frames as a model makes for a second: 4n + 1 of them, never fewer.
        let (made, frames) = (PAN.frames(17), fps);
        let wanted = Clip { fps, frames, ..PAN };
        assert_eq!(become_of(made, wanted).await.unwrap(), frames, "{fps}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_that_is_too_short_is_not_stretched() {
    let error = become_of(PAN.frames(33), PAN.fps(24)).await.unwrap_err();
    assert!(matches!(error, ConformError::Unlike(_)), "{error}");
    assert_eq!(Failure::from(error).kind, FailureKind::RejectedContent);
}
