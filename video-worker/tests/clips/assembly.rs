//! Clips become a film, by a real ffmpeg.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::{Clip, Source, ULTRAFAST, clip, size};
use serde_json::Value;
use shared::artifact::{Artifact, MediaType, Sha256};
use shared::artifacts::ArtifactStore;
use shared::byte_size::ByteSize;
use shared::failure::{Failure, FailureKind};
use shared::film::Size;
use shared::ids::{Attempt, FilmId, JobId, Take};
use shared::job::{AssemblyClip, AssemblyPayload, Outcome, Payload, Product};
use shared::protocol::RunAttempt;
use tempfile::TempDir;
use video_worker::assembly::Assembly;
use video_worker::ffmpeg::FfmpegPrograms;
use worker_runtime::backend::{AttemptContext, Backend as _};

const SIZE: Size = size(128, 72);
const FPS: u32 = 16;
/// As clips come that were made with care: with frames that refer to later ones.
const WITH_B_FRAMES: &[&str] = &["-preset", "veryfast", "-bf", "3", "-crf", "20"];

/// A store, a scratch folder and a film to assemble.
struct Cutting {
    _folder: TempDir,
    folder: PathBuf,
    context: AttemptContext,
    payload: AssemblyPayload,
}

impl Cutting {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().to_owned();
        let scratch = folder.join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        let store = ArtifactStore::open_folder(&folder.join("artifacts")).unwrap();
        Self {
            _folder: temp,
            folder,
            context: AttemptContext::detached(store, scratch),
            payload: AssemblyPayload {
                title: "Film".to_owned(),
                logline: "Something happens.".to_owned(),
                clips: Vec::new(),
                size: SIZE,
                fps: FPS,
            },
        }
    }

    /// Stores a clip as the next scene.
    async fn add(&mut self, title: &str, clip: Clip) {
        let path = self.folder.join("clip.mp4");
        clip.write(&path);
        let stored = self.context.artifacts.put_file(&path, MediaType::Mp4).await;
        self.add_artifact(title, stored.unwrap(), clip.frames);
    }

    fn add_artifact(&mut self, title: &str, clip: Artifact, frames: u32) {
        self.payload.clips.push(AssemblyClip {
            number: u32::try_from(self.payload.clips.len()).unwrap() + 1,
            title: title.to_owned(),
            clip,
            frames,
        });
    }

    async fn run(&self) -> Result<Outcome, Failure> {
        self.run_with(FfmpegPrograms::default()).await
    }

    async fn run_with(&self, programs: FfmpegPrograms) -> Result<Outcome, Failure> {
        let attempt = RunAttempt {
            film: FilmId::generate(),
            job: JobId::generate(),
            attempt: Attempt::FIRST,
            take: Take::FIRST,
            profile: "ffmpeg".parse().unwrap(),
            time_limit: Duration::from_secs(600),
            earlier: Vec::new(),
            payload: Payload::Assembly(self.payload.clone()),
        };
        let assembly = Assembly::new(programs);
        assembly.run(&attempt, &self.context).await
    }

    /// Assembles the film and fetches it from the store.
    async fn film(&self) -> Film {
        let Outcome { product, fallbacks } = self.run().await.unwrap();
        let Product::Assembly { film, seconds } = product else {
            panic!("{product:?}");
        };
        let path = self.folder.join("fetched.mp4");
        self.context.artifacts.fetch(&film, &path).await.unwrap();
        Film {
            path,
            seconds,
            fallbacks,
        }
    }
}

struct Film {
    path: PathBuf,
    seconds: f64,
    fallbacks: Vec<String>,
}

impl Film {
    fn probe(&self) -> Value {
        let mut ffprobe = Command::new("ffprobe");
        ffprobe.args(["-v", "error", "-count_frames", "-of", "json"]);
        ffprobe.args(["-show_streams", "-show_format", "-show_chapters"]);
        let said = ffprobe.arg(&self.path).output().unwrap();
        assert!(said.status.success(), "{said:?}");
        serde_json::from_slice(&said.stdout).unwrap()
    }

