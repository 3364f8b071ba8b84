//! The working half of a backend: one thread that runs jobs one after another and holds memory for them.

use std::collections::VecDeque;
use std::io;
use std::process::exit;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use shared::byte_size::ByteSize;

use crate::protocol::{BackendState, Ended, Job, Outcome, Request, Running};
use crate::settings::Settings;

/// Memory grows, and a job goes on, in steps of this time.
const STEP: Duration = Duration::from_millis(5);
/// So many ended jobs are remembered.
const REMEMBERED: usize = 64;

/// A backend, to its requests.
#[derive(Debug)]
pub(crate) struct Engine {
    settings: Settings,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    /// Without what is in `line`, and without `idle_for`.
    state: BackendState,
    line: VecDeque<Job>,
    idle_since: Instant,
    cancelled: bool,
    /// What to unload once nothing runs.
    unload: Option<Unload>,
    ignored: u32,
    /// When to give back what is held beyond what is loaded.
    gives_back_at: Option<Instant>,
    /// The most that was held during the present job.
    peak: ByteSize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Unload {
    All,
    One(String),
}

/// Why a job stops before its end.
enum Stop {
    OutOfMemory,
    Cancelled,
}

impl Engine {
    pub(crate) fn start(settings: Settings) -> io::Result<Arc<Self>> {
        let pid = std::process::id();
        let engine = Arc::new(Self {
            settings,
            inner: Mutex::new(Inner {
                state: BackendState {
                    pid,
                    ..BackendState::default()
                },
                line: VecDeque::new(),
                idle_since: Instant::now(),
                cancelled: false,
                unload: None,
                ignored: 0,
                gives_back_at: None,
                peak: ByteSize::ZERO,
            }),
            changed: Condvar::new(),
        });
        let context = engine.settings.context;
        if context > ByteSize::ZERO && !engine.hold(&mut engine.lock(), context)? {
            return Err(io::Error::other("no room for a context"));
        }
        let working = Arc::clone(&engine);
        thread::spawn(move || {
            // A card that is gone takes its backends with it.
            let Err(_) = working.work();
            exit(1);
        });
        Ok(engine)
    }

    /// Does what it is told, and tells how it is then.
    pub(crate) fn told(&self, request: Request) -> BackendState {
        let mut inner = self.lock();
        match request {
            Request::Run(job) => inner.queue(job),
            Request::Cancel { job } => inner.cancel(&job),
            Request::Unload { model } => inner.unload(model),
            Request::IgnoreUnloads { times } => inner.ignored = times,
            Request::State | Request::Wait { .. } | Request::Die => {}
        }
        self.changed.notify_all();
        inner.told()
    }

    /// Waits until that job has ended, or until there is nothing to do.
    pub(crate) fn wait(&self, job: Option<&str>, limit: Duration) -> BackendState {
        let until = Instant::now() + limit;
        let mut inner = self.lock();
        loop {
            let state = inner.told();
            let is_there = match job {
                Some(job) => state.ended(job).is_some(),
                None => state.is_idle(),
            };
            let left = until.saturating_duration_since(Instant::now());
            if is_there || left.is_zero() {
                return state;
            }
            inner = self.sleep(inner, left);
        }
    }

    /// Ends the process; what it holds is given back on the way.
    pub(crate) fn end(&self, code: i32) -> ! {
        // Never let go of again, so that nothing is taken any more.
        let inner = self.lock();
        thread::sleep(self.settings.lag);
        let _ = self.settings.card.leave(inner.state.pid);
        exit(code)
    }

    fn work(&self) -> io::Result<std::convert::Infallible> {
        loop {
            let job = self.next()?;
            self.run(&job)?;
        }
    }

    /// The next job. Until there is one, what was asked to leave leaves, and what is not needed is given back.
    fn next(&self) -> io::Result<Job> {
        let mut inner = self.lock();
        loop {
            match inner.unload.take() {
                Some(Unload::All) => inner.state.models.clear(),
                Some(Unload::One(model)) => inner.state.models.retain(|(it, _)| *it != model),
                None => {}
            }
            if let Some(job) = inner.line.pop_front() {
                inner.gives_back_at = None;
                inner.cancelled = false;
                inner.peak = inner.state.held;
                inner.state.running = Some(Running {
                    job: job.id.clone(),
                    done: 0.0,
                });
                return Ok(job);
            }
            let resting = self.resting(&inner);
            inner = match inner.gives_back_at {
                None if inner.state.held > resting => {
                    inner.gives_back_at = Some(Instant::now() + self.settings.lag);
                    inner
                }
                None => self
                    .changed
                    .wait(inner)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(at) => match at.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => {
                        inner.gives_back_at = None;
                        self.hold(&mut inner, resting)?;
                        inner
                    }
                    left => self.sleep(inner, left),
                },
            };
        }
    }

    fn run(&self, job: &Job) -> io::Result<()> {
        let how = match self.try_to_run(job)? {
            Ok(()) => Outcome::Done,
            Err(Stop::Cancelled) => Outcome::Cancelled,
            Err(Stop::OutOfMemory) => Outcome::OutOfMemory,
        };
        let mut inner = self.lock();
        if how == Outcome::OutOfMemory {
            inner.state.out_of_memory += 1;
            inner.state.models.clear();
        }
        inner.end(&job.id, how);
        self.changed.notify_all();
        Ok(())
    }

