//! One card, a worker for stories and one for scenes, and films that arrive over an hour: what the two decide by themselves,
//! each by its own view, with nobody above them. Time is counted in milliseconds and jumps in small steps.

use std::collections::VecDeque;

use super::*;
use crate::gpu::admit::tests::chance::Chance;
use crate::tap::choose::{View, choose};

const HOUR: u64 = 3_600_000;
const STEP: u64 = 250;
/// How often a worker looks at the ledger.
const LOOK: u64 = 500;
const UNLOAD: u64 = 2_000;
const STORY: usize = 0;
const SCENE: usize = 1;
const NAMES: [&str; 2] = ["llm", "wan"];
const TIMES: [Times; 2] = [
    Times {
        load: Duration::from_secs(10),
        run: Duration::from_secs(20),
    },
    Times {
        load: Duration::from_secs(45),
        run: Duration::from_secs(52),
    },
];

/// What comes, what is told, and what is on the card at the start.
#[derive(Debug, Clone, Copy)]
struct Setting {
    /// Films of a story and six to twelve scenes.
    films_an_hour: u64,
    /// Stories and scenes by themselves, so many of each.
    singles_an_hour: u64,
    /// How often the coordinator tells what waits; absent: never.
    hints_every: Option<u64>,
    /// The model that is loaded, and idle, at the start.
    at_first: Option<usize>,
    seed: u64,
}

/// What became of it.
#[derive(Debug, Default)]
struct Outcome {
    jobs: [u32; 2],
    swaps: u32,
    /// The longest wait of a job whose turn it was in its own queue.
    longest: [u64; 2],
    /// When the first job of each kind began.
    first: [Option<u64>; 2],
    /// When the last job ended.
    ended: u64,
}

/// A job in a queue, or in hand.
#[derive(Debug, Clone, Copy)]
struct Job {
    arrived: u64,
    /// Scenes that a story brings.
    scenes: u64,
}

#[derive(Debug, Default)]
struct World {
    now: u64,
    /// When each job comes from outside, its kind, and the scenes that it brings; the latest first.
    arrivals: Vec<(u64, usize, u64)>,
    queues: [VecDeque<Job>; 2],
    /// The job that a worker has in hand and has not begun, and when it took it.
    waiting: [Option<(Job, u64)>; 2],
    running: Option<(usize, Job, u64)>,
    present: Option<(usize, u64, u32)>,
    quiet_since: Option<u64>,
    /// What was told last, and when.
    told: Option<([Waits; 2], u64)>,
    /// When the last job of each kind ended.
    ended: [u64; 2],
    outcome: Outcome,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

impl World {
    fn new(setting: Setting) -> Self {
        let mut chance = Chance::of(setting.seed);
        let mut arrivals: Vec<_> = (0..setting.films_an_hour)
            .map(|_| (chance.below(HOUR), STORY, 6 + chance.below(7)))
            .collect();
        for kind in [STORY, SCENE] {
            arrivals.extend((0..setting.singles_an_hour).map(|_| (chance.below(HOUR), kind, 0)));
        }
        arrivals.sort_by(|one, other| other.cmp(one));
        Self {
            arrivals,
            present: setting.at_first.map(|kind| (kind, 0, 1)),
            ..Self::default()
        }
    }

    fn step(&mut self, setting: Setting) {
        while let Some((arrived, kind, scenes)) = self.arrivals.last().copied()
            && arrived <= self.now
        {
            self.arrivals.pop();
            self.queues[kind].push_back(Job { arrived, scenes });
        }
        if let Some(every) = setting.hints_every
            && self.now.is_multiple_of(every)
        {
            self.told = Some(([self.waits(STORY), self.waits(SCENE)], self.now));
        }
        // Whose job has ended looks at once; otherwise the two look at different moments.
        let freed = self.finish();
        for (kind, offset) in [(STORY, 0), (SCENE, 250)] {
            if freed == Some(kind) || self.now % LOOK == offset {
                self.look(kind);
                self.begin(kind);
            }
        }
        let is_quiet = self.running.is_none() && self.waiting.iter().all(Option::is_none);
        self.quiet_since = is_quiet.then(|| self.quiet_since.unwrap_or(self.now));
        self.now += STEP;
    }

