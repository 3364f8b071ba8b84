//! The backend as the worker calls it, with a real store and a real ffmpeg.

use std::path::Path;
use std::time::{Duration, Instant};

use shared::artifact::Artifact;
use shared::artifacts::ArtifactStore;
use shared::film::{Quality, Size};
use shared::ids::{Attempt, FilmId, JobId, Take};
use shared::story::{Camera, Scene};
use tempfile::TempDir;
use tiny_skia::Pixmap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use worker_runtime::backend::{Progress, Step};

use super::camera::Move;
use super::frames::Frames;
use super::picture::Picture;
use super::storyboard::{self, Keyframe};
use super::*;

const SMALL: Size = Size {
    width: 320,
    height: 180,
};

fn scene(title: &str, action: &str, camera: Camera) -> Scene {
    Scene {
        number: 2,
        title: title.to_owned(),
        action: action.to_owned(),
        beat: "Catalyst".to_owned(),
        image_prompt: action.to_owned(),
        motion_prompt: String::new(),
        negative_prompt: String::new(),
        camera,
        seconds: 1.0,
        characters: Vec::new(),
    }
}

fn words(title: &str, action: &str, size: Size, seed: u64) -> KeyframePayload {
    KeyframePayload {
        title: "The Keeper and the Storm".to_owned(),
        look: "storybook".to_owned(),
        scene: scene(title, action, Camera::PushIn),
        scenes: 6,
        size,
        quality: Quality::Final,
        seed,
    }
}

fn keeper(size: Size, seed: u64) -> KeyframePayload {
    let action = "The keeper climbs the lighthouse at dusk while a ship crosses the calm sea.";
    words("The Last Lamp", action, size, seed)
}

/// A studio: a backend, a store, a scratch folder, an attempt's context.
struct Studio {
    _folder: TempDir,
    backend: Animatic,
    context: AttemptContext,
    steps: watch::Receiver<Step>,
}

impl Studio {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path().join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        let store = folder.path().join("artifacts");
        let (progress, steps) = Progress::channel();
        let artifacts = ArtifactStore::open(&format!("file://{}", store.display())).unwrap();
        let context = AttemptContext {
            progress,
            ..AttemptContext::detached(artifacts, scratch)
        };
        Self {
            _folder: folder,
            backend: Animatic::new(FfmpegPrograms::default()),
            context,
            steps,
        }
    }

    async fn run(&self, payload: Payload) -> Result<Outcome, Failure> {
        let attempt = RunAttempt {
            film: FilmId::generate(),
            job: JobId::generate(),
            attempt: Attempt::FIRST,
            take: Take::FIRST,
            profile: ANIMATIC.parse().unwrap(),
            time_limit: Duration::from_secs(60),
            earlier: Vec::new(),
            payload,
        };
        self.backend.run(&attempt, &self.context).await
    }

    async fn keyframe(&self, payload: KeyframePayload) -> Artifact {
        let outcome = self.run(Payload::Keyframe(payload)).await.unwrap();
        outcome.product.artifact().unwrap().clone()
    }

    /// The clip of a storyboard frame, on disk.
    async fn clip(&self, camera: Camera, frames: u32, fps: u32) -> std::path::PathBuf {
        self.clip_of(keeper(SMALL, 7), camera, frames, fps).await
    }

    async fn clip_of(
        &self,
        keyframe: KeyframePayload,
        camera: Camera,
        frames: u32,
        fps: u32,
    ) -> std::path::PathBuf {
        let keyframe = self.keyframe(keyframe).await;
        let payload = take_of(&keyframe, camera, frames, fps);
        let outcome = self.run(Payload::Scene(payload)).await.unwrap();
        assert!(
            matches!(outcome.product, Product::Scene { frames: counted, .. } if counted == frames)
        );
        let file = self.context.scratch.join(format!("{camera}-{frames}.mp4"));
        let clip = outcome.product.artifact().unwrap();
        self.context.artifacts.fetch(clip, &file).await.unwrap();
        file
    }
}

fn take_of(keyframe: &Artifact, camera: Camera, frames: u32, fps: u32) -> ScenePayload {
    ScenePayload {
        scene: scene("The Last Lamp", "The keeper climbs.", camera),
        keyframe: keyframe.clone(),
        size: SMALL,
        fps,
        frames,
        quality: Quality::Final,
        seed: 7,
    }
}

