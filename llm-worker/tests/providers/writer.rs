//! The backend: stories from a server, and what becomes of its attempts when the server misbehaves.

use std::sync::Arc;
use std::time::Duration;

use llm_double::{Act, Double, KEY, Kind, MODEL, event};
use llm_worker::settings::{LlmSettings, ModelSettings, ProviderKind, RunsOn};
use llm_worker::writer::Writer;
use serde_json::{Value, json};
use shared::artifacts::ArtifactStore;
use shared::failure::{Failure, FailureKind};
use shared::ids::{Attempt, FilmId, JobId, Take};
use shared::job::{JobKind, Payload, Product, StoryPayload};
use shared::protocol::RunAttempt;
use shared::script::{Script, ScriptScene};
use shared::settings::Secret;
use shared::story::Story;
use tokio::time::Instant;
use worker_runtime::backend::{AttemptContext, Backend as _, Progress, Step};

use crate::support::provider;

pub(crate) fn model(kind: Kind, url: &str) -> ModelSettings {
    ModelSettings {
        profile: "teller".parse().unwrap(),
        provider: match kind {
            Kind::LlamaServer | Kind::Router | Kind::LmStudio | Kind::Vllm => ProviderKind::OpenAi,
            Kind::Ollama => ProviderKind::Ollama,
            Kind::Gemini => ProviderKind::Gemini,
        },
        url: Some(url.to_owned()),
        model: MODEL.to_owned(),
        context: 8_192,
        gpu_mib: None,
        ram_mib: 0,
        threads: 0,
        size: None,
        runs_on: RunsOn::Gpu,
        pinned: false,
        fallbacks: Vec::new(),
        temperature: 0.8,
        timeout: Duration::from_secs(60),
        key: None,
        key_file: None,
    }
}

fn settings() -> LlmSettings {
    LlmSettings {
        gemini_key: Some(Secret::new(KEY)),
        ..LlmSettings::default()
    }
}

fn writer(kind: Kind, double: &Double) -> Arc<Writer> {
    Arc::new(Writer::new(&settings(), &model(kind, &double.url)).unwrap())
}

pub(crate) fn payload() -> StoryPayload {
    StoryPayload {
        premise: Some("A lighthouse keeper befriends a storm".to_owned()),
        script: None,
        title: None,
        scenes: 3,
        seconds: 4.0,
        seed: 1,
    }
}

pub(crate) fn attempt(payload: StoryPayload) -> RunAttempt {
    RunAttempt {
        film: FilmId::generate(),
        job: JobId::generate(),
        attempt: Attempt::FIRST,
        take: Take::FIRST,
        profile: "teller".parse().unwrap(),
        time_limit: Duration::from_secs(600),
        earlier: Vec::new(),
        payload: Payload::Story(payload),
    }
}

/// A context with its progress, and the folder that it lives in.
pub(crate) struct Stage {
    pub(crate) context: AttemptContext,
    steps: tokio::sync::watch::Receiver<Step>,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = ArtifactStore::open_folder(folder.path()).unwrap();
        let mut context = AttemptContext::detached(artifacts, folder.path().to_owned());
        let (progress, steps) = Progress::channel();
        context.progress = progress;
        Self {
            context,
            steps,
            _folder: folder,
        }
    }

    /// Waits for a word of the work.
    pub(crate) async fn told(&self, phase: &str) {
        let mut steps = self.steps.clone();
        let heard = steps.wait_for(|step| step.phase.contains(phase));
        let heard = tokio::time::timeout(Duration::from_secs(5), heard).await;
        heard.expect("it was not told").unwrap();
    }
}

async fn run(writer: &Writer, payload: StoryPayload) -> Result<Story, Failure> {
    let stage = Stage::new();
    let outcome = writer.run(&attempt(payload), &stage.context).await?;
    assert!(outcome.fallbacks.is_empty());
    match outcome.product {
        Product::Story { story } => Ok(story),
        other => panic!("{other:?}"),
    }
}

