//! What a simulated backend does to a simulated card.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it like the test itself"
)]

use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nvml_double::install::update;
use nvml_double::state::{Device, State};
use shared::byte_size::ByteSize;
use simulated_gpu::{BackendState, Card, Client, Job, Outcome, Process, Settings};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);
/// All that can be held of a card of 24 GiB: the double's driver keeps half a GiB.
const ALL: ByteSize = ByteSize::mib(24 * 1024 - 512);

struct Host {
    #[expect(dead_code, reason = "the card is gone with it")]
    folder: TempDir,
    card: Card,
}

fn host() -> Host {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state");
    update(&state, |now| {
        *now = State::with([Device::idle("GPU-1", 24)]);
    })
    .unwrap();
    let card = Card::new(&state, "GPU-1");
    Host { folder, card }
}

impl Host {
    fn backend(&self, change: impl FnOnce(&mut Settings)) -> Process {
        let mut settings = Settings::on(&self.card);
        change(&mut settings);
        let mut program = Command::new(env!("CARGO_BIN_EXE_simulated-backend"));
        Process::start(&mut program, &settings).unwrap()
    }

    fn held(&self) -> ByteSize {
        ByteSize::bytes(ALL.as_bytes() - self.card.free().unwrap().as_bytes())
    }

    /// Waits until so much is held of the card.
    fn holds(&self, what: ByteSize) {
        until(|| (self.held() == what).then_some(()).ok_or(self.held()));
    }
}

/// Looks again and again until it is so.
fn until<T, E: std::fmt::Debug>(mut look: impl FnMut() -> Result<T, E>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(seen) => assert!(began.elapsed() < SOON, "last seen: {seen:?}"),
        }
        std::thread::yield_now();
    }
}

fn job(id: &str, model: &str, load: u64, peak: u64) -> Job {
    Job {
        id: id.to_owned(),
        model: model.to_owned(),
        load: ByteSize::gib(load),
        peak: ByteSize::gib(peak),
        takes: Duration::from_millis(20),
    }
}

/// A job without an end.
fn endless(id: &str, load: u64, peak: u64) -> Job {
    Job {
        takes: Duration::from_secs(3600),
        ..job(id, "wan", load, peak)
    }
}

fn ran(client: Client, job: Job) -> BackendState {
    let id = job.id.clone();
    client.run(job).unwrap();
    client.wait_for(&id, SOON).unwrap()
}

#[test]
fn a_job_takes_its_memory_bit_by_bit_and_leaves_its_model() {
    let host = host();
    let backend = host.backend(|settings| settings.ramp = Duration::from_secs(1));
    let client = backend.client();
    client.run(job("a", "wan", 18, 21)).unwrap();
    let mut seen = vec![host.held()];
    while client.state().unwrap().ended("a").is_none() {
        seen.push(host.held());
    }
    // The last one may be from after the end.
    seen.pop();
    assert!(seen.is_sorted(), "{seen:?}");
    let part_loaded = |held: &&ByteSize| (ByteSize::gib(1)..ByteSize::gib(17)).contains(held);
    assert!(seen.iter().filter(part_loaded).count() > 2, "{seen:?}");
    let state = client.state().unwrap();
    let ended = state.ended("a").unwrap();
    assert_eq!((ended.how, ended.peak), (Outcome::Done, ByteSize::gib(21)));
    host.holds(ByteSize::gib(18));
    let wan = [("wan".to_owned(), ByteSize::gib(18))];
    assert_eq!(client.state().unwrap().models, wan);
    // The next one finds the model there.
    assert_eq!(ran(client, job("b", "wan", 18, 21)).loads, 1);
    // Another model takes its place.
    let state = ran(client, job("c", "flux", 9, 10));
    assert_eq!((state.loads, state.models.len()), (2, 1));
    host.holds(ByteSize::gib(9));
}

#[test]
fn memory_comes_back_a_while_after_the_end_and_after_an_unload() {
    let host = host();
    // It would not come back within this test.
    let backend = host.backend(|settings| settings.lag = Duration::from_secs(3600));
    assert!(ran(backend.client(), job("a", "wan", 18, 21)).is_idle());
    assert_eq!(host.held(), ByteSize::gib(21));
    assert_eq!(
        backend.client().unload(None).unwrap().held,
        ByteSize::gib(21)
    );

    let quick = host.backend(|settings| settings.context = ByteSize::mib(300));
    ran(quick.client(), job("a", "small", 1, 2));
    host.holds(ByteSize::mib(22 * 1024 + 300));
    quick.client().unload(None).unwrap();
    host.holds(ByteSize::mib(21 * 1024 + 300));
}

