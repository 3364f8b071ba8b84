//! Random walks: two backends on a card, jobs that come, run and end, workers that die, programs of others that take and give
//! back memory, models that unload late or not at all. After every step nobody may hold more than there is.

mod world;

use super::chance::Chance;
use world::{Seen, World};

const WALKS: u64 = 250;
const STEPS: u32 = 2_000;

#[test]
fn p01_p03_p05_whatever_happens_the_card_is_not_overcommitted_and_no_job_waits_for_itself() {
    let mut all = Seen::default();
    for seed in 0..WALKS {
        // The seed of a walk that fails is told beside the reason.
        let seen = std::panic::catch_unwind(|| {
            let mut world = World::new(Chance::of(seed));
            for _ in 0..STEPS {
                world.step();
            }
            world.calm_down();
            world.seen
        });
        all.add(&seen.unwrap_or_else(|_| {
            panic!("the walk from seed {seed} failed; the reason stands above")
        }));
    }
    // Walks that meet nothing prove nothing.
    all.assert_rich();
}
