//! Random walks: one job in a small world of workers that die, fall silent and come back, a broker that repeats, reorders and
//! loses, and people who cancel and retry. After every step, what must always be true is checked; when the faults stop, the
//! job must end.

mod chance;
mod laws;
mod world;

use chance::Chance;
use world::{Seen, World};

const WALKS: u64 = 600;
const STEPS: u32 = 2_500;

/// One walk from that seed; what was seen on the way.
fn walk(seed: u64) -> Seen {
    let mut world = World::new(Chance::of(seed));
    for _ in 0..STEPS {
        world.step();
        if world.is_over() {
            break;
        }
    }
    world.calm_down();
    world.seen
}

#[test]
fn whatever_happens_the_laws_hold_and_the_job_ends() {
    let mut all = Seen::default();
    for seed in 0..WALKS {
        // The seed of a walk that fails is told beside the reason.
        let seen = std::panic::catch_unwind(|| walk(seed)).unwrap_or_else(|_| {
            panic!("the walk from seed {seed} failed; the reason stands above")
        });
        all.add(&seen);
    }
    // Walks that meet nothing prove nothing.
    all.assert_rich();
}