async fn probe(file: &Path) -> String {
    let call = FfmpegPrograms::default().ffprobe("probe").args([
        "-count_frames",
        "-show_entries",
        "stream=codec_name,pix_fmt,width,height,r_frame_rate,nb_read_frames,color_space",
        "-of",
        "csv=p=0",
    ]);
    let said = call.input(file).run(&CancellationToken::new()).await;
    String::from_utf8(said.unwrap()).unwrap().trim().to_owned()
}

/// The decoded frames, in grey.
async fn decoded(file: &Path) -> Vec<u8> {
    let call = FfmpegPrograms::default().ffmpeg("decode").input(file);
    let call = call.args(["-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"]);
    call.run(&CancellationToken::new()).await.unwrap()
}

/// The pixels of a PNG file, without what else it carries.
fn pixels_of(png: &[u8]) -> Vec<u8> {
    let decoder = png::Decoder::new(std::io::Cursor::new(png));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    pixels
}

/// The share of values that differ by more than an eye overlooks.
fn share_apart(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    let apart = one.iter().zip(other).filter(|(a, b)| a.abs_diff(**b) > 16);
    apart.count() as f64 / one.len() as f64
}

#[test]
fn the_same_words_and_seed_give_the_same_bytes() {
    let once = storyboard::draw(&keeper(SMALL, 7)).unwrap();
    assert!(once == storyboard::draw(&keeper(SMALL, 7)).unwrap());
}

#[test]
fn another_seed_gives_another_composition() {
    let composed = |seed| {
        let picture = Picture::plan(&keeper(SMALL, seed));
        storyboard::compose(&picture, SMALL).unwrap()
    };
    // Neither lettering nor grain, and no words in the file: this is the picture itself.
    let seven = composed(7);
    for seed in [8, 9, 10, 7_000] {
        let share = share_apart(seven.data(), composed(seed).data());
        assert!(share > 0.15, "seed {seed}: {share}");
    }
    assert_eq!(share_apart(seven.data(), composed(7).data()), 0.0);
}

#[test]
fn every_size_from_stamp_to_poster_is_drawn() {
    for text in [
        "64x64",
        "64x4096",
        "4096x64",
        "98x54",
        "480x854",
        "1600x1600",
    ] {
        let size: Size = text.parse().unwrap();
        let png = storyboard::draw(&keeper(size, 3)).unwrap();
        let reader = png::Decoder::new(std::io::Cursor::new(&png))
            .read_info()
            .unwrap();
        assert_eq!(
            (reader.info().width, reader.info().height),
            (size.width, size.height)
        );
    }
}

#[test]
fn odd_words_are_drawn_and_never_stop_the_drawing() {
    let odd = [
        "",
        "\"Quoted\" 'twice' 100% \\ {x}: $(rm) `id`",
        "line\nbreak\ttab\0nul",
        "🎬🌊 only emoji 👩‍🚀",
        "שלום עולם",
        "東京の夜",
        "e\u{301}\u{202e}reversed",
        &"Wordwithoutanyspace".repeat(10),
    ];
    let plain = storyboard::draw(&words("Plain", "Plain", SMALL, 1)).unwrap();
    for text in odd {
        let drawn = storyboard::draw(&words(text, text, SMALL, 1)).unwrap();
        assert!(pixels_of(&drawn) != pixels_of(&plain), "{text:?}");
        let Keyframe::Storyboard(read) = storyboard::read(&drawn).unwrap() else {
            panic!("{text:?} was not read back");
        };
        assert_eq!(read.scene.title, text);
    }
}

#[test]
fn what_the_words_name_is_in_the_picture() {
    use super::reading::{Hour, Place, Thing, Weather, read};
    let read = |action: &str| read(&words("x", action, SMALL, 1));
    let storm = read("A ship runs before the storm at night, off the lighthouse.");
    assert_eq!(
        (storm.place, storm.weather, storm.hour),
        (Place::Sea, Weather::Storm, Hour::Night)
    );
    assert!(storm.things.contains(&Thing::Ship) && storm.things.contains(&Thing::Lighthouse));
    let desert = read("A caravan crosses the dunes under a burning sun.");
    assert_eq!((desert.place, desert.hour), (Place::Desert, Hour::Day));
    let room = read("She writes at the kitchen table by lamplight.");
    assert_eq!((room.place, room.people), (Place::Room, 1));
}

