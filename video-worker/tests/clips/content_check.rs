//! The content check on clips that are fine and on clips that are not: no error either way.

use std::collections::HashMap;
use std::path::Path;

use crate::fixtures::{Case, bad_clips, good_clips};
use crate::support::picture::art;
use crate::support::{Source, clip};
use shared::failure::{Failure, FailureKind};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use video_worker::content_check::{CheckError, Checked, Expected, check};
use video_worker::ffmpeg::FfmpegPrograms;

use Source::{Drawn, Filters};

async fn check_case(case: Case, path: &Path) -> Result<Checked, CheckError> {
    let at = path.to_owned();
    let make = move || {
        case.clip.write(&at);
        (case.spoil)(&at);
    };
    tokio::task::spawn_blocking(make).await.unwrap();
    verdict(path, &case.expected).await
}

async fn verdict(path: &Path, expected: &Expected) -> Result<Checked, CheckError> {
    let programs = FfmpegPrograms::default();
    check(&programs, path, expected, &CancellationToken::new()).await
}

/// Checks many clips, as many at a time as there are cores, and returns what each came to.
async fn verdicts(
    cases: impl IntoIterator<Item = Case>,
) -> Vec<(Case, Result<Checked, CheckError>)> {
    let folder = tempfile::tempdir().unwrap();
    let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get());
    let mut running = JoinSet::new();
    let mut done = Vec::new();
    for (number, case) in cases.into_iter().enumerate() {
        while running.len() >= cores {
            done.extend(running.join_next().await.map(Result::unwrap));
        }
        let path = folder.path().join(format!("{number}.mp4"));
        running.spawn(async move { (case, check_case(case, &path).await) });
    }
    while let Some(one) = running.join_next().await {
        done.push(one.unwrap());
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn good_clips_pass() {
    let cases = good_clips();
    assert!(cases.len() >= 12);
    let mut verdicts = verdicts(cases).await;
    verdicts.retain(
        |(case, verdict)| !matches!(verdict, Ok(checked) if checked.frames == case.expected.frames),
    );
    assert!(verdicts.is_empty(), "turned down: {verdicts:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_clips_are_turned_down_for_what_is_wrong_with_them() {
    let (cases, reasons): (Vec<_>, Vec<_>) = bad_clips().into_iter().unzip();
    assert!(cases.len() >= 12);
    let right: HashMap<_, _> = cases.iter().map(|case| case.name).zip(reasons).collect();
    let mut verdicts = verdicts(cases).await;
    verdicts.retain(|(case, verdict)| {
        !matches!(verdict, Err(CheckError::Rejected(why)) if right[case.name](why))
    });
    assert!(
        verdicts.is_empty(),
        "passed, or turned down for another reason: {verdicts:#?}"
    );
}

#[tokio::test]
async fn a_check_that_cannot_be_made_says_nothing_of_the_clip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let clip = clip(Filters("testsrc2=s=SIZE:r=RATE"));
    clip.write(&path);
    let expected = Case::new("moving", clip).expected;

    let nowhere = FfmpegPrograms {
        ffmpeg: "/nowhere/ffmpeg".into(),
        ..FfmpegPrograms::default()
    };
    let error = check(&nowhere, &path, &expected, &CancellationToken::new()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, CheckError::Ffmpeg(_)), "{error:?}");
    assert_eq!(Failure::from(error).kind, FailureKind::Transient);

    // They are there, and end as on any file.
    for broken in [
        FfmpegPrograms {
            ffmpeg: "/bin/false".into(),
            ..FfmpegPrograms::default()
        },
        FfmpegPrograms {
            ffprobe: "/bin/false".into(),
            ..FfmpegPrograms::default()
        },
    ] {
        let error = check(&broken, &path, &expected, &CancellationToken::new()).await;
        let failure = Failure::from(error.unwrap_err());
        assert_eq!(failure.kind, FailureKind::Transient, "{failure}");
        assert!(failure.message.contains("install ffmpeg"), "{failure}");
    }

    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let error = check(&FfmpegPrograms::default(), &path, &expected, &cancelled).await;
    assert_eq!(
        Failure::from(error.unwrap_err()).kind,
        FailureKind::Cancelled
    );
}

#[tokio::test]
async fn a_rejection_is_a_failure_that_tells_the_figures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let case = Case::new("frozen", clip(Drawn(|x, y, _| art(x, y))));
    let error = check_case(case, &path).await.unwrap_err();
    let failure = Failure::from(error);
    assert_eq!(failure.kind, FailureKind::RejectedContent);
    let text = "it is frozen: nothing moves in 64 of 64 frames";
    assert!(failure.message.ends_with(text), "{failure}");
}
