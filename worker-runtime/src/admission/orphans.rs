//! What counts of what backends say of jobs whose worker is gone. Pure.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use shared::ids::ProfileName;

use crate::backend::BackendSays;
use crate::gpu::admit::Booked;
use crate::gpu::ledger::{BackendId, EntryId, Page, State};

/// The backends that said of themselves that they are idle when they were asked last, each with the jobs that it was asked
/// about.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    idle: BTreeMap<BackendId, Vec<EntryId>>,
}

impl Orphans {
    /// What counts of those answers. That a backend is idle counts at the second answer in a row about the same jobs: a worker
    /// can be killed between its promise and its submission, and a server tells that it is idle between a job that it has taken
    /// and the moment at which it begins.
    pub(super) fn heard(
        &mut self,
        page: &Page,
        answers: Vec<(BackendId, BackendSays)>,
    ) -> Vec<(BackendId, BackendSays)> {
        let mut idle = BTreeMap::new();
        let mut counts = Vec::new();
        for (id, says) in answers {
            match says {
                BackendSays::Idle => {
                    let jobs = left_on(page, &id);
                    let says = match self.idle.get(&id) == Some(&jobs) {
                        true => BackendSays::Idle,
                        false => BackendSays::Busy,
                    };
                    idle.insert(id.clone(), jobs);
                    counts.push((id, says));
                }
                BackendSays::Busy | BackendSays::Gone | BackendSays::Silent { .. } => {
                    counts.push((id, says));
                }
            }
        }
        self.idle = idle;
        counts
    }
}

fn left_on(page: &Page, backend: &BackendId) -> Vec<EntryId> {
    let left = page.entries.iter().filter(|booked| is_left(booked));
    left.filter(|booked| booked.entry.work.backend == *backend)
        .map(|booked| booked.entry.id.clone())
        .collect()
}

/// Whether a job of that profile goes on at that backend without its worker.
pub(super) fn has_left(page: &Page, backend: &BackendId, profile: &ProfileName) -> bool {
    let mut left = page.entries.iter().filter(|booked| is_left(booked));
    left.any(|booked| {
        let work = &booked.entry.work;
        work.backend == *backend && work.profile == *profile
    })
}

/// A job whose worker is gone.
pub(super) fn is_left(booked: &Booked) -> bool {
    booked.orphaned && matches!(booked.entry.state, State::Job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::card_tests::{booked, me, page};

    fn left(jobs: &[u128]) -> Page {
        let orphan = |job: &u128| Booked {
            orphaned: true,
            ..booked(me(), "wan", *job, State::Job, 100, 110)
        };
        page(jobs.iter().map(orphan).collect())
    }

    #[test]
    fn that_a_backend_is_idle_counts_at_its_second_answer_in_a_row_about_the_same_jobs() {
        let page = left(&[1]);
        let id = page.entries[0].entry.work.backend.clone();
        let mut orphans = Orphans::default();
        let mut hear = |page: &Page, says| {
            let counts = orphans.heard(page, vec![(id.clone(), says)]);
            counts[0].1
        };
        use BackendSays::{Busy, Gone, Idle};
        assert_eq!(hear(&page, Idle), Busy);
        assert_eq!(hear(&page, Busy), Busy);
        assert_eq!(hear(&page, Idle), Busy);
        assert_eq!(hear(&page, Idle), Idle);
        // Another worker was killed meanwhile.
        assert_eq!(hear(&left(&[1, 2]), Idle), Busy);
        assert_eq!(hear(&left(&[1, 2]), Idle), Idle);
        // What is gone will not come back.
        assert_eq!(hear(&page, Gone), Gone);
    }
}