    /// The kind of the job that has ended.
    fn finish(&mut self) -> Option<usize> {
        let (kind, job, _) = self.running.take_if(|(_, _, ends)| *ends <= self.now)?;
        self.outcome.jobs[kind] += 1;
        self.outcome.ended = self.now;
        self.ended[kind] = self.now;
        let scene = Job {
            arrived: self.now,
            scenes: 0,
        };
        self.queues[SCENE].extend((0..job.scenes).map(|_| scene));
        Some(kind)
    }

    /// A worker asks the gate for the job in its hand: one at a time; of two that wait, a scene goes before a story that has
    /// waited less than three minutes more.
    fn begin(&mut self, kind: usize) {
        let place = |kind: usize| {
            let head_start = if kind == STORY { 180_000 } else { 0 };
            self.waiting[kind].map(|(_, since)| since + head_start)
        };
        let is_head = match (place(kind), place(1 - kind)) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(own), Some(other)) => own <= other,
        };
        if self.running.is_some() || !is_head {
            return;
        }
        let (job, _) = self.waiting[kind].take().unwrap();
        let mut begins = self.now;
        self.present = match self.present {
            Some((present, since, served)) if present == kind => Some((kind, since, served + 1)),
            other => {
                self.outcome.swaps += 1;
                begins += millis(TIMES[kind].load) + other.map_or(0, |_| UNLOAD);
                Some((kind, self.now, 1))
            }
        };
        let turn_came = job.arrived.max(self.ended[kind]);
        let longest = &mut self.outcome.longest[kind];
        *longest = (*longest).max(begins - turn_came);
        self.outcome.first[kind].get_or_insert(begins);
        self.running = Some((kind, job, begins + millis(TIMES[kind].run)));
    }

    fn waits(&self, kind: usize) -> Waits {
        let running = self.running.is_some_and(|(running, ..)| running == kind);
        let oldest = self.queues[kind].front();
        Waits {
            queued: u32::try_from(self.queues[kind].len()).unwrap(),
            running: u32::from(running || self.waiting[kind].is_some()),
            oldest: oldest.map_or(Duration::ZERO, |job| {
                Duration::from_millis(self.now - job.arrived)
            }),
        }
    }

    /// What a worker knows of a kind's backlog.
    fn known(&self, kind: usize) -> Option<Waits> {
        let (waits, at) = self.told?;
        let age = Duration::from_millis(self.now - at);
        let mut waits = waits[kind];
        if waits.queued > 0 {
            waits.oldest += age;
        }
        (age <= Duration::from_secs(30)).then_some(waits)
    }

    /// A worker looks at the card, and takes a job if its queue is open and has one.
    fn look(&mut self, kind: usize) {
        let is_busy = self.running.is_some_and(|(running, ..)| running == kind);
        let view = CardView {
            present: self.present.map(|(present, since, served)| Present {
                name: NAMES[present].to_owned(),
                stay: Duration::from_millis(self.now - since),
                served,
                times: TIMES[present],
                waits: self.known(present),
            }),
            quiet: self
                .quiet_since
                .map(|since| Duration::from_millis(self.now - since)),
            spoken_for: self.waiting[1 - kind].is_some(),
        };
        let reload = TIMES[1 - kind].load;
        let candidate = Candidate {
            warm: self.present.is_some_and(|(present, ..)| present == kind),
            beside: false,
            times: TIMES[kind],
            price: TIMES[kind].load + reload + Duration::from_millis(UNLOAD),
            class: 0,
            waits: self.known(kind),
        };
        let mut queues = [QueueView {
            admitted: true,
            ..QueueView::default()
        }];
        let policy = SwapPolicy::default();
        arrange(&mut queues, &[Some(candidate)], &view, &policy);
        let plan = choose(&View {
            free: u32::from(!is_busy && self.waiting[kind].is_none()),
            settled: true,
            queues: queues.to_vec(),
        });
        if !plan.open.is_empty()
            && let Some(job) = self.queues[kind].pop_front()
        {
            self.waiting[kind] = Some((job, self.now));
        }
    }

    fn is_done(&self) -> bool {
        self.arrivals.is_empty()
            && self.queues.iter().all(VecDeque::is_empty)
            && self.waiting.iter().all(Option::is_none)
            && self.running.is_none()
    }
}

