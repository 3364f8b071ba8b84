//! The programs as they are installed, and some that are not.

use std::path::Path;
use std::time::Duration;

use shared::failure::{Failure, FailureKind};
use tokio_util::sync::CancellationToken;

use super::running::{STDERR_TAIL, tail};
#[cfg(unix)]
use super::script::Script;
use super::*;

fn programs() -> FfmpegPrograms {
    FfmpegPrograms::default()
}

/// The installed ffprobe beside a script that stands for ffmpeg.
#[cfg(unix)]
fn ffmpeg_at(script: &Script) -> FfmpegPrograms {
    FfmpegPrograms {
        ffmpeg: script.path(),
        ..programs()
    }
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

/// The process group of a process.
#[cfg(target_os = "linux")]
fn group_of(process: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let behind_name = stat.rsplit_once(") ").unwrap().1;
    behind_name.split(' ').nth(2).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn ctrl_c_at_a_terminal_does_not_reach_the_programs() {
    let call = programs().ffmpeg("wait for ever");
    let call = call.args(["-f", "rawvideo", "-s", "16x16", "-i", "pipe:0"]);
    let running = call.args(["-f", "null", "-"]).start().unwrap();
    let id = running.child.id().unwrap();
    // A terminal tells the group in front, which is ours.
    assert_eq!(group_of(id), id);
    assert_ne!(group_of(id), group_of(std::process::id()));
    running.cancel().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_program_that_someone_ends_is_not_charged_to_the_job() {
    for (text, kind) in [
        // As ffmpeg does when it gets a signal, and as ffprobe does.
        ("exit 255", FailureKind::Cancelled),
        // Not by SIGINT, which whoever is started in the background may have inherited as ignored.
        ("kill -TERM $$", FailureKind::Cancelled),
        ("kill -KILL $$", FailureKind::Cancelled),
        ("kill -SEGV $$", FailureKind::Transient),
        (
            "echo Operation not permitted >&2; exit 255",
            FailureKind::Transient,
        ),
        ("exit 1", FailureKind::Transient),
    ] {
        let script = Script::new(text);
        let call = ffmpeg_at(&script).ffmpeg("encode scene 3");
        let error = call.run(&CancellationToken::new()).await.unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.kind, kind, "{text}: {failure}");
        assert!(failure.message.starts_with("encode scene 3 "), "{failure}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn ffmpeg_itself_tells_that_a_signal_ended_it() {
    let call = programs().ffmpeg("encode for ever");
    let call = call.args(["-f", "lavfi", "-i", "testsrc2", "-f", "null", "-"]);
    let running = call.start().unwrap();
    let id = running.child.id().unwrap();
    // It catches signals once its own handlers are there: `SigCgt` tells, a mask in hexadecimal digits.
    let catches = || {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("SigCgt"));
        let mask = line.unwrap().rsplit('\t').next().unwrap().to_owned();
        u64::from_str_radix(&mask, 16).unwrap() & 0b10 != 0
    };
    while !catches() {
        tokio::task::yield_now().await;
    }
    let kill = tokio::process::Command::new("kill")
        .args(["-INT", &id.to_string()])
        .status();
    assert!(kill.await.unwrap().success());
    let error = running.finish(&CancellationToken::new()).await.unwrap_err();
    assert!(
        matches!(error, FfmpegError::Interrupted { .. }),
        "{error:?}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn programs_that_will_not_do_say_which_why_and_what_to_do() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    let forbidden = Script::new("exit 0");
    std::fs::set_permissions(forbidden.path(), Permissions::from_mode(0o644)).unwrap();
    for (path, reason) in [
        ("/bin/false".into(), "exit status: 1"),
        ("/bin/true".into(), "it is not ff"),
        (forbidden.path(), "it cannot be run"),
        ("/nowhere/program".into(), "cannot find"),
    ] {
        let ffmpeg = FfmpegPrograms {
            ffmpeg: path.clone(),
            ..programs()
        };
        let ffprobe = FfmpegPrograms {
            ffprobe: path.clone(),
            ..programs()
        };
        for programs in [ffmpeg, ffprobe] {
            let text = programs.check().await.unwrap_err().to_string();
            let path = path.display().to_string();
            for part in [&path, reason, "install ffmpeg", "[ffmpeg]"] {
                assert!(text.contains(part), "{text}");
            }
            assert!(!text.contains(": ;") && !text.ends_with(": "), "{text}");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_silent_failure_ends_without_a_colon() {
    let script = Script::new("exit 3");
    let call = ffmpeg_at(&script).ffmpeg("encode scene 3");
    let error = call.run(&CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "encode scene 3 failed (exit status: 3)");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_is_blamed_only_by_programs_that_will_do() {
    let failed = |programs: &FfmpegPrograms| {
        let call = programs.ffmpeg("read nothing");
        call.input(Path::new("/nowhere/clip.mp4"))
            .args(["-f", "null", "-"])
    };
    let never = CancellationToken::new();
    let error = failed(&programs()).run(&never).await.unwrap_err();
    let said = programs().complaint(error).await.unwrap();
    assert!(said.contains("No such file"), "{said}");

    let broken = Script::new("echo error while loading shared libraries >&2; exit 127");
    let error = failed(&ffmpeg_at(&broken)).run(&never).await.unwrap_err();
    let error = ffmpeg_at(&broken).complaint(error).await.unwrap_err();
    assert!(matches!(error, FfmpegError::Unfit { .. }), "{error:?}");
    assert!(error.to_string().contains("shared libraries"), "{error}");
}