/// Centre and size of a white square, as the frames of a move show it first and last.
fn seen(camera: Camera) -> [(f64, f64, f64); 2] {
    let mut image = Pixmap::new(640, 360).unwrap();
    image.fill(tiny_skia::Color::BLACK);
    let square = tiny_skia::Rect::from_xywh(280.0, 140.0, 80.0, 80.0).unwrap();
    let mut white = tiny_skia::Paint::default();
    white.set_color(tiny_skia::Color::WHITE);
    image.fill_rect(square, &white, tiny_skia::Transform::identity(), None);
    let keyframe = Keyframe::Image(image);
    let mut frames = Frames::new(keyframe, Move::new(camera, 4.0), SMALL, 96).unwrap();
    [0, 95].map(|index| {
        let pixels = frames.frame(index).unwrap();
        let (mut x, mut y, mut sum) = (0.0, 0.0, 0.0);
        for (place, pixel) in pixels.chunks_exact(4).enumerate() {
            let bright = f64::from(pixel[0]);
            x += bright * (place % 320) as f64;
            y += bright * (place / 320) as f64;
            sum += bright;
        }
        (x / sum, y / sum, sum)
    })
}

#[test]
fn every_camera_move_carries_the_picture_the_other_way() {
    let [from, to] = seen(Camera::PanRight);
    assert!(
        to.0 < from.0 - 20.0 && (to.1 - from.1).abs() < 0.5,
        "{from:?} {to:?}"
    );
    let [from, to] = seen(Camera::PanLeft);
    assert!(to.0 > from.0 + 20.0, "{from:?} {to:?}");
    let [from, to] = seen(Camera::TiltUp);
    assert!(
        to.1 > from.1 + 10.0 && (to.0 - from.0).abs() < 0.5,
        "{from:?} {to:?}"
    );
    let [from, to] = seen(Camera::TiltDown);
    assert!(to.1 < from.1 - 10.0, "{from:?} {to:?}");
    let [from, to] = seen(Camera::PushIn);
    assert!(to.2 > from.2 * 1.2, "{from:?} {to:?}");
    let [from, to] = seen(Camera::PullOut);
    assert!(to.2 < from.2 / 1.2, "{from:?} {to:?}");
    let [from, to] = seen(Camera::Static);
    assert_eq!(from, to);
}

#[test]
fn a_clip_begins_as_its_storyboard_frame_looks() {
    let payload = keeper(SMALL, 7);
    let png = storyboard::draw(&payload).unwrap();
    let drawn = pixels_of(&png);
    let keyframe = storyboard::read(&png).unwrap();
    let still = Move::new(Camera::Static, 1.0);
    let mut frames = Frames::new(keyframe, still, SMALL, 24).unwrap();
    let filmed = frames.frame(0).unwrap();
    let pairs = drawn.chunks_exact(3).zip(filmed.chunks_exact(4));
    let apart = pairs.map(|(a, b)| u64::from(a[0].abs_diff(b[0])) + u64::from(a[2].abs_diff(b[2])));
    let apart = apart.sum::<u64>() as f64 / (320.0 * 180.0 * 2.0);
    // The grain of the frame is about one step; the film has none.
    assert!(apart < 2.0, "{apart}");
}

#[tokio::test]
async fn a_clip_has_the_frames_the_rate_and_the_size_that_were_asked_for() {
    let studio = Studio::open();
    for (camera, frames, fps) in [
        (Camera::PanLeft, 24, 24),
        (Camera::Static, 37, 30),
        (Camera::PushIn, 13, 25),
    ] {
        let file = studio.clip(camera, frames, fps).await;
        let expected = format!("h264,320,180,yuv420p,bt709,{fps}/1,{frames}");
        assert_eq!(probe(&file).await, expected);
        let last = studio.steps.borrow().clone();
        assert_eq!((last.step, last.steps), (frames, frames));
    }
}

