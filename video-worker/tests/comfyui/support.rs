//! Workflows and jobs to try things with.

use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use comfyui_double::{Behaviour, Content, Double, Flavour};
use serde_json::{Map, Value, json};
use shared::artifact::{Artifact, MediaType};
use shared::artifacts::ArtifactStore;
use shared::failure::Failure;
use shared::film::{Quality, Size};
use shared::ids::{Attempt, FilmId, JobId, Take};
use shared::job::{JobKind, Outcome, Payload, ScenePayload};
use shared::profile::{Profile, ResourceRequest};
use shared::protocol::RunAttempt;
use shared::story::{Camera, Scene};
use video_worker::comfyui::graph::{Graph, Limits, Output};
use video_worker::comfyui::{ComfyUi, ComfyUiSettings, Expects, Filled, Server, Template};
use video_worker::content_check::Expected;
use video_worker::ffmpeg::FfmpegPrograms;
use worker_runtime::backend::{AttemptContext, Backend as _, Progress, Step};

pub(crate) const SIZE: Size = Size {
    width: 64,
    height: 64,
};
pub(crate) const FPS: u32 = 8;
pub(crate) const FRAMES: u32 = 8;
pub(crate) const MODEL: &str = "wan.safetensors";

/// Long enough for whatever a test wants to see the end of.
pub(crate) const LIMITS: Limits = Limits::within(Duration::from_secs(60));

pub(crate) fn node(class: &str, inputs: &Value) -> Value {
    json!({"class_type": class, "inputs": inputs})
}

pub(crate) fn graph(nodes: Value, limits: Limits) -> Graph {
    let Value::Object(nodes) = nodes else {
        panic!("nodes are an object")
    };
    Graph {
        nodes,
        output: Output {
            node: "save".to_owned(),
            key: None,
        },
        limits,
    }
}

/// A clip out of built-in nodes alone, which any server can make in a moment.
pub(crate) fn smoke(prefix: &str, colour: u64) -> Graph {
    let nodes = json!({
        "image": node("EmptyImage", &json!({"width": 64, "height": 64, "batch_size": 1, "color": colour})),
        "frames": node("RepeatImageBatch", &json!({"image": ["image", 0], "amount": FRAMES})),
        "video": node("CreateVideo", &json!({"images": ["frames", 0], "fps": 8.0})),
        "save": node("SaveVideo", &json!({"video": ["video", 0], "filename_prefix": prefix, "format": "mp4", "codec": "h264"})),
    });
    graph(nodes, LIMITS)
}

/// A clip from an image with a model, in short.
#[derive(Debug, Clone)]
pub(crate) struct Wan {
    pub(crate) limits: Limits,
    pub(crate) expects: Expects,
}

impl Default for Wan {
    fn default() -> Self {
        Self {
            limits: LIMITS,
            expects: Expects::clip(Expected {
                frames: FRAMES,
                fps: FPS,
                size: SIZE,
                still_is_fine: false,
            }),
        }
    }
}

impl Template for Wan {
    fn profile(&self) -> Profile {
        Profile {
            name: "wan".parse().unwrap(),
            kind: JobKind::Scene,
            backend: "comfyui".to_owned(),
            needs: ResourceRequest::default(),
        }
    }

    fn classes(&self) -> Vec<String> {
        ["UNETLoader", "KSampler", "SaveVideo"]
            .map(ToOwned::to_owned)
            .to_vec()
    }

    fn missing(&self, info: &Map<String, Value>) -> Vec<String> {
        let classes = self.classes().into_iter();
        let absent = classes.filter(|class| !info.contains_key(class));
        let mut missing: Vec<_> = absent
            .map(|class| format!("node {class} is missing"))
            .collect();
        let models = &info["UNETLoader"]["input"]["required"]["unet_name"][0];
        if !models
            .as_array()
            .is_some_and(|all| all.contains(&json!(MODEL)))
        {
            missing.push(format!("model {MODEL} is missing"));
        }
        missing
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
        let nodes = json!({
            "unet": node("UNETLoader", &json!({"unet_name": MODEL, "weight_dtype": "default"})),
            "start": node("LoadImage", &json!({"image": start_image})),
            "sampler": node("KSampler", &json!({
                "model": ["unet", 0], "seed": scene.seed, "steps": 4, "cfg": 6.0, "sampler_name": "uni_pc", "scheduler": "simple",
                "positive": ["unet", 0], "negative": ["unet", 0], "latent_image": ["start", 0], "denoise": 1.0,
            })),
            "decode": node("VAEDecode", &json!({"samples": ["sampler", 0], "vae": ["unet", 0]})),
            "video": node("CreateVideo", &json!({"images": ["decode", 0], "fps": 8.0})),
            "save": node("SaveVideo", &json!({"video": ["video", 0], "filename_prefix": prefix, "format": "mp4", "codec": "h264"})),
        });
        Ok(Filled {
            graph: graph(nodes, self.limits.clone()),
            expects: self.expects,
            notes: Vec::new(),
        })
    }
}