fn run(setting: Setting) -> Outcome {
    let mut world = World::new(setting);
    while !world.is_done() {
        world.step(setting);
        assert!(
            world.now < 6 * HOUR,
            "work is left that nobody does: {setting:?}, {world:?}"
        );
    }
    world.outcome
}

/// The bound that is promised to a job whose turn it is: the wait bound, then what runs, then the swap; and what is told and
/// seen may be that much late.
fn bound(kind: usize, late: u64) -> u64 {
    let policy = SwapPolicy::default();
    let seen = 2 * LOOK + late;
    millis(policy.wait_bound + TIMES[1 - kind].run + TIMES[kind].load) + UNLOAD + seen
}

const USUAL: Setting = Setting {
    films_an_hour: 6,
    singles_an_hour: 0,
    hints_every: Some(3_000),
    at_first: None,
    seed: 0,
};

/// Both kinds go on, nobody waits longer than the bound once it is its turn, and models change once in so many jobs at most.
fn assert_goes_on(setting: Setting, late: u64, jobs_a_swap: u32) -> Outcome {
    let outcome = run(setting);
    let jobs: u32 = outcome.jobs.iter().sum();
    let stories = setting.films_an_hour + setting.singles_an_hour;
    assert_eq!(u64::from(outcome.jobs[STORY]), stories);
    assert!(
        outcome.swaps * jobs_a_swap <= jobs,
        "{} swaps for {jobs} jobs: {setting:?}",
        outcome.swaps
    );
    for kind in [STORY, SCENE] {
        assert!(
            outcome.longest[kind] <= bound(kind, late),
            "{}: {} ms, above {}: {setting:?}",
            NAMES[kind],
            outcome.longest[kind],
            bound(kind, late)
        );
    }
    outcome
}

#[test]
fn stories_and_scenes_alternate_on_one_card_within_the_bound() {
    for at_first in [None, Some(STORY), Some(SCENE)] {
        for seed in 0..20 {
            let setting = Setting {
                at_first,
                seed,
                ..USUAL
            };
            assert_goes_on(setting, 3_000, 4);
        }
    }
}

#[test]
fn the_same_holds_with_more_films_than_the_card_can_make_in_the_hour() {
    for films_an_hour in [12, 30] {
        for seed in 0..10 {
            let setting = Setting {
                films_an_hour,
                seed,
                ..USUAL
            };
            let outcome = assert_goes_on(setting, 3_000, 4);
            assert!(outcome.ended > HOUR);
        }
    }
}

/// Work enough for the whole hour, half of the jobs of either kind: whoever took them as they come would load a model for every
/// second job.
#[test]
fn streams_of_both_kinds_share_the_card_without_changing_models_all_the_time() {
    for seed in 0..20 {
        let setting = Setting {
            films_an_hour: 0,
            singles_an_hour: 45,
            seed,
            ..USUAL
        };
        assert_goes_on(setting, 3_000, 3);
    }
}

#[test]
fn hints_may_be_half_a_minute_old() {
    for seed in 0..20 {
        let setting = Setting {
            hints_every: Some(30_000),
            seed,
            ..USUAL
        };
        assert_goes_on(setting, 30_000, 4);
    }
}

#[test]
fn without_hints_the_static_order_keeps_the_bound_too() {
    for films_an_hour in [6, 12] {
        for seed in 0..20 {
            let setting = Setting {
                films_an_hour,
                hints_every: None,
                seed,
                ..USUAL
            };
            assert_goes_on(setting, 0, 4);
        }
    }
}

#[test]
fn the_idle_model_of_the_other_kind_leaves_at_once_when_only_the_other_kind_has_work() {
    let setting = Setting {
        films_an_hour: 1,
        at_first: Some(SCENE),
        ..USUAL
    };
    let outcome = run(setting);
    let film = World::new(setting).arrivals[0].0;
    let began = outcome.first[STORY].unwrap() - film;
    // The card has been quiet for longer than the patience; what is left is a look and the swap.
    assert!(
        began <= 2 * LOOK + UNLOAD + millis(TIMES[STORY].load),
        "{began} ms"
    );
    assert_eq!(outcome.swaps, 2);
}
