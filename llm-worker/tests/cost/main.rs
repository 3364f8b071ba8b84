//! What a story costs beside its generation. Alone in its process: memory is the process's.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::time::Duration;

use llm_double::{Double, Kind, Models};
use llm_worker::settings::{LlmSettings, ModelSettings, ProviderKind, RunsOn};
use llm_worker::writer::Writer;
use shared::artifacts::ArtifactStore;
use shared::ids::{Attempt, FilmId, JobId, Take};
use shared::job::{Payload, StoryPayload};
use shared::protocol::RunAttempt;
use tokio::time::Instant;
use worker_runtime::backend::{AttemptContext, Backend as _};

fn model(url: &str) -> ModelSettings {
    ModelSettings {
        profile: "teller".parse().unwrap(),
        provider: ProviderKind::Ollama,
        url: Some(url.to_owned()),
        model: "story".to_owned(),
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

fn attempt(seed: u64) -> RunAttempt {
    RunAttempt {
        film: FilmId::generate(),
        job: JobId::generate(),
        attempt: Attempt::FIRST,
        take: Take::FIRST,
        profile: "teller".parse().unwrap(),
        time_limit: Duration::from_secs(600),
        earlier: Vec::new(),
        payload: Payload::Story(StoryPayload {
            premise: Some("A lighthouse keeper befriends a storm".to_owned()),
            script: None,
            title: None,
            scenes: 3,
            seconds: 4.0,
            seed,
        }),
    }
}

/// Memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let figure = line.unwrap().trim().trim_end_matches(" kB");
    figure.parse().unwrap()
}

#[tokio::test]
async fn five_hundred_stories_cost_less_than_fifty_milliseconds_each_and_no_memory() {
    let double = Double::that_writes(Kind::Ollama, Models::new(None)).await;
    let writer = Writer::new(&LlmSettings::default(), &model(&double.url)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let artifacts = ArtifactStore::open_folder(folder.path()).unwrap();
    let context = AttemptContext::detached(artifacts, folder.path().to_owned());
    let (mut after_hundred, mut each) = (0, Vec::new());
    for hundred in 0..5 {
        let begin = Instant::now();
        for number in 0..100 {
            let attempt = attempt(hundred * 100 + number);
            writer.run(&attempt, &context).await.unwrap();
            // What the double remembers is not the worker's.
            double.forget();
        }
        each.push(begin.elapsed() / 100);
        if hundred == 0 {
            after_hundred = resident();
        }
    }
    let grown = resident().saturating_sub(after_hundred);
    println!(
        "{each:?} a story, the double's share included; {grown} KiB more after 500 than after 100"
    );
    // Others may use the machine, but not for all five hundred.
    assert!(
        each.iter().min() < Some(&Duration::from_millis(50)),
        "{each:?}"
    );
    assert!(grown < 1_024, "{grown} KiB");
}