#[tokio::test]
async fn the_same_take_decodes_to_the_same_frames_and_another_seed_to_others() {
    let (one, other) = (Studio::open(), Studio::open());
    let take = |seed| keeper(SMALL, seed);
    let clip = decoded(&one.clip_of(take(7), Camera::TiltUp, 24, 24).await).await;
    let again = decoded(&other.clip_of(take(7), Camera::TiltUp, 24, 24).await).await;
    assert!(clip == again);
    let another = decoded(&other.clip_of(take(8), Camera::TiltUp, 24, 24).await).await;
    let share = share_apart(&clip, &another);
    assert!(share > 0.15, "{share}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_clip_tells_the_frames_that_were_counted_and_not_those_that_were_asked_for() {
    // An encoder that loses the last frame, which the check lets pass.
    let script = crate::ffmpeg::script::Script::new(
        r#"for argument; do
    shift
    case $argument in
        scale=out*) set -- "$@" "$argument,select=lt(n\,23)" ;;
        *) set -- "$@" "$argument" ;;
    esac
done
exec ffmpeg "$@""#,
    );
    let mut studio = Studio::open();
    studio.backend = Animatic::new(FfmpegPrograms {
        ffmpeg: script.path(),
        ..FfmpegPrograms::default()
    });
    let keyframe = studio.keyframe(keeper(SMALL, 7)).await;
    let payload = take_of(&keyframe, Camera::PanLeft, 24, 24);
    let outcome = studio.run(Payload::Scene(payload)).await.unwrap();
    assert!(
        matches!(outcome.product, Product::Scene { frames: 23, .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn an_image_of_another_maker_is_filmed_too() {
    let studio = Studio::open();
    // Another shape than the frame, and grey: what other image models and people bring.
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 200, 300);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    let pixels: Vec<u8> = (0..200 * 300)
        .map(|place| ((place % 200) ^ (place / 200)) as u8)
        .collect();
    writer.write_image_data(&pixels).unwrap();
    writer.finish().unwrap();
    let stored = studio
        .context
        .artifacts
        .put_bytes(png.into(), MediaType::Png)
        .await;
    let payload = take_of(&stored.unwrap(), Camera::PanRight, 24, 24);
    let outcome = studio.run(Payload::Scene(payload)).await.unwrap();
    assert_eq!(outcome.product.kind(), JobKind::Scene);
}

#[tokio::test]
async fn a_keyframe_that_is_no_image_is_a_failure_that_no_retry_cures() {
    let studio = Studio::open();
    let stored = studio
        .context
        .artifacts
        .put_bytes("no image".into(), MediaType::Png)
        .await;
    let payload = take_of(&stored.unwrap(), Camera::PanRight, 24, 24);
    let failure = studio.run(Payload::Scene(payload)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(failure.message.contains("PNG"), "{failure}");
}

#[tokio::test]
async fn a_blank_image_makes_a_clip_that_is_turned_down() {
    let studio = Studio::open();
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 320, 180);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[0; 320 * 180]).unwrap();
    writer.finish().unwrap();
    let stored = studio
        .context
        .artifacts
        .put_bytes(png.into(), MediaType::Png)
        .await;
    let payload = take_of(&stored.unwrap(), Camera::Static, 24, 24);
    let failure = studio.run(Payload::Scene(payload)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::RejectedContent, "{failure}");
}

#[tokio::test]
async fn a_cancelled_clip_ends_at_once_and_leaves_no_ffmpeg_behind() {
    let mut studio = Studio::open();
    let keyframe = studio.keyframe(keeper(SMALL, 7)).await;
    let mut steps = studio.steps.clone();
    let cancelled = studio.context.cancelled.clone();
    let cancel = async move {
        let begun = steps
            .wait_for(|step| step.phase == "frames" && step.step > 3)
            .await;
        drop(begun.unwrap());
        cancelled.cancel();
        Instant::now()
    };
    let run = studio.run(Payload::Scene(take_of(
        &keyframe,
        Camera::PanLeft,
        1_000_000,
        24,
    )));
    let (ended, cancelled_at) = tokio::join!(run, cancel);
    assert_eq!(ended.unwrap_err().kind, FailureKind::Cancelled);
    assert!(cancelled_at.elapsed() < Duration::from_secs(2));
    let scratch = studio.context.scratch.display().to_string();
    let left = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .any(|process| {
            let said = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&said).contains(&scratch) && said.starts_with(b"ffmpeg")
        });
    assert!(!left, "ffmpeg still works in {scratch}");
    // The next attempt in the same place works.
    studio.context.cancelled = CancellationToken::new();
    studio.clip(Camera::PanLeft, 12, 24).await;
}
