//! What must hold for every single decision.

use super::super::*;

/// One event, the job before and after it, and what follows.
pub(super) struct Passage<'a> {
    pub(super) event: &'a Event,
    pub(super) before: &'a Job,
    pub(super) after: &'a Job,
    pub(super) effects: &'a [Effect],
    pub(super) policy: &'a Policy,
}

impl Passage<'_> {
    pub(super) fn check(&self) {
        self.numbers_only_go_up_and_for_a_reason();
        self.final_states_are_left_only_as_documented();
        self.a_running_job_has_one_run_that_may_go_on();
        self.a_grant_is_for_the_run_that_asked();
        self.a_success_counts();
        self.every_run_that_speaks_is_answered();
        self.only_those_concerned_hear_of_it();
        self.a_run_that_loses_its_place_is_told_to_stop();
        self.what_is_said_of_a_run_is_remembered();
        self.a_dispatch_goes_with_becoming_queued();
    }

    fn assert(&self, law: bool, name: &str) {
        assert!(
            law,
            "{name}\nevent:   {:?}\nbefore:  {:?}\nafter:   {:?}\neffects: {:?}",
            self.event, self.before, self.after, self.effects
        );
    }

    /// The run that the event is about, and its worker if it names one.
    fn speaker(&self) -> Option<(RunRef, Option<&WorkerRef>)> {
        match self.event {
            Event::Started { run, worker }
            | Event::Heard { run, worker, .. }
            | Event::Succeeded { run, worker, .. } => Some((*run, Some(worker))),
            Event::Failed { run, .. } | Event::Released { run, .. } => Some((*run, None)),
            Event::Unblocked
            | Event::LeaseExpired { .. }
            | Event::RetryDue
            | Event::CancelRequested
            | Event::RetryRequested => None,
        }
    }

    fn is_about_the_current_run(&self) -> bool {
        let current = self.before.current().map(|grant| grant.run);
        self.speaker().map(|(run, _)| run.run) == current && current.is_some()
    }

    fn numbers_only_go_up_and_for_a_reason(&self) {
        let (before, after) = (self.before, self.after);
        let is_retry = matches!(self.event, Event::RetryDue | Event::RetryRequested);
        let attempts = after.attempt.number() - before.attempt.number();
        self.assert(
            attempts == u32::from(is_retry && before.state != after.state),
            "an attempt is begun by a retry, and by nothing else",
        );
        let is_judged = matches!(self.event, Event::Failed { failure, .. } if failure.kind.is_judged())
            && self.is_about_the_current_run();
        self.assert(
            after.take.number() - before.take.number() == u32::from(is_judged),
            "a take is begun after a judged failure, and after nothing else",
        );
        self.assert(
            after.failures <= self.policy.retry.max_failures,
            "no more failures than tries",
        );
        let forgives = matches!(self.event, Event::RetryRequested);
        self.assert(
            after.failures >= before.failures || forgives,
            "failures are forgotten on request only",
        );
    }

    fn final_states_are_left_only_as_documented(&self) {
        use JobStatus::{Cancelled, Completed, Failed, Queued, Running};
        let (before, after) = (self.before.status(), self.after.status());
        let may_be = before == after
            || !before.is_final()
            || before == Failed
                && match self.event {
                    Event::RetryRequested => after == Queued,
                    Event::Succeeded { .. } => after == Completed,
                    Event::CancelRequested => after == Cancelled,
                    Event::Heard { run, .. } => {
                        after == Running
                            && self.before.grant(run.run).is_some_and(|grant| !grant.ended)
                    }
                    Event::Unblocked
                    | Event::Started { .. }
                    | Event::Failed { .. }
                    | Event::Released { .. }
                    | Event::LeaseExpired { .. }
                    | Event::RetryDue => false,
                };
        self.assert(may_be, "a final state is left only as documented");
        self.assert(
            self.after.finished_at.is_some() == after.is_final(),
            "a job has an end when it has ended",
        );
    }

    fn a_running_job_has_one_run_that_may_go_on(&self) {
        if self.after.status() == JobStatus::Running {
            let current = self.after.current();
            self.assert(
                current.is_some_and(|grant| !grant.ended && !grant.told_to_stop),
                "the current run has neither ended nor been told to stop",
            );
        }
        let mut runs: Vec<_> = self.after.grants.iter().map(|grant| grant.run).collect();
        runs.sort();
        runs.dedup();
        self.assert(
            runs.len() == self.after.grants.len(),
            "a run is granted once",
        );
    }

    fn a_grant_is_for_the_run_that_asked(&self) {
        let grants = self.effects.iter().filter(|effect| match effect {
            Effect::Grant { .. } => true,
            Effect::Dispatch | Effect::Deny { .. } | Effect::Cancel { .. } => false,
        });
        let latest = self.after.grants.last();
        let is_new = latest.is_some_and(|grant| self.before.grant(grant.run).is_none());
        self.assert(
            grants.count() == usize::from(is_new) || self.is_about_the_current_run(),
            "a grant is told to whom it is new, or who asks again",
        );
        if is_new {
            let asked = match self.event {
                Event::Started { run, .. } => Some(*run),
                Event::Unblocked
                | Event::Heard { .. }
                | Event::Succeeded { .. }
                | Event::Failed { .. }
                | Event::Released { .. }
                | Event::LeaseExpired { .. }
                | Event::RetryDue
                | Event::CancelRequested
                | Event::RetryRequested => None,
            };
            let grant = latest.unwrap();
            self.assert(
                asked == Some(self.after.run_ref(grant))
                    && self.before.status() == JobStatus::Queued
                    && grant.attempt == self.before.attempt
                    && grant.take == self.before.take,
                "a queued job is granted to a run of its attempt",
            );
        }
    }

    fn a_success_counts(&self) {
        if let Event::Succeeded {
            outcome, worker, ..
        } = self.event
        {
            let counts = match self.before.status() {
                JobStatus::Blocked | JobStatus::Cancelled | JobStatus::Completed => {
                    self.before == self.after
                }
                JobStatus::Queued
                | JobStatus::Running
                | JobStatus::Retryable
                | JobStatus::Failed => self.after.completion().is_some_and(|completion| {
                    completion.outcome == *outcome && completion.worker == *worker
                }),
            };
            self.assert(
                counts,
                "the first success counts, unless the job was cancelled",
            );
        }
    }

    fn every_run_that_speaks_is_answered(&self) {
        let is_to = |worker: &WorkerRef, run: &RunRef| {
            self.effects.iter().any(|effect| match effect {
                Effect::Grant { to, run: about } | Effect::Deny { to, run: about, .. } => {
                    matches!(self.event, Event::Started { .. }) && to == worker && about == run
                }
                Effect::Cancel { to, run: about, .. } => to == worker && about == run,
                Effect::Dispatch => false,
            })
        };
        match self.event {
            Event::Started { run, worker } => {
                self.assert(is_to(worker, run), "who asks is answered");
            }
            Event::Heard {
                run,
                worker,
                share,
                current_share,
            } => {
                let decided = share.zip(*current_share);
                let is_current = self.after.current().map(|grant| grant.run) == Some(run.run);
                let has_ended = self.before.grant(run.run).is_some_and(|grant| grant.ended);
                let is_open = decided.is_none() && self.may_go_on(run.run);
                self.assert(
                    is_to(worker, run) != (is_current || has_ended || is_open),
                    "a run that is not current and has not ended is told to stop, once that can be decided",
                );
            }
            Event::Unblocked
            | Event::Succeeded { .. }
            | Event::Failed { .. }
            | Event::Released { .. }
            | Event::LeaseExpired { .. }
            | Event::RetryDue
            | Event::CancelRequested
            | Event::RetryRequested => {}
        }
    }

    /// Whether it is one of two runs of a running job that may both be the one to keep.
    fn may_go_on(&self, run: RunId) -> bool {
        let is_rival = |grant: &Grant| !grant.ended && !grant.told_to_stop;
        self.before.current().is_some() && self.before.grant(run).is_some_and(is_rival)
    }

    fn only_those_concerned_hear_of_it(&self) {
        for effect in self.effects {
            let is_concerned = match effect {
                Effect::Dispatch => true,
                Effect::Grant { to, run } | Effect::Deny { to, run, .. } => {
                    self.speaker() == Some((*run, Some(to)))
                }
                Effect::Cancel { to, run, .. } => {
                    let sibling = self.before.current();
                    let is_sibling = sibling.is_some_and(|grant| {
                        self.before.run_ref(grant) == *run && grant.worker == *to
                    });
                    is_sibling || self.speaker() == Some((*run, Some(to)))
                }
            };
            self.assert(is_concerned, "only those concerned hear of it");
            let is_stopped = match effect {
                Effect::Cancel { run, .. } => {
                    self.after.current().map(|grant| grant.run) != Some(run.run)
                }
                Effect::Dispatch | Effect::Grant { .. } | Effect::Deny { .. } => true,
            };
            self.assert(is_stopped, "the current run is never told to stop");
        }
    }

    fn a_run_that_loses_its_place_is_told_to_stop(&self) {
        let is_told = |grant: &Grant| {
            self.effects.iter().any(|effect| match effect {
                Effect::Cancel { to, run, .. } => run.run == grant.run && *to == grant.worker,
                Effect::Dispatch | Effect::Grant { .. } | Effect::Deny { .. } => false,
            })
        };
        let current = self.before.current();
        let lost = current.filter(|grant| self.after.current().map(|it| it.run) != Some(grant.run));
        if let Some(lost) = lost {
            let is_silent = matches!(self.event, Event::LeaseExpired { .. });
            let has_ended = self.is_about_the_current_run();
            self.assert(
                is_told(lost) != (has_ended || is_silent),
                "a run that loses its place is told to stop, unless it has ended or cannot hear",
            );
        }
        if let Event::Heard {
            run,
            share,
            current_share,
            ..
        } = self.event
        {
            let takes_over = self.after.current().map(|grant| grant.run) == Some(run.run);
            self.assert(
                lost.is_none()
                    || takes_over
                        && share
                            .zip(*current_share)
                            .is_some_and(|(share, current)| share > current),
                "only a run that is nearer its end takes over",
            );
        }
    }

    fn what_is_said_of_a_run_is_remembered(&self) {
        if let Event::Failed { run, .. } | Event::Released { run, .. } = self.event {
            let grant = self.after.grant(run.run);
            self.assert(
                grant.is_none_or(|grant| grant.ended) || self.after.completion().is_some(),
                "that a run ended is remembered",
            );
        }
        for effect in self.effects {
            if let Effect::Cancel {
                run,
                reason: DenyReason::GrantedToAnother,
                ..
            } = effect
            {
                let grant = self.after.grant(run.run);
                self.assert(
                    grant.is_none_or(|grant| grant.told_to_stop),
                    "that a run was told to make way is remembered",
                );
            }
        }
    }

    fn a_dispatch_goes_with_becoming_queued(&self) {
        let dispatches = self
            .effects
            .iter()
            .filter(|effect| **effect == Effect::Dispatch);
        let becomes_queued =
            self.after.status() == JobStatus::Queued && self.before.status() != JobStatus::Queued;
        self.assert(
            dispatches.count() == usize::from(becomes_queued),
            "an attempt is dispatched when its job becomes queued, and only then",
        );
    }
}