fn bible() -> Value {
    json!({
        "title": "The Keeper", "logline": "A keeper and a storm become friends.", "look": "Watercolour",
        "characters": [{"name": "Ada", "description": "a woman of sixty in a yellow coat"}],
        "places": [{"name": "Lighthouse", "description": "a white tower on black rock"}],
        "beginning": "They meet.", "middle": "They quarrel.", "end": "They part.",
    })
}

fn scenes() -> Value {
    let scene = |word: &str| {
        json!({
            "title": format!("The {word}"), "place": "Lighthouse", "characters": ["Ada"],
            "action": format!("She lifts the {word}."), "image": format!("A hand with the {word}"),
            "motion": "The hand rises", "camera": "push-in",
        })
    };
    let scenes = ["lamp", "rope", "bell"].map(scene);
    json!({ "scenes": scenes })
}

fn say(value: &Value) -> Act {
    Act::Say(value.to_string())
}

#[tokio::test]
async fn a_story_is_written_on_every_kind_of_server() {
    for kind in Kind::ALL {
        let double = Double::start(kind).await;
        double.then(say(&bible())).then(say(&scenes()));
        let writer = writer(kind, &double);
        writer.prepare().await.unwrap();
        let stage = Stage::new();
        let outcome = writer
            .run(&attempt(payload()), &stage.context)
            .await
            .unwrap();
        let Product::Story { story } = outcome.product else {
            panic!()
        };
        assert_eq!(
            (story.title.as_str(), story.scenes.len()),
            ("The Keeper", 3),
            "{kind:?}"
        );
        assert!(
            story.scenes[2]
                .image_prompt
                .contains("a woman of sixty in a yellow coat")
        );
        assert_eq!(double.asked().len(), 2, "{kind:?}");
        let last = stage.steps.borrow().clone();
        assert_eq!(last.steps, 3);
        let tokens = last
            .phase
            .strip_prefix("writing scenes, ")
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        assert!(tokens.parse::<u32>().unwrap() > 20, "{}", last.phase);
        assert_eq!(writer.profiles()[0].backend, provider(kind, MODEL).name());
    }
}

#[tokio::test]
async fn a_bad_answer_is_repaired_once_and_a_story_that_stays_bad_is_a_failure_with_evidence() {
    let double = Double::start(Kind::LlamaServer).await;
    let nonsense = || Act::Say("Once upon a time".to_owned());
    double
        .then(nonsense())
        .then(say(&bible()))
        .then(say(&scenes()));
    let writer = writer(Kind::LlamaServer, &double);
    run(&writer, payload()).await.unwrap();
    let again = double.asked()[1].body.to_string();
    assert!(
        again.contains("Once upon a time") && again.contains("no JSON"),
        "{again}"
    );
    double.then(nonsense()).then(nonsense());
    let failure = run(&writer, payload()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::RejectedContent);
    assert!(failure.message.contains("Once upon a time"), "{failure}");
}

#[tokio::test]
async fn a_cut_answer_is_asked_for_once_more_with_a_higher_limit() {
    let double = Double::start(Kind::Ollama).await;
    double.then(Act::Stop("{\"title".to_owned(), "length"));
    double.then(say(&bible())).then(say(&scenes()));
    let writer = writer(Kind::Ollama, &double);
    run(&writer, payload()).await.unwrap();
    let limits: Vec<u64> = double
        .asked()
        .iter()
        .map(|asked| asked.body["options"]["num_predict"].as_u64().unwrap())
        .collect();
    assert!(limits[1] > limits[0], "{limits:?}");
    let contexts: Vec<_> = double
        .asked()
        .iter()
        .map(|asked| asked.body["options"]["num_ctx"].clone())
        .collect();
    assert!(
        contexts.iter().all(|context| *context == 8_192),
        "another context would load the model anew"
    );
}

#[tokio::test]
async fn ollama_is_told_how_many_threads_to_keep_to_and_nothing_where_there_is_no_limit() {
    for threads in [None, Some(6)] {
        let double = Double::start(Kind::Ollama).await;
        double.then(say(&bible())).then(say(&scenes()));
        let mut stage = Stage::new();
        stage.context.threads = threads;
        let writer = writer(Kind::Ollama, &double);
        let told = writer.run(&attempt(payload()), &stage.context).await;
        told.unwrap();
        for asked in double.asked() {
            let said = &asked.body["options"]["num_thread"];
            assert_eq!(said.as_u64(), threads.map(u64::from), "{said}");
        }
    }
}