    /// The mean brightness of every frame.
    fn levels(&self) -> Vec<u8> {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-i"]).arg(&self.path);
        ffmpeg.args([
            "-vf",
            "scale=1:1:flags=area",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-",
        ]);
        let said = ffmpeg.output().unwrap();
        assert!(said.stderr.is_empty(), "{said:?}");
        said.stdout
    }
}

fn chapters(probe: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let chapters = probe["chapters"].as_array().unwrap().iter();
    chapters
        .map(|chapter| {
            let title = text(&chapter["tags"]["title"]);
            (
                text(&chapter["start_time"]),
                text(&chapter["end_time"]),
                title,
            )
        })
        .collect()
}

const DARK: &str = "color=0x303030:s=SIZE:r=RATE";
const MIDDLE: &str = "color=0x808080:s=SIZE:r=RATE";
const LIGHT: &str = "color=0xd0d0d0:s=SIZE:r=RATE";

fn short(source: Source) -> Clip {
    clip(source)
        .size(SIZE.width, SIZE.height)
        .fps(FPS)
        .frames(8)
}

fn is_near(level: u8, expected: u8) -> bool {
    level.abs_diff(expected) <= 3
}

#[tokio::test]
async fn clips_are_joined_in_the_order_of_the_scenes_without_encoding_them_again() {
    let mut cutting = Cutting::new();
    for (encoder, frames) in [(ULTRAFAST, [8, 5, 11]), (WITH_B_FRAMES, [7, 13, 9])] {
        cutting.payload.clips.clear();
        for (source, frames) in [LIGHT, DARK, MIDDLE].into_iter().zip(frames) {
            let clip = short(Source::Filters(source))
                .frames(frames)
                .encoder(encoder);
            cutting.add(source, clip).await;
        }
        let film = cutting.film().await;
        assert_eq!(film.fallbacks, [""; 0]);
        let levels = film.levels();
        let expected: Vec<_> = [0xd0, 0x30, 0x80]
            .into_iter()
            .zip(frames)
            .flat_map(|(level, frames)| std::iter::repeat_n(level, frames as usize))
            .collect();
        assert_eq!(levels.len(), expected.len());
        let in_order = levels.iter().zip(&expected).all(|(a, b)| is_near(*a, *b));
        assert!(in_order, "{levels:?}");

        let probe = film.probe();
        let video = &probe["streams"][0];
        assert_eq!(video["codec_name"], "h264");
        assert_eq!(video["pix_fmt"], "yuv420p");
        assert_eq!(video["avg_frame_rate"], "16/1");
        let seconds = f64::from(frames.iter().sum::<u32>()) / 16.0;
        assert!((film.seconds - seconds).abs() < 0.001, "{}", film.seconds);
        // Its index stands before its pictures, so that it plays while it loads.
        let bytes = std::fs::read(&film.path).unwrap();
        let place = |name: &[u8]| bytes.windows(4).position(|four| four == name).unwrap();
        assert!(place(b"moov") < place(b"mdat"));
    }
}

