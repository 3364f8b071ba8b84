//! The same against a real server: llama.cpp's, started here with a model that babbles, or one of the user's own.
//!
//! `cargo xtask test` installs llama.cpp's server once; `cargo xtask conformance llm KIND URL MODEL` names another.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use llm_double::{Kind, MODEL};
use llm_worker::provider::{Key, Limit, ProviderError, Server, Turn};
use llm_worker::schema::Schema;
use llm_worker::settings::{LlmSettings, ModelSettings};
use llm_worker::writer::Writer;
use shared::failure::FailureKind;
use shared::job::{Product, StoryPayload};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use worker_runtime::backend::Backend as _;

use crate::support::{ask, provider};
use crate::writer::{Stage, attempt, model, payload};

/// A Python that has what `tests/llama-server/requirements.txt` names.
const PYTHON: &str = "CALLSHEET_TEST_LLAMA_PYTHON";
/// A server of one's own, as `KIND URL MODEL`.
const OWN: &str = "CALLSHEET_TEST_LLM";
/// A file with its key.
const OWN_KEY: &str = "CALLSHEET_TEST_LLM_KEY_FILE";

/// The server that is tested.
struct Real {
    kind: Kind,
    url: String,
    model: String,
    key: Key,
    child: Option<Child>,
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/llama-server")
}

/// The Python that has llama.cpp's server.
fn python() -> PathBuf {
    if let Some(named) = std::env::var_os(PYTHON) {
        return PathBuf::from(named);
    }
    let place = if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    };
    // This program lies in target/PROFILE/deps.
    let me = std::env::current_exe().unwrap();
    let usual = me
        .ancestors()
        .nth(3)
        .unwrap()
        .join("llama-server")
        .join(place);
    assert!(
        usual.exists(),
        "llama.cpp's server is not installed for the tests: run `cargo xtask test` once, which does that"
    );
    usual
}

/// The file of the model, made once for all tests of this process.
async fn babbler() -> &'static Path {
    static MADE: OnceCell<PathBuf> = OnceCell::const_new();
    let make = async || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let new = folder.join(format!("babble-{}.gguf", std::process::id()));
        let made = Command::new(python())
            .arg(scripts().join("make_model.py"))
            .arg(&new)
            .status()
            .await;
        assert!(made.unwrap().success());
        // It is the same each time: whoever has the old one open goes on with it.
        let file = folder.join("babble.gguf");
        std::fs::rename(new, &file).unwrap();
        file
    };
    MADE.get_or_init(make).await
}

impl Real {
    async fn start() -> Self {
        match std::env::var(OWN) {
            Ok(own) => Self::own(&own),
            Err(_) => Self::llama().await,
        }
    }

    fn own(words: &str) -> Self {
        let mut words = words.split(' ').map(str::to_owned);
        let kind = match words.next().as_deref() {
            Some("openai") => Kind::Vllm,
            Some("ollama") => Kind::Ollama,
            Some("gemini") => Kind::Gemini,
            other => panic!("{OWN} begins with openai, ollama or gemini, not with {other:?}"),
        };
        let key = std::env::var_os(OWN_KEY).map(|path| Key::File(PathBuf::from(path)));
        Self {
            kind,
            url: words.next().unwrap(),
            model: words.next().unwrap(),
            key: key.unwrap_or_default(),
            child: None,
        }
    }

    async fn llama() -> Self {
        let (python, file) = (python(), babbler().await);
        let mut child = Command::new(&python)
            .arg(scripts().join("serve.py"))
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
        let url = first
            .expect("the server did not start")
            .unwrap()
            .expect("the server ended");
        Self {
            kind: Kind::LlamaServer,
            url,
            model: MODEL.to_owned(),
            key: Key::None,
            child: Some(child),
        }
    }

    fn server(&self) -> Server {
        Server::new(
            provider(self.kind, &self.model),
            &self.url,
            self.key.clone(),
        )
        .unwrap()
    }

    fn writer(&self) -> Writer {
        let mut settings = ModelSettings {
            model: self.model.clone(),
            timeout: PATIENCE,
            ..model(self.kind, &self.url)
        };
        if let Key::File(path) = &self.key {
            settings.key_file = Some(path.clone());
        }
        Writer::new(&LlmSettings::default(), &settings).unwrap()
    }
}

/// Longer than any answer takes, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(600);

fn patient() -> Limit {
    Limit {
        deadline: Instant::now() + PATIENCE,
        cancelled: CancellationToken::new(),
    }
}

/// Something long enough to be stopped in the midst of it.
fn long() -> llm_worker::provider::Ask {
    let text = Schema::Text {
        least: 1_500,
        most: 1_900,
    };
    llm_worker::provider::Ask {
        schema: Schema::Object(vec![("chapters", Schema::list(20, 20, text))]),
        max_tokens: 6_000,
        ..ask()
    }
}

#[tokio::test]
async fn a_real_server_gives_whole_answers_that_fit_their_schema() {
    let real = Real::start().await;
    let server = real.server();
    server.check().await.unwrap();
    let mut told = 0;
    let answer = server
        .ask(&ask(), &patient(), &mut |tokens| told = tokens)
        .await
        .unwrap();
    let value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(ask().schema.mistakes(&value), Vec::<String>::new());
    assert!(told > 0 && told == answer.tokens);
}