#[test]
fn what_is_beyond_the_card_is_refused_and_counted() {
    let host = host();
    let (big, late) = (host.backend(|_| {}), host.backend(|_| {}));
    ran(big.client(), job("a", "wan", 18, 21));
    let state = ran(late.client(), job("b", "mistral", 6, 7));
    assert_eq!(state.ended("b").unwrap().how, Outcome::OutOfMemory);
    assert_eq!((state.out_of_memory, state.models), (1, vec![]));
    let refusals = host.card.refusals().unwrap();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].pid, late.pid());
    // It gives back what it had.
    host.holds(ByteSize::gib(18));
    // Nothing is refused that fits.
    big.client().unload(None).unwrap();
    host.holds(ByteSize::ZERO);
    let state = ran(late.client(), job("c", "mistral", 6, 7));
    assert_eq!(state.ended("c").unwrap().how, Outcome::Done);
    assert_eq!(host.card.refusals().unwrap().len(), 1);
}

#[test]
fn an_unload_is_done_after_the_present_job_or_never() {
    let host = host();
    let backend = host.backend(|_| {});
    let client = backend.client();
    client.run(endless("a", 18, 18)).unwrap();
    until(|| match client.state().unwrap() {
        loaded if loaded.models.len() == 1 => Ok(()),
        state => Err(Box::new(state)),
    });
    assert_eq!(client.unload(None).unwrap().models.len(), 1);
    assert_eq!(client.state().unwrap().held, ByteSize::gib(18));
    client.cancel("a").unwrap();
    host.holds(ByteSize::ZERO);

    ran(client, job("b", "wan", 18, 18));
    client.ignore_unloads(1).unwrap();
    client.unload(None).unwrap();
    // The next job still finds the model, and so would anybody else.
    assert_eq!(ran(client, job("c", "wan", 18, 18)).loads, 2);
    client.unload(Some("other")).unwrap();
    assert_eq!(ran(client, job("d", "wan", 18, 18)).loads, 2);
    client.unload(Some("wan")).unwrap();
    host.holds(ByteSize::ZERO);
}

#[test]
fn jobs_stand_in_line_and_none_is_done_twice() {
    let host = host();
    let backend = host.backend(|_| {});
    let client = backend.client();
    client.run(endless("a", 2, 3)).unwrap();
    until(|| client.state().unwrap().running.ok_or("in line"));
    for _ in 0..2 {
        client.run(job("b", "wan", 2, 3)).unwrap();
        client.run(endless("a", 2, 3)).unwrap();
    }
    client.run(job("c", "wan", 2, 3)).unwrap();
    let state = client.cancel("c").unwrap();
    assert_eq!((state.deepest, state.in_line), (3, vec!["b".to_owned()]));
    assert_eq!(state.idle_for, None);
    client.cancel("a").unwrap();
    let state = client.wait_until_idle(SOON).unwrap();
    let ended = state.ended.iter().map(|it| (it.job.as_str(), it.how));
    use Outcome::*;
    let all = [("c", Cancelled), ("a", Cancelled), ("b", Done)];
    assert_eq!(ended.collect::<Vec<_>>(), all);
    assert!(state.idle_for.is_some());
    assert_eq!(ran(client, job("b", "wan", 2, 3)).ended.len(), 3);
}

#[test]
fn several_models_stay_beside_each_other_where_a_backend_stacks_them() {
    let host = host();
    let backend = host.backend(|settings| settings.stacks = true);
    ran(backend.client(), job("a", "mistral", 6, 7));
    ran(backend.client(), job("b", "llama", 4, 5));
    host.holds(ByteSize::gib(10));
    backend.client().unload(Some("mistral")).unwrap();
    host.holds(ByteSize::gib(4));
}

#[test]
fn the_dead_answer_nobody_and_hold_nothing() {
    let host = host();
    let (faulty, mut killed) = (host.backend(|_| {}), host.backend(|_| {}));
    for backend in [&faulty, &killed] {
        backend.client().run(endless("a", 9, 9)).unwrap();
    }
    host.holds(ByteSize::gib(18));
    faulty.client().die().unwrap();
    let refused = |client: Client| match client.state() {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        other => Err(Box::new(other)),
    };
    until(|| refused(faulty.client()));
    host.holds(ByteSize::gib(9));
    killed.kill().unwrap();
    assert!(refused(killed.client()).is_ok());
    assert_eq!(host.held(), ByteSize::ZERO);
}

#[test]
fn a_backend_does_not_outlive_whoever_started_it() {
    let host = host();
    let settings = serde_json::to_string(&Settings::on(&host.card)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_simulated-backend"))
        .arg(settings)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    let output = child.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut address).unwrap();
    let client = Client::at(address.trim().parse().unwrap());
    client.run(endless("a", 9, 9)).unwrap();
    host.holds(ByteSize::gib(9));
    // Whoever held the other end is gone.
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(host.held(), ByteSize::ZERO);
}