/// A clip that the content check passes. Made once.
pub(crate) fn clip() -> bytes::Bytes {
    static CLIP: OnceLock<bytes::Bytes> = OnceLock::new();
    CLIP.get_or_init(|| made("testsrc2=size=64x64:rate=8"))
        .clone()
}

/// A clip of one colour.
pub(crate) fn blank() -> bytes::Bytes {
    made("color=black:size=64x64:rate=8")
}

fn made(source: &str) -> bytes::Bytes {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", source])
        .args([
            "-frames:v",
            &FRAMES.to_string(),
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
        ])
        .args(["-pix_fmt", "yuv420p", "-movflags", "+faststart"])
        .arg(&path)
        .status();
    assert!(status.unwrap().success());
    std::fs::read(path).unwrap().into()
}

/// A double that has the model and renders good clips.
pub(crate) fn double(flavour: Flavour) -> Double {
    let double = Double::start(flavour);
    double.behave(well);
    double
}

pub(crate) fn well(behaviour: &mut Behaviour) {
    let models = [("diffusion_models".to_owned(), vec![MODEL.to_owned()])];
    *behaviour = Behaviour {
        content: Content::Bytes(clip()),
        models: models.into_iter().collect(),
        ..Behaviour::default()
    };
}

/// Where attempts run, and what they run on.
pub(crate) struct Stage {
    pub(crate) backend: Arc<ComfyUi>,
    pub(crate) artifacts: ArtifactStore,
    folder: tempfile::TempDir,
    keyframe: Artifact,
}

impl Stage {
    pub(crate) async fn new(double: &Double) -> Self {
        Self::with(double, Wan::default(), ComfyUiSettings::default()).await
    }

    pub(crate) async fn with(double: &Double, wan: Wan, settings: ComfyUiSettings) -> Self {
        let settings = ComfyUiSettings {
            url: double.url(),
            ..settings
        };
        Self::at(wan, settings).await
    }

    /// A stage whose settings say where the server is.
    pub(crate) async fn at(wan: Wan, settings: ComfyUiSettings) -> Self {
        let server = Server::new(&settings).unwrap();
        let backend = ComfyUi::new(server, Box::new(wan), FfmpegPrograms::default());
        let folder = tempfile::tempdir().unwrap();
        let artifacts = ArtifactStore::open_folder(&folder.path().join("artifacts")).unwrap();
        let keyframe = artifacts
            .put_bytes("a picture".into(), MediaType::Png)
            .await;
        Self {
            backend: Arc::new(backend),
            keyframe: keyframe.unwrap(),
            artifacts,
            folder,
        }
    }

    pub(crate) fn attempt(&self) -> RunAttempt {
        let scene = Scene {
            number: 1,
            title: "Waves".to_owned(),
            action: "Waves.".to_owned(),
            beat: String::new(),
            image_prompt: "waves".to_owned(),
            motion_prompt: "they move".to_owned(),
            negative_prompt: String::new(),
            camera: Camera::PushIn,
            seconds: 1.0,
            characters: Vec::new(),
        };
        RunAttempt {
            film: FilmId::generate(),
            job: JobId::generate(),
            attempt: Attempt::FIRST,
            take: Take::FIRST,
            profile: "wan".parse().unwrap(),
            time_limit: Duration::from_secs(600),
            earlier: Vec::new(),
            payload: Payload::Scene(ScenePayload {
                scene,
                keyframe: self.keyframe.clone(),
                size: SIZE,
                fps: FPS,
                frames: FRAMES,
                quality: Quality::Final,
                seed: 7,
            }),
        }
    }

    /// A context for one run, with its own scratch folder, and how far it says it is.
    pub(crate) fn context(&self) -> (AttemptContext, tokio::sync::watch::Receiver<Step>) {
        let scratch = self.folder.path().join(JobId::generate().to_string());
        std::fs::create_dir_all(&scratch).unwrap();
        let mut context = AttemptContext::detached(self.artifacts.clone(), scratch);
        let (progress, steps) = Progress::channel();
        context.progress = progress;
        (context, steps)
    }

    pub(crate) async fn run(&self, attempt: &RunAttempt) -> Result<Outcome, Failure> {
        let (context, _) = self.context();
        self.backend.run(attempt, &context).await
    }

    /// From now on the store takes nothing: what is in its folder's place is none.
    pub(crate) fn break_store(&self) {
        let at = |name: &str| self.folder.path().join(name);
        std::fs::rename(at("artifacts"), at("aside")).unwrap();
        std::fs::write(at("artifacts"), "").unwrap();
    }

    /// It takes what comes again.
    pub(crate) fn mend_store(&self) {
        let at = |name: &str| self.folder.path().join(name);
        std::fs::remove_file(at("artifacts")).unwrap();
        std::fs::rename(at("aside"), at("artifacts")).unwrap();
    }

    /// Everything that lies in its folder outside the artifact store.
    pub(crate) fn strays(&self) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name != "artifacts" && name.parse::<JobId>().is_err() {
                found.push(name);
            }
        }
        found
    }
}

/// Waits until that is so.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain for {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
