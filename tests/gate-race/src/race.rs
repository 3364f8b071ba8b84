//! One race, from the first worker to the last.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nvml_double::install::Double;
use nvml_double::state::{Device, State};
use simulated_gpu::{Card, Process, Settings};
use tempfile::TempDir;

use crate::figures::{Books, Figures};
use crate::gated::boot;
use crate::life::{Life, Told};
use crate::plan::{CARD_GIB, CONTEXT, LARGEST, Plan, Strategy, job};
use crate::report::Report;
use crate::watch::Watch;
use crate::worker::Orders;

const DEVICE: &str = "GPU-of-the-race";
/// How often the books are looked at.
const WATCHES: Duration = Duration::from_millis(50);
/// What is in work when the time is over ends within this time, and what was promised is released.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Runs one race. `program` is this crate's own.
///
/// # Errors
/// If something fails that has nothing to do with memory.
pub fn run(program: &Path, plan: &Plan, strategy: Strategy) -> Result<Figures> {
    let mut race = Race::start(program, plan, strategy)?;
    let end = Instant::now() + plan.time;
    let mut kills = plan.kills();
    let (mut pause, mut by) = kills.next().context("kills never end")?;
    let mut kill_at = Instant::now() + pause;
    while Instant::now() < end {
        race.hear_until(kill_at.min(end).min(race.watch_at))?;
        if Instant::now() >= race.watch_at {
            race.watch()?;
        }
        // With nobody to be killed, it is the next one who comes.
        if Instant::now() >= kill_at && race.kill(by)? {
            (pause, by) = kills.next().context("kills never end")?;
            kill_at += pause;
        }
    }
    race.end()
}

struct Race<'a> {
    program: &'a Path,
    plan: &'a Plan,
    strategy: Strategy,
    card: Card,
    double: Double,
    // Workers go before their backends.
    workers: Vec<Worker>,
    backends: Vec<Process>,
    watch: Option<Watch>,
    watch_at: Instant,
    teller: Sender<Told>,
    told: Receiver<Told>,
    figures: Figures,
    books: Books,
    folder: TempDir,
}

struct Worker {
    life: Life,
    number: u32,
    /// The job that it has turned to, and since when it waits.
    job: Option<u32>,
    waits_since: Option<Instant>,
    /// Since when its job runs.
    runs_since: Option<Instant>,
    ended: bool,
    stopped: bool,
}

/// A folder in memory where there is one, as the ledger's own place is: a disk would be measured otherwise.
fn temporary() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    match std::env::var_os("TMPDIR").is_none() && memory.is_dir() {
        true => TempDir::new_in(memory),
        false => TempDir::new(),
    }
}