#[tokio::test]
async fn every_frame_keeps_its_time_over_many_clips() {
    let mut cutting = Cutting::new();
    // A third of a second is no whole number of milliseconds or microseconds.
    cutting.payload.fps = 24;
    let sources = [DARK, MIDDLE, LIGHT];
    for number in 0..24 {
        let clip = short(Source::Filters(sources[number % 3])).encoder(WITH_B_FRAMES);
        cutting
            .add(&format!("Scene {number}"), clip.fps(24).frames(8))
            .await;
    }
    let film = cutting.film().await;
    assert_eq!(film.fallbacks, [""; 0]);
    assert!((film.seconds - 8.0).abs() < 0.001, "{}", film.seconds);
    let chapters = chapters(&film.probe());
    assert_eq!(chapters.len(), 24);
    for (number, (start, end, title)) in chapters.iter().enumerate() {
        let at = |number: usize| number as f64 / 3.0;
        let [start, end] = [start, end].map(|time| time.parse::<f64>().unwrap());
        assert!(
            (start - at(number)).abs() <= 0.001,
            "chapter {number} at {start}"
        );
        assert!(
            (end - at(number + 1)).abs() <= 0.001,
            "chapter {number} to {end}"
        );
        assert_eq!(*title, format!("Scene {number}"));
    }
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args([
        "-v",
        "error",
        "-show_entries",
        "frame=pts_time",
        "-of",
        "csv=p=0",
    ]);
    let said = ffprobe
        .args(["-select_streams", "v"])
        .arg(&film.path)
        .output()
        .unwrap();
    let times: Vec<f64> = String::from_utf8(said.stdout)
        .unwrap()
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.trim_end_matches(',').parse().unwrap())
        .collect();
    assert_eq!(times.len(), 192);
    for (frame, time) in times.iter().enumerate() {
        assert!(
            (time - frame as f64 / 24.0).abs() < 0.000_2,
            "frame {frame} at {time}"
        );
    }
}

#[tokio::test]
async fn one_clip_makes_a_film() {
    let mut cutting = Cutting::new();
    cutting
        .add("All of it", short(Source::Filters(MIDDLE)))
        .await;
    let film = cutting.film().await;
    assert_eq!(film.levels().len(), 8);
    let expected = (
        "0.000000".to_owned(),
        "0.500000".to_owned(),
        "All of it".to_owned(),
    );
    assert_eq!(chapters(&film.probe()), [expected]);
}

#[tokio::test]
async fn titles_reach_the_film_unchanged_whatever_is_in_them() {
    let nasty = [
        "it's \"quoted\"",
        "100 % : of = ; # \\ all",
        "two\nlines\n[CHAPTER]\nSTART=0",
        "; a comment, # another",
        "🎬 Ünïcödé 映画 \u{202e}rtl",
        "$(touch /tmp/x) `id` %d {} [0:v] , drawtext=text=x",
        "back\\\\slashes\\",
        " room around ",
        "tab\tand\rreturn",
        "=",
    ];
    let mut cutting = Cutting::new();
    for title in nasty {
        cutting.add(title, short(Source::Filters(DARK))).await;
    }
    for text in nasty {
        cutting.payload.title = text.to_owned();
        cutting.payload.logline = text.to_owned();
        let probe = cutting.film().await.probe();
        let tags = &probe["format"]["tags"];
        assert_eq!(tags["title"], text);
        assert_eq!(tags["description"], text);
        let titles: Vec<_> = chapters(&probe)
            .into_iter()
            .map(|chapter| chapter.2)
            .collect();
        assert_eq!(titles, nasty);
    }
}

#[tokio::test]
async fn a_title_may_be_empty_or_long() {
    let mut cutting = Cutting::new();
    let long = "a long título ".repeat(40);
    cutting.add("", short(Source::Filters(DARK))).await;
    cutting.add(&long, short(Source::Filters(LIGHT))).await;
    cutting.payload.title = String::new();
    cutting.payload.logline = long.clone();
    let probe = cutting.film().await.probe();
    assert_eq!(probe["format"]["tags"]["description"], long);
    let starts: Vec<_> = probe["chapters"].as_array().unwrap().iter().collect();
    assert_eq!(starts.len(), 2);
    assert_eq!(starts[0]["tags"]["title"], "Scene 1");
    assert_eq!(starts[1]["tags"]["title"], long);
}

