//! The backend as the worker calls it, with a real store and a real ffmpeg.

use std::path::Path;
use std::time::{Duration, Instant};

use shared::artifact::Artifact;
use shared::artifacts::ArtifactStore;
use shared::film::{Quality, Size};
use shared::ids::{Attempt, FilmId, JobId, Take};
use shared::story::{Camera, Scene};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use worker_runtime::backend::{Progress, Step};

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

/// The share of values that differ by more than an eye overlooks.
fn share_apart(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    let apart = one.iter().zip(other).filter(|(a, b)| a.abs_diff(**b) > 16);
    apart.count() as f64 / one.len() as f64
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
