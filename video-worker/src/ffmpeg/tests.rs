//! The programs as they are installed, and some that are not.

use std::path::Path;
use std::time::Duration;

use shared::failure::{Failure, FailureKind};
use tokio_util::sync::CancellationToken;

use super::running::{STDERR_TAIL, tail};
use super::*;

fn programs() -> FfmpegPrograms {
    FfmpegPrograms::default()
}

#[tokio::test]
async fn the_installed_programs_will_do() {
    let version = programs().check().await.unwrap();
    assert!(!version.is_empty());
}

#[tokio::test]
async fn a_missing_program_says_what_to_install_and_what_to_set() {
    let programs = FfmpegPrograms {
        ffmpeg: "/nowhere/ffmpeg".into(),
        ..programs()
    };
    let error = programs.check().await.unwrap_err();
    assert!(matches!(error, FfmpegError::Missing { .. }), "{error:?}");
    let text = error.to_string();
    for part in ["/nowhere/ffmpeg", "apt install ffmpeg", "[ffmpeg]"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_failure_carries_what_the_program_said() {
    let call = programs().ffmpeg("read nothing");
    let call = call
        .input(Path::new("/nowhere/-odd:name%d.mp4"))
        .args(["-f", "null", "-"]);
    let error = call.run(&CancellationToken::new()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("read nothing failed"), "{text}");
    assert!(text.contains("No such file or directory"), "{text}");
    assert_eq!(Failure::from(error).kind, FailureKind::Transient);
}

#[tokio::test]
async fn odd_names_are_files_and_neither_options_nor_protocols() {
    let folder = tempfile::tempdir().unwrap();
    let cancelled = CancellationToken::new();
    for name in [
        "-y.mkv",
        "http:x.mkv",
        "a'b \"c\".mkv",
        "ü%03d\n.mkv",
        "concat:a|b.mkv",
    ] {
        let file = folder.path().join(name);
        let call = programs().ffmpeg("make a clip").args([
            "-f",
            "lavfi",
            "-i",
            "color=s=16x16:d=0.1",
            "-c:v",
            "rawvideo",
        ]);
        call.output(&file).run(&cancelled).await.unwrap();
        assert!(file.is_file(), "{name:?}");
        let call = programs()
            .ffprobe("probe it")
            .args(["-show_entries", "stream=width"]);
        let said = call.input(&file).run(&cancelled).await.unwrap();
        assert!(
            String::from_utf8_lossy(&said).contains("width=16"),
            "{name:?}"
        );
    }
}

#[tokio::test]
async fn cancelling_kills_a_program_that_would_run_for_ever() {
    let cancelled = CancellationToken::new();
    let call = programs().ffmpeg("wait for ever");
    let call = call.args(["-f", "rawvideo", "-s", "16x16", "-i", "pipe:0"]);
    let mut running = call.args(["-f", "null", "-"]).start().unwrap();
    running.write(&[0; 512], &cancelled).await.unwrap();
    let id = running.child.id().unwrap();
    // The first write that has to wait for room in the pipe lets the cancellation happen.
    let canceller = cancelled.clone();
    let cancel = async move {
        tokio::task::yield_now().await;
        canceller.cancel();
    };
    let write = async {
        loop {
            if let Err(error) = running.write(&[0; 384], &cancelled).await {
                return error;
            }
        }
    };
    let both = async { tokio::join!(write, cancel).0 };
    let error = tokio::time::timeout(Duration::from_secs(2), both).await;
    assert!(
        matches!(error, Ok(FfmpegError::Cancelled { .. })),
        "{error:?}"
    );
    // It has been waited for, so that not even a zombie stays.
    assert!(!Path::new(&format!("/proc/{id}")).exists());
}

#[tokio::test]
async fn a_program_that_dies_while_it_is_fed_tells_why() {
    let call = programs().ffmpeg("encode nonsense");
    let call = call.args(["-f", "no_such_format", "-i", "pipe:0", "-f", "null", "-"]);
    let mut running = call.start().unwrap();
    let error = loop {
        let written = running.write(&[0; 65_536], &CancellationToken::new()).await;
        if let Err(error) = written {
            break error;
        }
    };
    assert!(error.to_string().contains("no_such_format"), "{error}");
}

#[tokio::test]
async fn only_the_end_of_a_long_complaint_is_kept() {
    let long = "first line\n".repeat(1_000) + "the reason\n";
    let kept = tail(Some(long.as_bytes())).await;
    assert!(kept.len() <= STDERR_TAIL);
    assert!(kept.starts_with("first line") && kept.ends_with("the reason"));
}