#[tokio::test]
async fn clips_of_other_sizes_and_rates_are_made_alike_and_the_film_says_so() {
    let mut cutting = Cutting::new();
    cutting
        .add("as asked", short(Source::Filters(LIGHT)).frames(16))
        .await;
    cutting
        .add(
            "larger",
            short(Source::Filters(DARK)).size(256, 144).frames(16),
        )
        .await;
    cutting
        .add("faster", short(Source::Filters(MIDDLE)).fps(30).frames(30))
        .await;
    cutting
        .add(
            "upright",
            short(Source::Filters(LIGHT)).size(72, 128).frames(16),
        )
        .await;
    let film = cutting.film().await;
    let [fallback] = &film.fallbacks[..] else {
        panic!("{:?}", film.fallbacks);
    };
    for part in [
        "encoded again in 128x72 at 16 frames a second",
        "scene 2: its size is 256x144 instead of 128x72",
        "scene 3: it runs at 30.000 frames a second instead of 16",
        "scene 4: its size is 72x128",
    ] {
        assert!(fallback.contains(part), "{fallback}");
    }
    assert!(!fallback.contains("scene 1"), "{fallback}");
    let levels = film.levels();
    assert_eq!(levels.len(), 64);
    for (frame, level) in [(8, 0xd0), (24, 0x30), (40, 0x80)] {
        assert!(is_near(levels[frame], level), "frame {frame}: {levels:?}");
    }
    // Bars left and right of the upright picture: no part of it is cut off, and nothing is stretched.
    assert!((0x30..0x70).contains(&levels[56]), "{levels:?}");
    let starts: Vec<_> = chapters(&film.probe())
        .into_iter()
        .map(|chapter| chapter.0)
        .collect();
    assert_eq!(starts, ["0.000000", "1.000000", "2.000000", "3.000000"]);
}

#[tokio::test]
async fn clips_that_differ_only_in_how_they_are_encoded_are_made_alike() {
    let mut cutting = Cutting::new();
    cutting.add("one", short(Source::Filters(LIGHT))).await;
    cutting
        .add("other", short(Source::Filters(DARK)).encoder(WITH_B_FRAMES))
        .await;
    let film = cutting.film().await;
    let text = "scene 2: encoded otherwise than scene 1";
    assert!(film.fallbacks[0].contains(text), "{:?}", film.fallbacks);
    assert_eq!(film.levels().len(), 16);
}

#[tokio::test]
async fn clips_that_differ_in_their_colour_tags_are_even_once_they_are_made_alike() {
    const HD: &[&str] = &[
        "-preset",
        "ultrafast",
        "-colorspace",
        "bt709",
        "-color_primaries",
        "bt709",
        "-color_trc",
        "bt709",
        "-color_range",
        "tv",
    ];
    const SD: &[&str] = &[
        "-preset",
        "ultrafast",
        "-colorspace",
        "smpte170m",
        "-color_primaries",
        "smpte170m",
        "-color_trc",
        "gamma28",
    ];
    let mut cutting = Cutting::new();
    for (source, encoder) in [(LIGHT, HD), (DARK, ULTRAFAST), (MIDDLE, SD)] {
        let clip = short(Source::Filters(source)).encoder(encoder);
        cutting.add("tagged", clip).await;
    }
    let film = cutting.film().await;
    let text = "scene 2: encoded otherwise than scene 1";
    assert!(film.fallbacks[0].contains(text), "{:?}", film.fallbacks);
    let levels = film.levels();
    for (frame, level) in [(4, 0xd0), (12, 0x30), (20, 0x80)] {
        assert!(is_near(levels[frame], level), "frame {frame}: {levels:?}");
    }
    let probe = film.probe();
    for tag in ["color_space", "color_primaries", "color_transfer"] {
        assert_eq!(probe["streams"][0][tag], "bt709", "{tag}");
    }
}

#[tokio::test]
async fn a_missing_clip_is_looked_for_again_later() {
    let mut cutting = Cutting::new();
    cutting.add("there", short(Source::Filters(DARK))).await;
    let nowhere = Artifact {
        sha256: Sha256::new([7; 32]),
        size: ByteSize::bytes(9),
        media_type: MediaType::Mp4,
    };
    cutting.add_artifact("not there", nowhere, 8);
    let failure = cutting.run().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    assert!(
        failure
            .message
            .starts_with("cannot fetch the clip of scene 2: "),
        "{failure}"
    );
    assert!(failure.message.contains("is not in the store"), "{failure}");
}

