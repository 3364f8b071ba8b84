//! One job and everything around it: a coordinator, a broker, workers and people.

use std::collections::{HashSet, VecDeque};

use super::super::*;
use super::chance::Chance;
use super::laws::Passage;
use crate::core::leases::Leases;

const LEASE: Duration = Duration::from_secs(180);
const WORKERS: usize = 3;

/// How likely each trouble is in this world, in a thousand.
#[derive(Debug)]
struct Troubles {
    repeated: usize,
    reordered: usize,
    lost: usize,
    death: usize,
    silence: usize,
    failure: usize,
    release: usize,
    success: usize,
    cancel: usize,
    retry: usize,
    restart: usize,
}

impl Troubles {
    fn of(chance: &mut Chance) -> Self {
        Self {
            repeated: chance.pick(&[0, 100, 500, 1_000]),
            reordered: chance.pick(&[0, 50, 400]),
            lost: chance.pick(&[0, 50, 300]),
            death: chance.pick(&[0, 3, 30]),
            silence: chance.pick(&[0, 20, 50]),
            failure: chance.pick(&[0, 5, 40]),
            release: chance.pick(&[0, 5, 40]),
            success: chance.pick(&[1, 10, 30]),
            cancel: chance.pick(&[0, 0, 1]),
            retry: chance.pick(&[10, 100]),
            restart: chance.pick(&[0, 5]),
        }
    }

    const NONE: Self = Self {
        repeated: 0,
        reordered: 0,
        lost: 0,
        death: 0,
        silence: 0,
        failure: 0,
        release: 0,
        success: 300,
        cancel: 0,
        retry: 0,
        restart: 0,
    };
}

