//! Many films at once over three processes: nothing is lost, nothing is executed twice, whatever is killed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use shared::api::{FilmStatus, FilmSummary};
use shared::film::FilmRequest;
use shared::job::JobStatus;
use support::stage::{Cast, Stage};
use support::submitter::Submitter;
use support::wait::{SOON, until};

const FILMS: usize = 200;
/// A story, three keyframes, three clips and an assembly.
const JOBS: usize = FILMS * 8;

/// Several attempts at once, none of which costs time.
const CAST: Cast = Cast::Stubs {
    slots: 4,
    work: Duration::ZERO,
};

fn requests() -> Vec<FilmRequest> {
    let request = |seed| FilmRequest {
        premise: Some("A storm".to_owned()),
        scenes: Some(3),
        seconds: Some(1.0),
        seed: Some(seed),
        ..FilmRequest::default()
    };
    (0..FILMS as u64).map(request).collect()
}

/// Waits until every film is completed.
async fn all_completed(stage: &Stage, limit: Duration) {
    until("all films to be completed", limit, async || {
        let films = stage.films().await?;
        let done = films
            .iter()
            .filter(|film| film.status == FilmStatus::Completed)
            .count();
        let is_done = done == FILMS && films.len() == FILMS;
        ensure!(
            is_done,
            "{done} of {} films: {}",
            films.len(),
            rest(stage, &films).await?
        );
        Ok(())
    })
    .await;
}

/// How the jobs stand of a film that is not completed, for whoever reads that it never was.
async fn rest(stage: &Stage, films: &[FilmSummary]) -> Result<String> {
    let mut open = films
        .iter()
        .filter(|film| film.status != FilmStatus::Completed);
    let Some(film) = open.next() else {
        return Ok("none is left".to_owned());
    };
    let jobs = stage.film(film.id).await?.jobs;
    let mut left = jobs.iter().filter(|job| job.status != JobStatus::Completed);
    Ok(format!("{:?}", left.next()))
}