#[tokio::test]
async fn a_cancelled_story_stops_the_server_within_a_second() {
    for kind in Kind::ALL {
        let double = Double::start(kind).await;
        double.then(say(&bible())).then(Act::GoOn("{".to_owned()));
        let writer = writer(kind, &double);
        let stage = Stage::new();
        let (context, cancelled) = (stage.context.clone(), stage.context.cancelled.clone());
        let task = tokio::spawn(async move { writer.run(&attempt(payload()), &context).await });
        double.begun(2).await;
        let begin = Instant::now();
        cancelled.cancel();
        let failure = task.await.unwrap().unwrap_err();
        double.hung_up(1).await;
        assert_eq!(failure.kind, FailureKind::Cancelled, "{kind:?}");
        assert!(begin.elapsed() < Duration::from_secs(1), "{kind:?}");
    }
}

#[tokio::test]
async fn a_server_that_dies_in_mid_stream_is_a_failure_that_is_tried_again() {
    for kind in Kind::ALL {
        let double = Double::start(kind).await;
        double
            .then(say(&bible()))
            .then(Act::BreakOff("{\"sce".to_owned()));
        let writer = writer(kind, &double);
        let failure = run(&writer, payload()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Transient, "{kind:?}: {failure}");
        double.then(say(&bible())).then(say(&scenes()));
        run(&writer, payload()).await.unwrap();
    }
}

#[tokio::test]
async fn a_story_that_takes_longer_than_its_attempt_may_is_given_up() {
    let double = Double::start(Kind::LlamaServer).await;
    double.then(Act::Hang);
    let stage = Stage::new();
    let mut attempt = attempt(payload());
    attempt.time_limit = Duration::from_millis(300);
    let writer = writer(Kind::LlamaServer, &double);
    let failure = writer.run(&attempt, &stage.context).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimedOut);
    double.hung_up(1).await;
}

fn used_up(quota: &str, delay: &str) -> Act {
    let details = json!([
        {"violations": [{"quotaId": quota, "quotaValue": "20"}]},
        {"retryDelay": delay},
    ]);
    Act::Refuse(
        429,
        json!({"error": {"code": 429, "message": "You exceeded your current quota", "details": details}}),
    )
}

#[tokio::test]
async fn the_quota_of_a_minute_is_waited_for() {
    let double = Double::start(Kind::Gemini).await;
    let minute = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier";
    double.then(used_up(minute, "0.02s")).then(say(&bible()));
    double.then(used_up(minute, "0.02s")).then(say(&scenes()));
    let writer = writer(Kind::Gemini, &double);
    run(&writer, payload()).await.unwrap();
    assert_eq!(double.asked().len(), 4);
    writer.prepare().await.unwrap();
    // Not for ever, and not past the attempt's limit.
    for _ in 0..5 {
        double.then(used_up(minute, "0.02s"));
    }
    assert_eq!(
        run(&writer, payload()).await.unwrap_err().kind,
        FailureKind::Transient
    );
    double.then(used_up(minute, "700s"));
    assert_eq!(
        run(&writer, payload()).await.unwrap_err().kind,
        FailureKind::Transient
    );
    assert_eq!(double.asked().len(), 4 + 5 + 1);
}