    fn try_to_run(&self, job: &Job) -> io::Result<Result<(), Stop>> {
        let mut inner = self.lock();
        let is_loaded = inner.state.models.iter().any(|(it, _)| *it == job.model);
        if !self.settings.stacks && !is_loaded {
            inner.state.models.clear();
            let empty = self.resting(&inner);
            if inner.state.held > empty {
                self.hold(&mut inner, empty)?;
            }
        }
        let others = inner.state.models.iter().filter(|(it, _)| *it != job.model);
        let beside = others.fold(self.settings.context, |sum, (_, size)| plus(sum, *size));
        drop(inner);
        let (loaded, peak) = (plus(beside, job.load), plus(beside, job.peak));
        if !is_loaded {
            if let Err(stop) = self.grow(loaded, self.settings.ramp, |_| 0.0)? {
                return Ok(Err(stop));
            }
            let mut inner = self.lock();
            inner.state.models.push((job.model.clone(), job.load));
            inner.state.loads += 1;
        }
        // The peak comes in the middle and stays, as when frames are decoded at the end.
        let half = job.takes / 2;
        if let Err(stop) = self.grow(peak, half, |done| done / 2.0)? {
            return Ok(Err(stop));
        }
        self.grow(peak, job.takes - half, |done| 0.5 + done / 2.0)
    }

    /// Comes to hold that much, bit by bit, within that time; what is held already stays. `progress` of the share of the time
    /// that has passed is told.
    fn grow(
        &self,
        to: ByteSize,
        within: Duration,
        progress: impl Fn(f64) -> f64,
    ) -> io::Result<Result<(), Stop>> {
        let began = Instant::now();
        let from = self.lock().state.held.as_bytes();
        let rise = to.as_bytes().saturating_sub(from);
        loop {
            let passed = began.elapsed().min(within);
            let share = match within.is_zero() {
                true => 1.0,
                false => passed.as_secs_f64() / within.as_secs_f64(),
            };
            let mut inner = self.lock();
            if inner.cancelled {
                return Ok(Err(Stop::Cancelled));
            }
            if let Some(running) = &mut inner.state.running {
                running.done = progress(share);
            }
            let level = from + part_of(rise, share);
            if level > inner.state.held.as_bytes()
                && !self.hold(&mut inner, ByteSize::bytes(level))?
            {
                return Ok(Err(Stop::OutOfMemory));
            }
            drop(inner);
            if passed == within {
                return Ok(Ok(()));
            }
            thread::sleep(STEP.min(within - passed));
        }
    }

    /// Holds that much from now on, if the card has room.
    fn hold(&self, inner: &mut Inner, amount: ByteSize) -> io::Result<bool> {
        match self.settings.card.hold(inner.state.pid, amount)? {
            Ok(()) => {
                inner.state.held = amount;
                inner.peak = inner.peak.max(amount);
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    /// What is held with nothing to do.
    fn resting(&self, inner: &Inner) -> ByteSize {
        let models = inner.state.models.iter();
        models.fold(self.settings.context, |sum, (_, size)| plus(sum, *size))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep<'a>(&self, inner: MutexGuard<'a, Inner>, limit: Duration) -> MutexGuard<'a, Inner> {
        let woken = self.changed.wait_timeout(inner, limit);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Inner {
    /// How it is now.
    fn told(&self) -> BackendState {
        let mut state = self.state.clone();
        state.in_line = self.line.iter().map(|job| job.id.clone()).collect();
        state.idle_for = state.is_idle().then(|| self.idle_since.elapsed());
        state
    }

    fn queue(&mut self, job: Job) {
        let state = self.told();
        if state.has(&job.id) || state.ended(&job.id).is_some() {
            return;
        }
        self.line.push_back(job);
        let deep = self.line.len() + usize::from(self.state.running.is_some());
        self.state.deepest = self.state.deepest.max(deep);
    }

    fn cancel(&mut self, job: &str) {
        self.cancelled |= self.state.running.as_ref().is_some_and(|it| it.job == job);
        let before = self.line.len();
        self.line.retain(|it| it.id != job);
        if self.line.len() < before {
            self.end_of(job, Outcome::Cancelled, ByteSize::ZERO);
        }
    }

    fn unload(&mut self, model: Option<String>) {
        self.state.told_to_unload.push(model.clone());
        if self.ignored > 0 {
            self.ignored -= 1;
            return;
        }
        self.unload = match (model, &self.unload) {
            (None, _) | (_, Some(Unload::All)) => Some(Unload::All),
            (Some(model), None) => Some(Unload::One(model)),
            (Some(model), Some(Unload::One(other))) if model == *other => Some(Unload::One(model)),
            // Of two that are to leave between two jobs, both go with the rest.
            (Some(_), Some(Unload::One(_))) => Some(Unload::All),
        };
    }

    /// The present job has ended.
    fn end(&mut self, job: &str, how: Outcome) {
        self.state.running = None;
        self.end_of(job, how, self.peak);
    }

    fn end_of(&mut self, job: &str, how: Outcome, peak: ByteSize) {
        self.idle_since = Instant::now();
        if self.state.ended.len() == REMEMBERED {
            self.state.ended.remove(0);
        }
        self.state.ended.push(Ended {
            job: job.to_owned(),
            how,
            peak,
        });
    }
}

fn plus(one: ByteSize, other: ByteSize) -> ByteSize {
    ByteSize::bytes(one.as_bytes() + other.as_bytes())
}

/// That share of so many bytes.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of memory, to a byte or two"
)]
fn part_of(bytes: u64, share: f64) -> u64 {
    match share < 1.0 {
        true => (bytes as f64 * share) as u64,
        false => bytes,
    }
}
