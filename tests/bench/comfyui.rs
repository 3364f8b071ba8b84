//! A render on ComfyUI by coordinator and workers, beside a bare client that does the same; and what the check of its clip costs.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use comfyui_double::{Content, Double, Flavour};
use serde_json::{Value, json};
use shared::api::{FilmStatus, Manifest, SubmitAnswer};
use shared::artifact::MediaType;
use shared::artifacts::ArtifactStore;
use shared::film::Size;
use shared::ids::{JobId, Take};
use support::stage::{Cast, Stage};
use support::wait::until;
use tokio::time::sleep;
use video_worker::comfyui::client::Client;
use video_worker::comfyui::graph::{Graph, Limits, Output};
use video_worker::comfyui::tag::Tag;
use video_worker::content_check::{self, Expected};
use video_worker::ffmpeg::FfmpegPrograms;

use crate::statistics::{Verdicts, median};

/// At most this share of the bare client's time beyond it, the check of the clip left out.
const OVERHEAD: f64 = 0.01;
/// Longest check and hashing of the clip, in seconds.
const CHECK: f64 = 1.5;
/// Checks of the clip; their median is told.
const CHECKS: u32 = 5;
/// Steps of the render.
const STEPS: u32 = 60;
/// How often the bare client asks whether it has ended.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// The clip: 5 s of 480 lines, as the WAN models make it.
const CLIP: Expected = Expected {
    frames: 80,
    fps: 16,
    size: Size {
        width: 848,
        height: 480,
    },
    still_is_fine: false,
};

pub(crate) async fn measure(seconds: u32, verdicts: &mut Verdicts) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clip = folder.path().join("clip.mp4");
    film_clip(&clip)?;
    let render = Duration::from_secs(seconds.into());
    let (ours, bare) = (double(&clip, render)?, double(&clip, render)?);
    // At the same time, so that both meet the same machine.
    let (ours, bare) = tokio::join!(by_workers(&ours), by_a_bare_client(&bare, folder.path()));
    let (ours, bare) = (ours?, bare?);
    let check = checked(&clip, folder.path()).await?;
    let overhead = (ours - check - bare) / bare;
    println!(
        "\ncomfyui: a render of {seconds} s, {STEPS} steps, on a double of the server; a clip of 5 s, 848x480, 16 fps"
    );
    println!("  bare client   {bare:7.2} s from its upload to the file on its disk");
    println!(
        "  worker        {ours:7.2} s from its grant to its product, {check:.2} s of it for the check and the store"
    );
    println!(
        "  overhead      {:7.2} %, at most {} %: {}",
        overhead * 100.0,
        OVERHEAD * 100.0,
        verdicts.of(overhead <= OVERHEAD)
    );
    println!(
        "  check, hash   {check:7.2} s, median of {CHECKS}, under {CHECK} s: {}",
        verdicts.of(check < CHECK)
    );
    Ok(())
}

fn film_clip(path: &Path) -> Result<()> {
    let source = format!("testsrc2=size={}:rate={}", CLIP.size, CLIP.fps);
    let frames = CLIP.frames.to_string();
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", &source])
        .args(["-frames:v", &frames, "-c:v", "libx264", "-crf", "19"])
        .args(["-pix_fmt", "yuv420p", "-movflags", "+faststart"])
        .arg(path)
        .status()?;
    ensure!(status.success(), "ffmpeg made no clip: {status}");
    Ok(())
}

/// A double that has what the stories' workflow needs, and saves that clip.
fn double(clip: &Path, render: Duration) -> Result<Double> {
    let double = Double::start(Flavour::New);
    let content = std::fs::read(clip)?;
    let file = |folder: &str, name: &str| (folder.to_owned(), vec![name.to_owned()]);
    double.behave(|it| {
        it.content = Content::Bytes(content.into());
        it.steps = STEPS;
        it.step = render / STEPS;
        it.models = [
            file("diffusion_models", "moving.safetensors"),
            file("text_encoders", "words.safetensors"),
            file("vae", "pixels.safetensors"),
        ]
        .into();
    });
    Ok(double)
}

/// A film of one scene; how long its clip took, from grant to product.
async fn by_workers(double: &Double) -> Result<f64> {
    let workflows = concat!(env!("CARGO_MANIFEST_DIR"), "/comfyui/workflows");
    let settings = format!(
        "[comfyui]\nurl = \"{}\"\nworkflows = '{workflows}'\n[gpu]\ndevice = \"none\"\n",
        double.url()
    );
    let stage = Stage::set_with(Cast::Real, |_| Ok(settings)).await?;
    let request = json!({
        "script": {"title": "Waves", "scenes": [{"action": "Waves."}]},
        "seconds": 5, "size": CLIP.size.to_string(), "fps": CLIP.fps, "profiles": {"scene": "moving"},
    });
    let film = match stage.post("/v1/films", &request).await? {
        SubmitAnswer::Accepted { film } => film,
        SubmitAnswer::Mistaken { mistakes } => bail!("refused: {mistakes:?}"),
    };
    until("the film", Duration::from_secs(300), async || {
        // Asked seldom: to ask is work, too.
        sleep(Duration::from_millis(500)).await;
        let view = stage.film(film).await?;
        ensure!(
            view.summary.status == FilmStatus::Completed,
            "it is not completed"
        );
        Ok(())
    })
    .await;
    let manifest: Manifest = stage.get(&format!("/v1/films/{film}/film.json")).await?;
    ensure!(
        double.taken().len() == 1 && manifest.fallbacks.is_empty(),
        "it was not rendered once: {:?}",
        manifest.fallbacks
    );
    Ok(manifest.scenes[0].clip.seconds)
}

/// The same graph: its image uploaded, sent, asked for until it has ended, the file fetched.
async fn by_a_bare_client(double: &Double, folder: &Path) -> Result<f64> {
    let client = Client::new(&double.url())?;
    let tag = Tag::first(JobId::generate(), Take::FIRST);
    let picture = folder.join("picture.png");
    std::fs::write(&picture, "a picture")?;
    let mut nodes: Value = serde_json::from_str(include_str!("../comfyui/workflows/moving.json"))?;

    let begun = Instant::now();
    let image = client.upload_image(&picture, "bare.png").await?;
    nodes["start"]["inputs"]["image"] = json!(image);
    nodes["save"]["inputs"]["filename_prefix"] = json!(tag.prefix());
    let graph = Graph {
        nodes: nodes.as_object().context("a graph is an object")?.clone(),
        output: Output {
            node: "save".to_owned(),
            key: None,
        },
        limits: Limits::within(Duration::from_secs(600)),
    };
    client.submit(&graph, &tag, "bare").await?;
    let entry = loop {
        match client.history(&tag.prompt()).await? {
            Some(entry) => break entry,
            None => sleep(ASK_EVERY).await,
        }
    };
    let saved = entry.of("save", None).next().context("a file was saved")?;
    client
        .download(&saved.file()?, &folder.join("bare.mp4"))
        .await?;
    Ok(begun.elapsed().as_secs_f64())
}

/// How long it takes to look at the clip and to put it into a store.
async fn checked(clip: &Path, folder: &Path) -> Result<f64> {
    let mut times = Vec::new();
    for number in 0..CHECKS {
        let store = ArtifactStore::open_folder(&folder.join(number.to_string()))?;
        let begun = Instant::now();
        content_check::check(&FfmpegPrograms::default(), clip, &CLIP, &Default::default()).await?;
        store.put_file(clip, MediaType::Mp4).await?;
        times.push(begun.elapsed().as_secs_f64());
    }
    Ok(median(&times))
}