#[tokio::test]
async fn after_the_quota_of_a_day_no_story_is_taken_and_nothing_is_asked() {
    let double = Double::start(Kind::Gemini).await;
    double.then(used_up(
        "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        "10s",
    ));
    let writer = writer(Kind::Gemini, &double);
    let failure = run(&writer, payload()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    let reason = writer.prepare().await.unwrap_err().to_string();
    assert!(
        reason.contains("the quota of this day is used up") && reason.contains("60 min"),
        "{reason}"
    );
    assert_eq!(double.asked().len(), 1);
}

#[tokio::test]
async fn a_blocked_premise_fails_the_story_with_the_reason() {
    let double = Double::start(Kind::Gemini).await;
    double.then(Act::Raw(event(
        &json!({"promptFeedback": {"blockReason": "SAFETY"}}),
    )));
    let writer = writer(Kind::Gemini, &double);
    let failure = run(&writer, payload()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(
        failure
            .message
            .contains("blocked by the service (prompt: SAFETY)"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_server_without_the_model_takes_no_story_unless_the_check_is_skipped() {
    let double = Double::start(Kind::LlamaServer).await;
    let mut other = model(Kind::LlamaServer, &double.url);
    other.model = "nemo".to_owned();
    let checked = Writer::new(&settings(), &other).unwrap();
    let reason = checked.prepare().await.unwrap_err().to_string();
    assert!(
        reason.contains("no `nemo`; it has story, other") && reason.contains(&double.url),
        "{reason}"
    );
    assert_eq!(
        run(&checked, payload()).await.unwrap_err().kind,
        FailureKind::Transient
    );
    assert_eq!(double.asked().len(), 0);
    let skips = LlmSettings {
        skip_health_check: true,
        ..settings()
    };
    let trusting = Writer::new(&skips, &other).unwrap();
    trusting.prepare().await.unwrap();
    double.then(say(&bible())).then(say(&scenes()));
    run(&trusting, payload()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_still_loads_takes_no_story_and_one_that_was_taken_waits() {
    let double = Double::start(Kind::LlamaServer).await;
    let loading =
        json!({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}});
    double.probes_fail(503, loading);
    let writer = writer(Kind::LlamaServer, &double);
    let reason = writer.prepare().await.unwrap_err().to_string();
    assert!(reason.contains("still loading"), "{reason}");
    let stage = Stage::new();
    let context = stage.context.clone();
    let task = tokio::spawn(async move { writer.run(&attempt(payload()), &context).await });
    stage.told("waiting for the model to load").await;
    assert_eq!(double.asked().len(), 0);
    double.then(say(&bible())).then(say(&scenes()));
    double.probes_pass();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_script_stays_as_its_author_wrote_it_and_no_model_is_asked() {
    let double = Double::start(Kind::LlamaServer).await;
    let writer = writer(Kind::LlamaServer, &double);
    let script = Script {
        title: "Mine".to_owned(),
        scenes: vec![ScriptScene {
            action: "A door opens by itself.".to_owned(),
            ..ScriptScene::default()
        }],
        ..Script::default()
    };
    let scripted = StoryPayload {
        premise: None,
        script: Some(script),
        scenes: 1,
        ..payload()
    };
    let story = run(&writer, scripted).await.unwrap();
    assert_eq!(story.scenes[0].action, "A door opens by itself.");
    assert_eq!(double.asked().len(), 0);
}

#[tokio::test]
async fn a_story_that_cannot_be_asked_for_is_a_permanent_failure() {
    let double = Double::start(Kind::LlamaServer).await;
    let writer = writer(Kind::LlamaServer, &double);
    for bad in [
        StoryPayload {
            scenes: 2,
            ..payload()
        },
        StoryPayload {
            scenes: 25,
            ..payload()
        },
        StoryPayload {
            premise: Some(" ".to_owned()),
            ..payload()
        },
    ] {
        assert_eq!(
            run(&writer, bad).await.unwrap_err().kind,
            FailureKind::Permanent
        );
    }
    assert_eq!(double.asked().len(), 0);
}

#[tokio::test]
async fn a_profile_says_what_its_model_holds_on_this_host() {
    let double = Double::start(Kind::LlamaServer).await;
    let mut here = model(Kind::LlamaServer, &double.url);
    here.gpu_mib = Some(6_450);
    here.ram_mib = 500;
    let profile = Writer::new(&settings(), &here)
        .unwrap()
        .profiles()
        .remove(0);
    assert_eq!(
        (profile.name.as_str(), profile.kind),
        ("teller", JobKind::Story)
    );
    let device = profile.needs.device.unwrap();
    assert!(device.load == device.peak && device.peak == device.spike);
    assert_eq!(device.load.to_string(), "6.3 GiB");
    assert_eq!(profile.needs.ram.to_string(), "500.0 MiB");
    here.gpu_mib = Some(0);
    assert_eq!(
        Writer::new(&settings(), &here).unwrap().profiles()[0]
            .needs
            .device,
        None
    );
}
