//! A workflow for the ComfyUI double: clips of a size that every test can afford.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use shared::film::{FilmRequest, Size};
use shared::job::{JobKind, Payload};
use shared::profile::{Profile, ResourceRequest};
use video_worker::comfyui::graph::{Graph, Limits, Output};
use video_worker::comfyui::{Expects, Filled, Template};
use video_worker::content_check::Expected;

/// The profile that it offers.
pub const PROFILE: &str = "moving";

const SIZE: Size = Size {
    width: 64,
    height: 64,
};
const FPS: u32 = 8;

/// Films clips with one node that samples.
#[derive(Debug)]
pub struct Moving;

impl Template for Moving {
    fn profile(&self) -> Profile {
        Profile {
            name: PROFILE.parse().expect("it is a name"),
            kind: JobKind::Scene,
            backend: "comfyui".to_owned(),
            needs: ResourceRequest::default(),
        }
    }

    fn classes(&self) -> Vec<String> {
        vec!["KSampler".to_owned()]
    }

    fn missing(&self, _: &Map<String, Value>) -> Vec<String> {
        Vec::new()
    }

    fn fill(
        &self,
        payload: &Payload,
        prefix: &str,
        start_image: Option<&str>,
    ) -> Result<Filled, String> {
        let Payload::Scene(scene) = payload else {
            return Err("it makes clips".to_owned());
        };
        let node = |class: &str, inputs: Value| json!({"class_type": class, "inputs": inputs});
        let sampler = json!({
            "model": 0, "seed": scene.seed, "steps": 4, "cfg": 1, "sampler_name": "euler", "scheduler": "simple", "positive": 0,
            "negative": 0, "latent_image": ["start", 0], "denoise": 1,
        });
        let save = json!({"video": ["sampler", 0], "filename_prefix": prefix, "format": "mp4", "codec": "h264"});
        let nodes = [
            ("start", node("LoadImage", json!({"image": start_image}))),
            ("sampler", node("KSampler", sampler)),
            ("save", node("SaveVideo", save)),
        ];
        let limit = Duration::from_secs(60);
        Ok(Filled {
            graph: Graph {
                nodes: nodes
                    .map(|(id, node)| (id.to_owned(), node))
                    .into_iter()
                    .collect(),
                output: Output {
                    node: "save".to_owned(),
                    key: None,
                },
                limits: Limits {
                    time: limit,
                    stall: limit,
                },
            },
            expects: Expects::clip(Expected {
                frames: scene.frames,
                fps: scene.fps,
                size: scene.size,
                still_is_fine: false,
            }),
            notes: Vec::new(),
        })
    }
}

/// A film of three such clips.
///
/// # Panics
/// Never: it is a film.
pub fn film(seed: u64) -> FilmRequest {
    let request = json!({
        "script": {"title": "Storm", "scenes": [{"action": "Waves."}, {"action": "Rain."}, {"action": "Calm."}]},
        "seconds": 1, "size": SIZE.to_string(), "fps": FPS, "seed": seed,
    });
    FilmRequest::parse(request.to_string().as_bytes()).expect("it is a film")
}

/// What the double is to save: a clip that the content check passes.
///
/// # Errors
/// If ffmpeg does not make it.
pub fn clip() -> Result<Bytes> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("clip.mp4");
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i"])
        .arg(format!("testsrc2=size={SIZE}:rate={FPS}"))
        .args([
            "-frames:v",
            &FPS.to_string(),
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
        ])
        .args(["-pix_fmt", "yuv420p", "-movflags", "+faststart"])
        .arg(&path)
        .status()
        .context("starting ffmpeg")?;
    ensure!(status.success(), "ffmpeg made no clip");
    Ok(std::fs::read(path)?.into())
}

/// Settings of a coordinator whose films are made so, in that folder.
///
/// # Errors
/// Never: they are settings.
pub fn coordinator(
    folder: &std::path::Path,
    lease: Duration,
) -> Result<coordinator::CoordinatorSettings> {
    let settings = json!({
        "listen": "127.0.0.1:0",
        "data_dir": folder.join("coordinator"),
        "lease_ms": lease.as_millis() as u64,
        "takeover_ms": 1_000,
        "redispatch_ms": 600_000,
        "retry": {"max_failures": 3, "base_ms": 1, "cap_ms": 1},
        "time_limits": {"story_ms": 60_000, "keyframe_ms": 60_000, "scene_ms": 60_000, "assembly_ms": 60_000},
        "profiles": {"story": "outline", "keyframe": "storyboard", "scene": PROFILE, "assembly": "ffmpeg"},
        "retention": {"film_days": 0, "file_hours": 24},
    });
    Ok(serde_json::from_value(settings)?)
}