#[tokio::test]
async fn a_clip_that_cannot_be_used_is_named() {
    let mut cutting = Cutting::new();
    cutting.add("good", short(Source::Filters(DARK))).await;
    let path = cutting.folder.join("clip.mp4");
    let good = std::fs::read(&path).unwrap();
    for (bytes, frames, reason) in [
        (&b"no clip at all"[..], 8, "cannot be used"),
        (&good[..good.len() / 2], 8, "cannot be used"),
        (&good[..], 10, "has 8 frames instead of 10"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let stored = cutting
            .context
            .artifacts
            .put_file(&path, MediaType::Mp4)
            .await;
        cutting.payload.clips.truncate(1);
        cutting.add_artifact("bad", stored.unwrap(), frames);
        let failure = cutting.run().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Permanent);
        assert!(
            failure.message.starts_with("the clip of scene 2 "),
            "{failure}"
        );
        assert!(failure.message.contains(reason), "{failure}");
    }
}

#[tokio::test]
async fn a_clip_may_be_a_frame_off_as_in_the_content_check_and_the_film_goes_by_what_is_there() {
    let mut cutting = Cutting::new();
    for said in [7, 9] {
        cutting.add("off", short(Source::Filters(DARK))).await;
        cutting.payload.clips.last_mut().unwrap().frames = said;
    }
    let film = cutting.film().await;
    assert_eq!(film.levels().len(), 16);
    assert!((film.seconds - 1.0).abs() < 0.001, "{}", film.seconds);
    assert_eq!(chapters(&film.probe())[1].0, "0.500000");
}

#[cfg(unix)]
#[tokio::test]
async fn a_program_that_will_not_do_is_not_charged_to_the_clip() {
    let mut cutting = Cutting::new();
    cutting.add("good", short(Source::Filters(DARK))).await;
    let programs = FfmpegPrograms {
        ffprobe: "/bin/false".into(),
        ..FfmpegPrograms::default()
    };
    let failure = cutting.run_with(programs).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient, "{failure}");
    for part in ["`/bin/false` will not do", "install ffmpeg"] {
        assert!(failure.message.contains(part), "{failure}");
    }
}

#[tokio::test]
async fn a_film_without_clips_is_a_mistake() {
    let failure = Cutting::new().run().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert_eq!(failure.message, "there are no clips to join");
}

#[tokio::test]
async fn a_cancelled_assembly_stops() {
    let mut cutting = Cutting::new();
    cutting.add("one", short(Source::Filters(LIGHT))).await;
    cutting.context.cancelled.cancel();
    let failure = cutting.run().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Cancelled);
    assert!(!exists(&cutting.context.scratch, "film.mp4"));
}

fn exists(folder: &Path, name: &str) -> bool {
    folder.join(name).exists()
}

#[tokio::test]
async fn the_profile_needs_no_gpu_and_the_programs_are_looked_for() {
    let assembly = Assembly::new(FfmpegPrograms::default());
    let [profile] = &assembly.profiles()[..] else {
        panic!("one profile");
    };
    assert_eq!(profile.needs.device, None);
    assert_eq!(
        (profile.name.as_str(), profile.backend.as_str()),
        ("ffmpeg", assembly.name())
    );
    assert_eq!(assembly.prepare().await, Ok(()));
    let nowhere = Assembly::new(FfmpegPrograms {
        ffmpeg: "/nowhere/ffmpeg".into(),
        ..FfmpegPrograms::default()
    });
    let error = nowhere.prepare().await.unwrap_err();
    assert!(error.0.contains("/nowhere/ffmpeg"), "{error}");
}