macro_rules! seen {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How often it was seen that …
        #[derive(Debug, Default)]
        pub(super) struct Seen {
            $($(#[$doc])* pub(super) $name: u32,)*
        }

        impl Seen {
            pub(super) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// Everything was seen at least some times.
            pub(super) fn assert_rich(&self) {
                $(assert!(self.$name >= 5, "seen too rarely: {} ({})", stringify!($name), self.$name);)*
            }
        }
    };
}

seen!(
    /// … work was begun.
    begun,
    /// … a run of an attempt that another run had been granted was denied.
    denied_granted_to_another,
    /// … a run of an earlier attempt was denied.
    denied_stale,
    /// … a lease ran out.
    expired,
    /// … a silent run took its place back.
    revived,
    /// … a job that was given up as failed came back to life.
    revived_failed,
    /// … of two runs the current one had to stop.
    overtaken,
    /// … of two runs the one that came back had to stop.
    outrun,
    /// … a success of a run that was not current counted.
    late_success,
    /// … a success counted though the job was given up as failed.
    success_after_failed,
    /// … two runs worked at the same time.
    overlapped,
    /// … a worker died while it worked.
    died,
    /// … an attempt was given back.
    released,
    /// … someone gave new tries.
    retried,
    /// … someone cancelled a job at work.
    cancelled_running,
    /// … a worker was told to stop, and did.
    obeyed,
    /// … a job was completed.
    completed,
);

/// An attempt's message.
#[derive(Debug, Clone, Copy)]
struct Message {
    attempt: Attempt,
    take: Take,
}

/// What lies in the queue of reports.
#[derive(Debug, Clone)]
enum Report {
    Event(Box<Event>),
    Probe(u64),
}

#[derive(Debug)]
struct Worker {
    number: u32,
    boot: u32,
    is_silent: bool,
    hands: Hands,
    /// Orders and answers for this life of it.
    inbox: Vec<Effect>,
    /// Reports that it has written and not yet sent.
    outbox: VecDeque<Event>,
    /// What it finds on its disk when it comes back: the run it had begun, and its last success.
    begun: Option<RunRef>,
    success: Option<Event>,
}

/// What a worker has in hand.
#[derive(Debug)]
enum Hands {
    Empty,
    /// A delivery, unacknowledged, about which it asks.
    Asking(Message, RunRef),
    /// Work, and the share of it that is done, in thousandths.
    Working(RunRef, u32),
}

pub(super) struct World {
    chance: Chance,
    troubles: Troubles,
    pub(super) seen: Seen,
    now: Timestamp,
    policy: Policy,
    // The coordinator.
    job: Job,
    leases: Leases,
    dispatch_due: bool,
    // The broker.
    attempts: Vec<Message>,
    reports: VecDeque<Report>,
    workers: Vec<Worker>,
    // What only an onlooker knows.
    runs_drawn: u128,
    expired: HashSet<RunId>,
    ends: u32,
    steps_since_the_end: u32,
}

impl World {
    pub(super) fn new(mut chance: Chance) -> Self {
        let worker = |number| Worker {
            number,
            boot: 1,
            is_silent: false,
            hands: Hands::Empty,
            inbox: Vec::new(),
            outbox: VecDeque::new(),
            begun: None,
            success: None,
        };
        let mut policy = Policy::default();
        policy.retry.max_failures = chance.pick(&[1, 2, 3, 6]);
        let mut world = Self {
            troubles: Troubles::of(&mut chance),
            chance,
            seen: Seen::default(),
            now: NOW,
            policy,
            job: new_job(),
            leases: Leases::new(LEASE),
            dispatch_due: false,
            attempts: Vec::new(),
            reports: VecDeque::new(),
            workers: (1..).map(worker).take(WORKERS).collect(),
            runs_drawn: 0,
            expired: HashSet::new(),
            ends: 0,
            steps_since_the_end: 0,
        };
        world.happen(&Event::Unblocked);
        world
    }

    /// Something happens somewhere.
    pub(super) fn step(&mut self) {
        match self.chance.below(12) {
            0 => self.publish(),
            1 => self.tick(),
            2 => self.people(),
            3 => self.broker_loses(),
            4..=6 => {
                for _ in 0..self.chance.pick(&[1, 2, 30]) {
                    self.read_report();
                }
            }
            _ => {
                let index = self.chance.below(WORKERS);
                self.worker(index);
            }
        }
        let wait = self.chance.pick(&[0, 10, 500, 3_000]);
        self.now = self.now.plus(Duration::from_millis(wait));
        if self.chance.per_mille(8) {
            self.now = self.now.plus(LEASE);
        }
        let is_over = matches!(
            self.job.status(),
            JobStatus::Completed | JobStatus::Cancelled
        );
        self.steps_since_the_end += u32::from(is_over);
        self.check();
    }

    /// Whether the job ended some time ago, and only echoes are left.
    pub(super) fn is_over(&self) -> bool {
        self.steps_since_the_end > 300
    }

    /// The troubles stop, and the job must end.
    pub(super) fn calm_down(&mut self) {
        self.troubles = Troubles::NONE;
        for worker in &mut self.workers {
            worker.is_silent = false;
        }
        for _ in 0..5_000 {
            if self.job.status().is_final() && self.reports.is_empty() {
                return;
            }
            self.step();
        }
        panic!(
            "the job does not end: {:?}\n{} attempts and {} reports are queued; {:?}",
            self.job,
            self.attempts.len(),
            self.reports.len(),
            self.workers
        );
    }

    // The coordinator.

    /// Decides as the coordinator does, and carries out what follows.
    fn happen(&mut self, event: &Event) {
        let before = self.job.clone();
        let (after, effects) = match decide(&before, event, self.now, &self.policy) {
            Decision::Ignore(_) => (before.clone(), Vec::new()),
            Decision::Answer(effects) => (before.clone(), effects),
            Decision::Change { job, effects } => (stored(&job), effects),
        };
        let passage = Passage {
            event,
            before: &before,
            after: &after,
            effects: &effects,
            policy: &self.policy,
        };
        passage.check();
        self.note(event, &before, &after);
        let current = |job: &Job| job.current().map(|grant| job.run_ref(grant));
        match (current(&before), current(&after)) {
            (before, Some(run)) if before != Some(run) => self.leases.begin(run, self.now),
            (Some(_), None) => self.leases.end(JOB),
            (Some(_) | None, _) => {}
        }
        if let Event::Heard { run, share, .. } = event {
            self.leases.extend(*run, self.now, None, *share);
        }
        self.job = after;
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let to = match &effect {
            Effect::Dispatch => {
                self.dispatch_due = true;
                return;
            }
            Effect::Grant { to, .. } => to.clone(),
            Effect::Deny { to, reason, .. } => {
                self.seen.denied_granted_to_another +=
                    u32::from(*reason == DenyReason::GrantedToAnother);
                self.seen.denied_stale += u32::from(*reason == DenyReason::Stale);
                to.clone()
            }
            Effect::Cancel { to, .. } => to.clone(),
        };
        let is_lost = self.chance.per_mille(self.troubles.lost);
        let is_repeated = self.chance.per_mille(self.troubles.repeated);
        // The inbox of an earlier life is gone.
        let reader = self
            .workers
            .iter_mut()
            .find(|worker| life(worker.number, worker.boot) == to && !is_lost);
        if let Some(worker) = reader {
            worker.inbox.push(effect.clone());
            if is_repeated {
                worker.inbox.push(effect);
            }
        }
    }

    /// Publishes what is due, and by the sweep what has long been queued. The message is built from the job as it is now.
    fn publish(&mut self) {
        let is_swept = self.chance.per_mille(100);
        if self.job.status() == JobStatus::Queued && (self.dispatch_due || is_swept) {
            let message = Message {
                attempt: self.job.attempt,
                take: self.job.take,
            };
            self.attempts.push(message);
            if self.chance.per_mille(self.troubles.repeated) {
                self.attempts.push(message);
            }
        }
        self.dispatch_due = false;
    }

    fn tick(&mut self) {
        if let JobState::Retryable { retry_at } = self.job.state {
            if self.chance.per_mille(300) {
                self.now = self.now.max(retry_at);
            }
            self.happen(&Event::RetryDue);
        }
        if let Some(number) = self.leases.probe_due(self.now) {
            match self.chance.per_mille(self.troubles.lost) {
                true => self.leases.probe_lost(number),
                false => self.reports.push_back(Report::Probe(number)),
            }
        }
        if self.chance.per_mille(self.troubles.restart) {
            self.leases = Leases::new(LEASE);
            if let Some(current) = self.job.current() {
                self.leases.begin(self.job.run_ref(current), self.now);
            }
        }
    }

    fn read_report(&mut self) {
        // A report may come before others that were sent earlier, but never from behind a probe.
        let until_probe = self
            .reports
            .iter()
            .take_while(|report| matches!(report, Report::Event(_)))
            .count();
        let index = match self.chance.per_mille(self.troubles.reordered) {
            true => self.chance.below(until_probe.max(1)),
            false => 0,
        };
        let Some(report) = self.reports.remove(index) else {
            return;
        };
        if self.chance.per_mille(self.troubles.repeated / 2) {
            // The probe may be read again, too: its number says that it is spent.
            self.reports.push_back(report.clone());
        }
        match report {
            Report::Event(event) => {
                let event = self.with_current_share(*event);
                self.happen(&event);
            }
            Report::Probe(number) => {
                for (_, run) in self.leases.probe_returned(number) {
                    self.happen(&Event::LeaseExpired { run });
                }
            }
        }
    }

    fn with_current_share(&self, mut event: Event) -> Event {
        if let Event::Heard { current_share, .. } = &mut event {
            *current_share = self.leases.get(JOB).and_then(|lease| lease.share);
        }
        event
    }

    // People and the broker.

    fn people(&mut self) {
        if self.chance.per_mille(self.troubles.cancel) {
            self.happen(&Event::CancelRequested);
        }
        if self.chance.per_mille(self.troubles.retry) {
            self.happen(&Event::RetryRequested);
        }
    }

    fn broker_loses(&mut self) {
        if !self.attempts.is_empty() && self.chance.per_mille(self.troubles.lost) {
            let index = self.chance.below(self.attempts.len());
            self.attempts.remove(index);
        }
    }

    // The workers.

    fn worker(&mut self, index: usize) {
        if self.chance.per_mille(self.troubles.death) {
            return self.die(index);
        }
        if self.chance.per_mille(self.troubles.silence) {
            self.workers[index].is_silent ^= true;
        }
        if !self.workers[index].is_silent {
            self.send(index);
            for effect in std::mem::take(&mut self.workers[index].inbox) {
                self.obey(index, effect);
            }
        }
        match self.workers[index].hands {
            Hands::Empty => self.take_delivery(index),
            Hands::Asking(_, run) => {
                let who = self.me(index);
                self.report(index, started(run, who));
            }
            Hands::Working(run, done) => self.work(index, run, done),
        }
    }

    fn me(&self, index: usize) -> WorkerRef {
        life(self.workers[index].number, self.workers[index].boot)
    }

    fn report(&mut self, index: usize, event: Event) {
        self.workers[index].outbox.push_back(event);
    }

    /// Sends what it has written; progress and questions may be lost.
    fn send(&mut self, index: usize) {
        while let Some(event) = self.workers[index].outbox.pop_front() {
            let may_be_lost = matches!(event, Event::Started { .. } | Event::Heard { .. });
            if may_be_lost && self.chance.per_mille(self.troubles.lost) {
                continue;
            }
            if self.chance.per_mille(self.troubles.repeated) {
                self.reports
                    .push_back(Report::Event(Box::new(event.clone())));
            }
            self.reports.push_back(Report::Event(Box::new(event)));
        }
    }

    fn take_delivery(&mut self, index: usize) {
        let again = self.workers[index].success.clone();
        if let (Some(success), true) = (again, self.chance.per_mille(20)) {
            // From its journal: it cannot know whether the first word of it arrived.
            return self.report(index, success);
        }
        if self.workers[index].is_silent || self.attempts.is_empty() {
            return;
        }
        let taken = self.chance.below(self.attempts.len());
        let message = self.attempts.remove(taken);
        self.runs_drawn += 1;
        let run = run(message.attempt.number(), self.runs_drawn);
        self.workers[index].hands = Hands::Asking(message, run);
        let who = self.me(index);
        self.report(index, started(run, who));
    }

    fn obey(&mut self, index: usize, effect: Effect) {
        match (effect, &self.workers[index].hands) {
            (Effect::Grant { run, .. }, Hands::Asking(message, asked)) if run == *asked => {
                let message = *message;
                self.begin(index, run, message);
            }
            (Effect::Deny { run, .. } | Effect::Cancel { run, .. }, Hands::Asking(_, asked))
                if run == *asked =>
            {
                self.workers[index].hands = Hands::Empty;
            }
            (Effect::Cancel { run, .. }, Hands::Working(working, _)) if run == *working => {
                self.seen.obeyed += 1;
                self.workers[index].hands = Hands::Empty;
                self.workers[index].begun = None;
                if self.chance.per_mille(500) {
                    self.report(index, failed(run, FailureKind::Cancelled));
                }
            }
            // About a run that is not in hand, or not any more.
            (Effect::Grant { .. } | Effect::Deny { .. } | Effect::Cancel { .. }, _) => {}
            (Effect::Dispatch, _) => panic!("a dispatch is nothing for an inbox"),
        }
    }

    fn begin(&mut self, index: usize, run: RunRef, message: Message) {
        self.seen.begun += 1;
        if let Some(grant) = self.job.grant(run.run) {
            assert_eq!(
                grant.take, message.take,
                "the take that was granted is rendered"
            );
        }
        self.workers[index].hands = Hands::Working(run, 0);
        self.workers[index].begun = Some(run);
    }

    fn work(&mut self, index: usize, run: RunRef, done: u32) {
        use FailureKind::{
            Cancelled, OutOfMemory, Permanent, RejectedContent, Stalled, TimedOut, Transient,
        };
        let who = self.me(index);
        if self.chance.per_mille(self.troubles.failure) {
            let kinds = [
                Cancelled,
                OutOfMemory,
                Permanent,
                RejectedContent,
                Stalled,
                TimedOut,
                Transient,
            ];
            let kind = self.chance.pick(&kinds);
            self.end(index, failed(run, kind));
        } else if self.chance.per_mille(self.troubles.release) {
            self.seen.released += 1;
            self.end(index, released(run));
        } else if done > 200 && self.chance.per_mille(self.troubles.success) {
            let success = succeeded(run, who);
            self.workers[index].success = Some(success.clone());
            self.end(index, success);
        } else {
            let done = (done + self.chance.pick(&[5, 20, 60])).min(999);
            self.workers[index].hands = Hands::Working(run, done);
            // Progress that nobody can hear is old by the time someone can.
            if !self.workers[index].is_silent && self.chance.per_mille(700) {
                let share = f64::from(done) / 1_000.0;
                let said = Event::Heard {
                    run,
                    worker: who,
                    share: self.chance.per_mille(700).then_some(share),
                    current_share: None,
                };
                self.report(index, said);
            }
        }
    }

    fn end(&mut self, index: usize, last_word: Event) {
        self.ends += 1;
        self.workers[index].hands = Hands::Empty;
        self.workers[index].begun = None;
        self.report(index, last_word);
    }

    /// Killed, and started again as another life of the same worker.
    fn die(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        worker.boot += 1;
        worker.inbox.clear();
        // What it had written and not sent is gone; what lies on its disk is not.
        worker.outbox.clear();
        match std::mem::replace(&mut worker.hands, Hands::Empty) {
            Hands::Empty => {}
            Hands::Asking(message, _) => self.attempts.push(message),
            Hands::Working(..) => {
                self.ends += 1;
                self.seen.died += 1;
            }
        }
        let begun = self.workers[index].begun.take();
        if let (Some(run), true) = (begun, self.chance.per_mille(800)) {
            let reason = ReleaseReason::Restarted;
            self.report(index, Event::Released { run, reason });
        }
        if let Some(success) = self.workers[index].success.clone() {
            self.report(index, success);
        }
    }

    // What an onlooker sees.

    fn note(&mut self, event: &Event, before: &Job, after: &Job) {
        let seen = &mut self.seen;
        let was_running = before.status() == JobStatus::Running;
        let run_of = |job: &Job| job.current().map(|grant| grant.run);
        match event {
            Event::Heard { .. } if before == after => {}
            Event::Heard { .. } if !was_running => {
                seen.revived += 1;
                seen.revived_failed += u32::from(before.status() == JobStatus::Failed);
            }
            Event::Heard { run, .. } if run_of(after) == Some(run.run) => seen.overtaken += 1,
            Event::Heard { .. } => seen.outrun += 1,
            Event::Succeeded { run, .. } if before != after => {
                seen.completed += 1;
                seen.late_success += u32::from(run_of(before) != Some(run.run));
                seen.success_after_failed += u32::from(before.status() == JobStatus::Failed);
            }
            Event::LeaseExpired { run } if before != after => {
                seen.expired += 1;
                self.expired.insert(*run);
            }
            Event::RetryRequested if before != after => seen.retried += 1,
            Event::CancelRequested => seen.cancelled_running += u32::from(was_running),
            Event::Unblocked
            | Event::Started { .. }
            | Event::Succeeded { .. }
            | Event::Failed { .. }
            | Event::Released { .. }
            | Event::LeaseExpired { .. }
            | Event::RetryDue
            | Event::RetryRequested => {}
        }
    }

    /// What must hold at every moment, whatever anyone believes.
    fn check(&mut self) {
        let working = self.workers.iter().filter_map(|worker| match worker.hands {
            Hands::Working(run, _) => Some(run.run),
            Hands::Empty | Hands::Asking(..) => None,
        });
        let working: Vec<RunId> = working.collect();
        self.seen.overlapped += u32::from(working.len() > 1);
        let is_known_waste = |run: &RunId| {
            let grant = self.job.grant(*run);
            self.expired.contains(run) || grant.is_some_and(|grant| grant.told_to_stop)
        };
        let at_work = working.iter().filter(|run| !is_known_waste(run)).count();
        assert!(
            at_work <= 1,
            "two runs at work, and neither was silent for longer than its lease: {working:?} {:?}",
            self.job
        );
        // A run that falls silent again and again counts each time.
        let expired = self.seen.expired;
        assert!(
            self.seen.begun <= 1 + self.ends + expired,
            "work was begun {} times, though it ended without a cause of ours {} times and {expired} leases ran out: {:?}",
            self.seen.begun,
            self.ends,
            self.job
        );
    }
}