impl<'a> Race<'a> {
    fn start(program: &'a Path, plan: &'a Plan, strategy: Strategy) -> Result<Self> {
        let folder = temporary()?;
        let card = Device::idle(DEVICE, CARD_GIB);
        let double = Double::install(folder.path(), &State::with([card]))?;
        let card = Card::new(double.state_file(), DEVICE);
        let settings = Settings {
            context: CONTEXT,
            ..Settings::on(&card)
        };
        let backends = (0..plan.workers)
            .map(|_| Process::start(Command::new(program).arg("backend"), &settings))
            .collect::<Result<_, _>>()
            .context("starting a backend")?;
        let (teller, told) = channel();
        let mut race = Self {
            program,
            plan,
            strategy,
            card,
            double,
            workers: Vec::new(),
            backends,
            watch: None,
            watch_at: Instant::now(),
            teller,
            told,
            figures: Figures::default(),
            books: Books::default(),
            folder,
        };
        if strategy == Strategy::Gate {
            race.watch = Some(Watch::open(&race.ledger(), DEVICE)?);
        }
        for worker in 0..plan.workers {
            let worker = race.begin(worker, 0, 0)?;
            race.workers.push(worker);
        }
        Ok(race)
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// A new life of that worker, which begins with that job.
    fn begin(&self, worker: u32, life: u32, first: u32) -> Result<Worker> {
        let backend = |backend: &Process| -> (SocketAddr, u32) {
            (backend.client().address(), backend.pid())
        };
        let orders = Orders {
            worker,
            life,
            seed: self.plan.seed,
            strategy: self.strategy,
            first,
            backends: self.backends.iter().map(backend).collect(),
            library: self.double.library().to_owned(),
            device: DEVICE.to_owned(),
            ledger: self.ledger(),
        };
        Ok(Worker {
            life: Life::start(
                self.program,
                self.double.state_file(),
                &orders,
                self.teller.clone(),
            )?,
            number: life,
            job: None,
            waits_since: None,
            runs_since: None,
            ended: false,
            stopped: false,
        })
    }

    /// Listens to the workers until then.
    fn hear_until(&mut self, then: Instant) -> Result<()> {
        loop {
            let left = then.saturating_duration_since(Instant::now());
            match self.told.recv_timeout(left) {
                Ok(told) => self.hear(&told),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => bail!("nobody is left"),
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    fn hear(&mut self, told: &Told) {
        let worker = &mut self.workers[told.worker as usize];
        // Of a life that has ended, everything was heard before the next one began.
        debug_assert_eq!(worker.number, told.life);
        match told.report {
            Report::Turned { number } => {
                worker.job = Some(number);
                worker.waits_since = Some(told.at);
                worker.ended = false;
            }
            Report::Decided { held, looked } => {
                self.books.decided.push(held);
                self.books.looked.push(looked);
            }
            Report::Waited { admitted } => self.waited(told.worker, told.at, admitted),
            Report::Ended { done } => {
                worker.ended = true;
                worker.runs_since = None;
                self.figures.done += u32::from(done);
            }
            Report::Stopped => worker.stopped = true,
        }
    }

    /// The wait of that worker's job is over.
    fn waited(&mut self, place: u32, until: Instant, admitted: bool) {
        let worker = &mut self.workers[place as usize];
        let (Some(number), Some(since)) = (worker.job, worker.waits_since.take()) else {
            return;
        };
        worker.runs_since = admitted.then_some(until);
        let waited = until.saturating_duration_since(since);
        let figures = &mut self.figures;
        if job(self.plan.seed, place, number).peak == LARGEST {
            figures.largest += u32::from(admitted);
            figures.largest_waited = figures.largest_waited.max(waited);
        } else {
            figures.others_waited = figures.others_waited.max(waited);
        }
    }

    /// Kills one of those who have something to lose, and starts it again. Whether there was one.
    fn kill(&mut self, by: u64) -> Result<bool> {
        let has_job = |place: &u32| {
            let worker = &self.workers[*place as usize];
            !self.plan.is_spared(*place) && worker.job.is_some()
        };
        let candidates: Vec<u32> = (0..self.plan.workers).filter(has_job).collect();
        let among = candidates.len() as u64;
        let Some(any) = by.checked_rem(among).map(|it| candidates[it as usize]) else {
            return Ok(false);
        };
        // Every second time one whose backend has most of its memory yet to take.
        let latest = candidates
            .iter()
            .filter_map(|place| Some((self.workers[*place as usize].runs_since?, *place)))
            .max();
        let place = match latest {
            Some((_, latest)) if by & (1 << 42) != 0 => latest,
            Some(_) | None => any,
        };
        let index = place as usize;
        self.workers[index].life.kill()?;
        let at = Instant::now();
        self.figures.kills += 1;
        while let Ok(told) = self.told.try_recv() {
            self.hear(&told);
        }
        self.waited(place, at, false);
        let worker = &self.workers[index];
        if let Some(watch) = &mut self.watch {
            watch.killed(boot(place, worker.number));
        }
        let number = worker.job.unwrap_or(0);
        // It comes back to the same job, as after a crash, or, one time in four, it is given another one.
        let first = match worker.ended || (by >> 40) & 3 == 0 {
            true => number + 1,
            false => number,
        };
        self.workers[index] = self.begin(place, worker.number + 1, first)?;
        Ok(true)
    }

    /// Looks at the books, where there are any. Whether anything is promised.
    fn watch(&mut self) -> Result<bool> {
        self.watch_at = Instant::now() + WATCHES;
        self.watch.as_mut().map_or(Ok(false), Watch::look)
    }

    /// Has the workers stop, and waits until nothing is promised any more.
    fn end(mut self) -> Result<Figures> {
        for worker in &mut self.workers {
            worker.life.stop()?;
        }
        let limit = Instant::now() + ENDS_WITHIN;
        while self.workers.iter().any(|worker| !worker.stopped) {
            ensure!(Instant::now() < limit, "a worker does not stop");
            self.hear_until(self.watch_at)?;
            self.watch()?;
        }
        let backends = self.backends.iter().map(Process::client);
        let states: Vec<_> = backends
            .map(|backend| backend.wait_until_idle(ENDS_WITHIN))
            .collect::<Result<_, _>>()?;
        let limit = Instant::now() + ENDS_WITHIN;
        while self.watch()? && Instant::now() < limit {
            self.hear_until(self.watch_at)?;
        }
        self.figures.deepest = states.iter().map(|state| state.deepest).max().unwrap_or(0);
        let refusals = self.card.refusals()?.len();
        self.figures.out_of_memory = u32::try_from(refusals)?;
        if let Some(watch) = &mut self.watch {
            self.books.left = watch.look()?;
            (self.books.orphans, self.books.released_after) = watch.seen();
            self.books.decided.sort();
            self.books.looked.sort();
            self.figures.books = Some(self.books.clone());
        }
        Ok(self.figures)
    }
}