#[tokio::test]
async fn a_real_server_tells_a_cut_answer() {
    let real = Real::start().await;
    let short = llm_worker::provider::Ask {
        max_tokens: 20,
        ..long()
    };
    let error = real
        .server()
        .ask(&short, &patient(), &mut |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, ProviderError::Cut { .. }), "{error}");
}

/// How long a server goes on with an answer that was given up when it had just begun, and how long we take to give it up.
async fn hang_up(real: &Real) -> (Duration, Duration) {
    let (server, limit) = (real.server(), patient());
    let cancelled = limit.cancelled.clone();
    let (begun, mut has_begun) = tokio::sync::watch::channel(0);
    let task = tokio::spawn(async move {
        server
            .ask(&long(), &limit, &mut |tokens| {
                begun.send_replace(tokens);
            })
            .await
    });
    tokio::time::timeout(
        Duration::from_secs(60),
        has_begun.wait_for(|tokens| *tokens > 5),
    )
    .await
    .expect("no token came")
    .unwrap();
    let begin = Instant::now();
    cancelled.cancel();
    match task.await.unwrap() {
        Err(ProviderError::Cancelled) => {}
        // It was faster than we.
        Ok(_) | Err(ProviderError::Cut { .. }) => return (Duration::MAX, Duration::MAX),
        Err(error) => panic!("{error}"),
    }
    let ours = begin.elapsed();
    if real.child.is_some() {
        // Its one slot becomes free.
        let slots = format!("{}/slots", real.url);
        loop {
            let text = reqwest::get(&slots).await.unwrap().text().await.unwrap();
            if text.contains(r#""is_processing":false"#) {
                break;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "it still works: {text}"
            );
        }
    }
    (ours, begin.elapsed())
}

#[tokio::test]
async fn a_real_server_stops_when_we_hang_up() {
    let real = Real::start().await;
    // Whoever else uses this machine may take a second once, and not each time.
    let mut took = Vec::new();
    for _ in 0..3 {
        let (ours, all) = hang_up(&real).await;
        if ours < Duration::from_millis(200) && all < Duration::from_secs(1) {
            return;
        }
        took.push((ours, all));
    }
    panic!("it went on: {took:?}");
}

#[tokio::test]
async fn a_real_server_is_given_up_at_the_deadline() {
    let real = Real::start().await;
    let soon = Limit {
        deadline: Instant::now() + Duration::from_millis(100),
        ..patient()
    };
    let error = real
        .server()
        .ask(&long(), &soon, &mut |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, ProviderError::TimedOut), "{error}");
}

#[tokio::test]
async fn a_real_server_without_the_model_is_found_out() {
    let real = Real::start().await;
    let server = Server::new(
        provider(real.kind, "no-such-model"),
        &real.url,
        real.key.clone(),
    )
    .unwrap();
    let error = server.check().await.unwrap_err();
    assert!(matches!(error, ProviderError::UnknownModel(_)), "{error}");
}

#[tokio::test]
async fn a_real_llama_server_says_that_a_prompt_is_too_long_and_dies_in_mid_stream() {
    let mut real = Real::start().await;
    if real.child.is_none() {
        return;
    }
    let mut huge = ask();
    huge.turns = vec![Turn::User("a storm ".repeat(20_000))];
    let server = real.server();
    let error = server
        .ask(&huge, &patient(), &mut |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, ProviderError::TooLong(_)), "{error}");

    let (begun, mut has_begun) = tokio::sync::watch::channel(0);
    let task = tokio::spawn(async move {
        let mut told = |tokens| {
            begun.send_replace(tokens);
        };
        // On a busy machine an answer may be whole before anybody has seen it begin.
        loop {
            let answer = server.ask(&long(), &patient(), &mut told).await;
            match answer {
                Ok(_) | Err(ProviderError::Cut { .. }) => {}
                Err(error) => return error,
            }
        }
    });
    has_begun.wait_for(|tokens| *tokens > 5).await.unwrap();
    real.child.as_mut().unwrap().kill().await.unwrap();
    let error = task.await.unwrap();
    assert_eq!(error.kind(), FailureKind::Transient, "{error}");
}

/// The shortest story that there is: the model babbles one as well as another, and what is tested is how it is asked and judged.
const SCENES: u32 = 3;

#[tokio::test]
async fn a_hundred_stories_are_good_or_fail_with_a_reason() {
    let real = Real::start().await;
    let writer = real.writer();
    // A server of one's own is slow, or costs money.
    let count: u64 = if real.child.is_some() { 100 } else { 1 };
    let (mut good, mut failed) = (0, Vec::new());
    let begin = Instant::now();
    for seed in 0..count {
        let stage = Stage::new();
        let asked = StoryPayload {
            seed,
            scenes: SCENES,
            ..payload()
        };
        match writer.run(&attempt(asked), &stage.context).await {
            Ok(outcome) => {
                let Product::Story { story } = outcome.product else {
                    panic!()
                };
                assert_eq!(story.scenes.len(), SCENES as usize);
                good += 1;
            }
            Err(failure) => failed.push((seed, failure)),
        }
    }
    println!(
        "{good} of {count} stories are good, in {:?}",
        begin.elapsed()
    );
    for (seed, failure) in &failed {
        println!("seed {seed} failed, {}: {}", failure.kind, failure.message);
    }
    // What the model said is the only thing that may be wrong with a server that is there.
    let otherwise = failed
        .iter()
        .find(|(_, it)| it.kind != FailureKind::RejectedContent);
    assert_eq!(otherwise, None);
    assert!(good > 0, "{failed:#?}");
}
