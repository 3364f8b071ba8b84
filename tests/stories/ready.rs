//! Each program is ready for its work soon after it is started.

use std::time::{Duration, Instant};

use anyhow::Result;
use support::http::client;
use support::programs::Program;
use support::stage::{Cast, Stage};

/// What is promised.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// Starts of which the fastest counts: other tests run at the same time.
const STARTS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_program_is_ready_within_two_seconds() -> Result<()> {
    let settings = "[telemetry]\nmetrics_listen = \"127.0.0.1:0\"\n".to_owned();
    let mut stage = Stage::set_with(Cast::Real, |_| Ok(settings)).await?;
    let mut fastest = [Duration::MAX; 3];
    for _ in 0..STARTS {
        stage.writer.end().await?;
        stage.painter.end().await?;
        stage.coordinator.end().await?;
        let took = [
            until_ready(&mut stage.coordinator, "listening on ").await?,
            until_ready(&mut stage.writer, "metrics at ").await?,
            until_ready(&mut stage.painter, "metrics at ").await?,
        ];
        fastest = std::array::from_fn(|place| took[place].min(fastest[place]));
        if fastest.iter().all(|took| *took < READY_WITHIN) {
            println!("coordinator, llm-worker and video-worker were ready after {fastest:?}");
            return Ok(());
        }
    }
    anyhow::bail!("coordinator, llm-worker and video-worker were ready after {fastest:?} at best")
}

/// Starts a program again; how long until it says that it is ready, at the address that it prints behind that.
async fn until_ready(program: &mut Program, before: &str) -> Result<Duration> {
    let printed_before = program.printed().len();
    let begun = Instant::now();
    program.start_again()?;
    let client = client();
    while begun.elapsed() < Duration::from_secs(30) {
        let printed = program.printed();
        let url = printed[printed_before..]
            .split_once(before)
            .and_then(|(_, after)| {
                // The line is whole once there is something behind it.
                let (word, _) = after.split_once(char::is_whitespace)?;
                let address = word.trim_start_matches("http://").split('/').next()?;
                let end = address.rfind(|c: char| c.is_ascii_digit())?;
                Some(format!("http://{}/readyz", &address[..=end]))
            });
        if let Some(url) = url
            && let Ok(answer) = client.get(url).send().await
            && answer.status().is_success()
        {
            return Ok(begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    anyhow::bail!("it was not ready in half a minute:\n{}", program.printed())
}