/// How often each job was executed beyond once, in all; every job must have been executed.
fn extra_executions(stage: &Stage) -> usize {
    let mut counted: HashMap<String, usize> = HashMap::new();
    for line in stage.executions() {
        let job = line.split(' ').next().unwrap_or_default().to_owned();
        *counted.entry(job).or_default() += 1;
    }
    assert_eq!(counted.len(), JOBS, "every job is executed");
    counted.values().map(|times| times - 1).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_films_at_once_are_finished_with_one_execution_a_job() -> Result<()> {
    let stage = Stage::set(CAST).await?;
    let mut submitter = Submitter::connect(&stage.rabbitmq.url()).await?;
    let films = submitter.submit_all(&requests(), "calm").await?;
    assert_eq!(films.values().collect::<BTreeSet<_>>().len(), FILMS);
    all_completed(&stage, Duration::from_secs(120)).await;
    assert_eq!(extra_executions(&stage), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_that_are_published_twice_are_executed_once() -> Result<()> {
    let stage = Stage::set(CAST).await?;
    let copies = Arc::new(AtomicUsize::new(0));
    let echo = Echo::listen(&stage.rabbitmq.url()).await?;
    let echo = tokio::spawn(echo.publish_again(Arc::clone(&copies)));
    let mut submitter = Submitter::connect(&stage.rabbitmq.url()).await?;
    submitter.submit_all(&requests(), "twice").await?;
    all_completed(&stage, Duration::from_secs(180)).await;
    until("a copy of every attempt", SOON, async || {
        let copies = copies.load(Ordering::Relaxed);
        ensure!(copies >= JOBS, "{copies} copies of {JOBS} attempts");
        Ok(())
    })
    .await;
    assert_eq!(extra_executions(&stage), 0);
    ensure!(
        !echo.is_finished(),
        "the echo ended early: {:?}",
        echo.await
    );
    Ok(())
}

/// Listens to everything that is published to the job queues.
struct Echo {
    _connection: Connection,
    channel: Channel,
    reader: Consumer,
}

impl Echo {
    /// Whatever is published once this has returned is heard.
    async fn listen(url: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let queue = channel
            .queue_declare(
                "copies".into(),
                QueueDeclareOptions::durable(),
                FieldTable::default(),
            )
            .await?;
        let offers = [support::stage::STORY, support::stage::PICTURES].join(",");
        for offer in offers.split(',') {
            let key = format!("callsheet.job.{}", offer.replace('/', "."));
            let bind = QueueBindOptions::default();
            channel
                .queue_bind(
                    queue.name().clone(),
                    "callsheet".into(),
                    key.into(),
                    bind,
                    FieldTable::default(),
                )
                .await?;
        }
        let reader = channel
            .basic_consume(
                queue.name().clone(),
                "".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok(Self {
            _connection: connection,
            channel,
            reader,
        })
    }

    /// Puts a copy of each message into the same queue, and counts the copies.
    async fn publish_again(mut self, copies: Arc<AtomicUsize>) -> Result<()> {
        while let Some(delivery) = self.reader.next().await {
            let delivery = delivery?;
            let properties: BasicProperties = delivery.properties.clone();
            let key = delivery.routing_key.clone();
            let options = BasicPublishOptions::default();
            self.channel
                .basic_publish("".into(), key, options, &delivery.data, properties)
                .await?;
            copies.fetch_add(1, Ordering::Relaxed);
            delivery.ack(BasicAckOptions::default()).await?;
        }
        bail!("the connection ended")
    }
}

/// What a storm kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Coordinator,
    Writer,
    Painter,
    Broker,
}

/// A small generator of its own, so that a seed tells the same storm for ever: xorshift64* (Vigna, 2016).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// Ten kills of each, in random order, each when a random number of executions has been seen. Not at once: RabbitMQ 3.10 that
/// is killed within a second of declaring a quorum queue may lose that queue for good (docs/design/broker.md).
fn storm(seed: u64) -> Vec<(usize, Victim)> {
    let mut dice = Dice(seed);
    let mut victims: Vec<Victim> = [[Victim::Coordinator; 10], [Victim::Broker; 10]]
        .concat()
        .into_iter()
        .chain([Victim::Painter; 9])
        .collect();
    victims.push(Victim::Writer);
    for last in (1..victims.len()).rev() {
        victims.swap(last, dice.below(last + 1));
    }
    let mut moments: Vec<usize> = victims
        .iter()
        .map(|_| 150 + dice.below(JOBS - 250))
        .collect();
    moments.sort_unstable();
    moments.into_iter().zip(victims).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_each_of_coordinator_worker_and_broker_lose_nothing() -> Result<()> {
    let seed = std::env::var("CALLSHEET_STORM_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_261_123);
    let mut stage = Stage::set(Cast::Stubs {
        slots: 1,
        // Long enough for a kill to come in its midst.
        work: Duration::from_millis(10),
    })
    .await?;
    let mut submitter = Submitter::connect(&stage.rabbitmq.url()).await?;
    submitter.submit_all(&requests(), "storm").await?;
    let mut worker_kills = 0;
    for (moment, victim) in storm(seed) {
        until(
            &format!("execution {moment}, to kill the {victim:?}"),
            Duration::from_secs(90),
            async || {
                let seen = stage.executions().len();
                ensure!(seen >= moment, "{seen} executions");
                Ok(())
            },
        )
        .await;
        match victim {
            Victim::Coordinator => restart(&mut stage.coordinator)?,
            Victim::Writer => restart(&mut stage.writer)?,
            Victim::Painter => restart(&mut stage.painter)?,
            Victim::Broker => {
                stage.rabbitmq.kill()?;
                stage.rabbitmq.start_again().await?;
            }
        }
        worker_kills += usize::from(matches!(victim, Victim::Writer | Victim::Painter));
    }
    stage.ready().await;
    // A run of which nobody hears any more is given up after its lease, which is 3 minutes.
    all_completed(&stage, Duration::from_secs(300)).await;
    let extra = extra_executions(&stage);
    println!("storm {seed}: {JOBS} jobs, 10 kills each, {extra} executions beyond one a job");
    assert!(
        extra <= worker_kills,
        "{extra} extra executions after {worker_kills} kills of workers"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_is_killed_while_films_come_in_takes_each_once() -> Result<()> {
    const ROUNDS: usize = 5;
    let mut stage = Stage::set(CAST).await?;
    let mut submitter = Submitter::connect(&stage.rabbitmq.url()).await?;
    let mut films = BTreeSet::new();
    for (round, requests) in requests().chunks(FILMS / ROUNDS).enumerate() {
        let label = format!("round {round}");
        let submitted = submitter.submit_all(requests, &label);
        let killed = async {
            until("the first film of a round", SOON, async || {
                let there = stage.films().await?.len();
                ensure!(there > round * FILMS / ROUNDS, "{there} films");
                Ok(())
            })
            .await;
            restart(&mut stage.coordinator)
        };
        // Whoever hears nothing for the kill hears it from the next life, to which the submission comes again.
        let (submitted, killed) = tokio::join!(submitted, killed);
        killed?;
        films.extend(submitted?.into_values());
        stage.ready().await;
    }
    assert_eq!(films.len(), FILMS);
    all_completed(&stage, Duration::from_secs(120)).await;
    assert_eq!(extra_executions(&stage), 0);
    Ok(())
}

fn restart(program: &mut support::programs::Program) -> Result<()> {
    program.kill()?;
    program.start_again()
}
