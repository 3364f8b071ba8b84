//! Films of one job each, from submission over AMQP to completion, beside the floor.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, ConnectionProperties};
use shared::api::FilmList;
use shared::film::{FilmRequest, Until};
use support::stage::{Cast, Stage};
use support::wait::until;

use crate::floor::{Floor, UNDER_WAY, confirmed, publish};
use crate::statistics::{Verdicts, median, percentile};

/// At least this share of the floor's throughput.
const THROUGHPUT: f64 = 0.05;
/// At most this many times the floor's median latency.
const LATENCY: f64 = 5.0;
/// Pause between two films, or two messages, at low load.
const PAUSE: Duration = Duration::from_millis(30);

pub(crate) async fn measure(films: u32, rounds: u32, verdicts: &mut Verdicts) -> Result<()> {
    let stage = Stage::set(Cast::Stubs {
        slots: 32,
        work: Duration::ZERO,
    })
    .await?;
    let connection =
        Connection::connect(&stage.rabbitmq.url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let mut floor = Floor::set(&stage.rabbitmq.url()).await?;
    let mut seeds = 0..;
    let mut next = |count: u32| seeds.by_ref().take(count as usize).collect::<Vec<u64>>();

    // Everything once, uncounted: queues are made, pages are warm.
    low_load(&stage, &channel, &next(20)).await?;
    floor.latencies(20, PAUSE).await?;
    let (mut ours, mut bare) = (Round::default(), Round::default());
    for _ in 0..rounds {
        bare.rates.push(floor.throughput(films * 5).await?);
        ours.rates
            .push(full_load(&stage, &channel, &next(films)).await?);
        bare.latencies.extend(floor.latencies(100, PAUSE).await?);
        ours.latencies
            .extend(low_load(&stage, &channel, &next(100)).await?);
    }
    let share = median(&ours.rates) / median(&bare.rates);
    let times = median(&ours.latencies) / median(&bare.latencies);
    println!(
        "\nqueue: {rounds} rounds of {films} films of one job, submitted over AMQP, an empty backend"
    );
    println!(
        "  floor (raw lapin)  {:8.0} messages/s   {}",
        median(&bare.rates),
        bare.told()
    );
    println!(
        "  films              {:8.0} films/s      {}",
        median(&ours.rates),
        ours.told()
    );
    println!(
        "  throughput         {share:8.3} of the floor, at least {THROUGHPUT}: {}",
        verdicts.of(share >= THROUGHPUT)
    );
    println!(
        "  p50                {times:8.2} times the floor's, at most {LATENCY}: {}",
        verdicts.of(times <= LATENCY)
    );
    Ok(())
}

#[derive(Default)]
struct Round {
    rates: Vec<f64>,
    latencies: Vec<f64>,
}

impl Round {
    fn told(&self) -> String {
        let (p50, p99) = (median(&self.latencies), percentile(&self.latencies, 0.99));
        format!("low load: p50 {p50:.2} ms, p99 {p99:.2} ms")
    }
}

fn request(seed: u64) -> Vec<u8> {
    let request = FilmRequest {
        premise: Some("A lighthouse keeper befriends a storm".to_owned()),
        scenes: Some(3),
        seed: Some(seed),
        until: Until::Story,
        ..FilmRequest::default()
    };
    serde_json::to_vec(&request)
        .expect("a request consists of strings and numbers, which JSON can hold")
}

/// Films a second, from the first submission to the last completion.
async fn full_load(stage: &Stage, channel: &Channel, seeds: &[u64]) -> Result<f64> {
    let begun = micros();
    let mut under_way = FuturesUnordered::new();
    for seed in seeds {
        if under_way.len() == UNDER_WAY {
            confirmed(under_way.next().await)?;
        }
        let id = format!("bench-{seed}");
        under_way.push(publish(channel, "", "callsheet.submissions", &request(*seed), &id).await?);
    }
    while let Some(result) = under_way.next().await {
        confirmed(Some(result))?;
    }
    let ended = until(
        "all films to be completed",
        Duration::from_secs(120),
        async || {
            // Asked seldom: to ask is work, too.
            tokio::time::sleep(Duration::from_millis(300)).await;
            last_completion(stage, seeds.len()).await
        },
    )
    .await;
    #[expect(
        clippy::cast_precision_loss,
        reason = "thousands of films, millions of microseconds"
    )]
    let rate = seeds.len() as f64 / ((ended - begun) as f64 / 1e6);
    Ok(rate)
}

/// When the last of the newest `count` films was completed, in microseconds since 1970.
async fn last_completion(stage: &Stage, count: usize) -> Result<i64> {
    let newest: FilmList = stage.get("/v1/films?limit=1").await?;
    ensure!(
        newest.films.iter().all(|film| film.finished_at.is_some()),
        "the newest film is not completed"
    );
    let mut last = 0;
    let mut seen = 0;
    let mut path = "/v1/films?limit=100".to_owned();
    while seen < count {
        let page: FilmList = stage.get(&path).await?;
        for film in page.films.iter().take(count - seen) {
            let at = film.finished_at.filter(|_| film.jobs_completed == 1);
            last = last.max(
                at.map(|at| at.as_millis())
                    .ok_or_else(|| anyhow::anyhow!("a film is not completed"))?,
            );
            seen += 1;
        }
        match page.next {
            Some(next) => path = format!("/v1/films?limit=100&before={next}"),
            None => break,
        }
    }
    ensure!(seen == count, "{seen} films of {count} are there");
    Ok(last * 1_000)
}

/// From submission to the backend being called, in milliseconds, film by film.
async fn low_load(stage: &Stage, channel: &Channel, seeds: &[u64]) -> Result<Vec<f64>> {
    let mut submitted = HashMap::new();
    for seed in seeds {
        submitted.insert(*seed, micros());
        let id = format!("bench-{seed}");
        let sent = publish(channel, "", "callsheet.submissions", &request(*seed), &id).await?;
        confirmed(Some(sent.await))?;
        tokio::time::sleep(PAUSE).await;
    }
    let called = until(
        "all films to be begun",
        Duration::from_secs(20),
        async || {
            let mut called = HashMap::new();
            for line in stage.executions() {
                if let [_, _, seed, at] = line.split(' ').collect::<Vec<_>>()[..] {
                    called
                        .entry(seed.parse::<u64>()?)
                        .or_insert(at.parse::<i64>()?);
                }
            }
            ensure!(
                seeds.iter().all(|seed| called.contains_key(seed)),
                "some film was not begun"
            );
            Ok::<_, anyhow::Error>(called)
        },
    )
    .await;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    let samples = seeds
        .iter()
        .map(|seed| (called[seed] - submitted[seed]) as f64 / 1e3)
        .collect();
    Ok(samples)
}

fn micros() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
