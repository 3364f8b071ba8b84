//! Stories of one job, told event by event.

use DenyReason::{Done, GrantedToAnother, Stale};

use super::*;

/// A job and what has been done for it.
struct Story {
    job: Job,
    now: Timestamp,
}

impl Story {
    /// A job that is queued for the first time.
    fn queued() -> Self {
        let mut story = Self {
            job: new_job(),
            now: NOW,
        };
        assert_eq!(story.tell(Event::Unblocked), [Effect::Dispatch]);
        story
    }

    /// The event happens; what follows.
    #[expect(clippy::needless_pass_by_value, reason = "the stories read better")]
    fn tell(&mut self, event: Event) -> Vec<Effect> {
        match decide_stored(&self.job, &event, self.now, &Policy::default()) {
            Decision::Ignore(_) => Vec::new(),
            Decision::Answer(effects) => effects,
            Decision::Change { job, effects } => {
                self.job = *job;
                effects
            }
        }
    }

    /// A new run of the attempt that is due is granted.
    fn grant(&mut self, run: RunRef, to: u32) {
        let granted = [granted(run, worker(to))];
        assert_eq!(self.tell(started(run, worker(to))), granted);
    }

    /// Time goes by until the next attempt is due.
    fn retry(&mut self) {
        self.now = self.now.plus(Duration::from_secs(600));
        assert_eq!(self.tell(Event::RetryDue), [Effect::Dispatch]);
    }

    fn assert_runs(&self, run: RunRef) {
        assert_eq!(self.job.current().map(|grant| grant.run), Some(run.run));
    }
}

#[test]
fn an_attempt_that_is_published_twice_is_granted_once() {
    let mut story = Story::queued();
    let (first, second) = (run(1, 1), run(1, 2));
    story.grant(first, 1);
    let refused = [denied(second, worker(2), GrantedToAnother)];
    assert_eq!(story.tell(started(second, worker(2))), refused);
    assert_eq!(
        story.tell(started(first, worker(1))),
        [granted(first, worker(1))]
    );
    assert_eq!(story.tell(succeeded(first, worker(1))), []);
    let refused = [denied(second, worker(2), Done)];
    assert_eq!(story.tell(started(second, worker(2))), refused);
    assert_eq!(story.job.grants.len(), 1);
}

#[test]
fn a_stale_start_does_not_revive_an_old_attempt() {
    let mut story = Story::queued();
    story.grant(run(1, 1), 1);
    story.tell(failed(run(1, 1), FailureKind::Transient));
    story.retry();
    for stale in [run(1, 1), run(1, 2)] {
        let refused = [denied(stale, worker(2), Stale)];
        assert_eq!(story.tell(started(stale, worker(2))), refused);
    }
    assert_eq!(story.job.status(), JobStatus::Queued);
    story.grant(run(2, 3), 2);
}

#[test]
fn a_release_counts_no_failure_and_its_run_does_not_come_back() {
    let mut story = Story::queued();
    story.grant(run(1, 1), 1);
    assert_eq!(story.tell(released(run(1, 1))), [Effect::Dispatch]);
    assert_eq!((story.job.failures, story.job.take), (0, Take::FIRST));
    assert_eq!(story.job.attempt, Attempt::FIRST);
    let late = [denied(run(1, 1), worker(1), Stale)];
    assert_eq!(story.tell(started(run(1, 1), worker(1))), late);
    assert_eq!(story.tell(heard(run(1, 1), worker(1), 0.9, 0.0)), []);
    assert_eq!(story.job.status(), JobStatus::Queued);
    story.grant(run(1, 2), 2);
}

#[test]
fn only_a_judged_failure_begins_a_new_take() {
    let mut story = Story::queued();
    story.grant(run(1, 1), 1);
    story.tell(expired(run(1, 1)));
    story.retry();
    assert_eq!(story.job.take, Take::FIRST, "the work may still be found");
    story.grant(run(2, 2), 2);
    story.tell(failed(run(2, 2), FailureKind::RejectedContent));
    story.retry();
    assert_eq!(story.job.take, Take::new(2));
    story.grant(run(3, 3), 3);
    let takes: Vec<_> = story
        .job
        .earlier_runs()
        .iter()
        .map(|run| run.take)
        .collect();
    assert_eq!(takes, [Take::FIRST, Take::FIRST, Take::new(2)]);
}

#[test]
fn a_run_that_was_only_silent_takes_its_place_back_and_nothing_is_rendered_twice() {
    let mut story = Story::queued();
    story.grant(run(1, 1), 1);
    story.tell(expired(run(1, 1)));
    story.retry();
    assert_eq!(story.tell(heard(run(1, 1), worker(1), 0.3, 0.0)), []);
    story.assert_runs(run(1, 1));
    let refused = [denied(run(2, 2), worker(2), GrantedToAnother)];
    assert_eq!(story.tell(started(run(2, 2), worker(2))), refused);
    story.tell(succeeded(run(1, 1), worker(1)));
    assert_eq!(story.job.status(), JobStatus::Completed);
}

/// Two runs after a long silence; the second is current.
fn two_runs() -> Story {
    let mut story = Story::queued();
    story.grant(run(1, 1), 1);
    story.tell(expired(run(1, 1)));
    story.retry();
    story.grant(run(2, 2), 2);
    story
}

#[test]
fn the_nearer_of_two_runs_is_kept() {
    let mut story = two_runs();
    let overtaken = [stopped(run(2, 2), worker(2), GrantedToAnother)];
    assert_eq!(story.tell(heard(run(1, 1), worker(1), 0.8, 0.1)), overtaken);
    story.assert_runs(run(1, 1));

    let mut story = two_runs();
    let overtaken = [stopped(run(1, 1), worker(1), GrantedToAnother)];
    assert_eq!(story.tell(heard(run(1, 1), worker(1), 0.1, 0.8)), overtaken);
    story.assert_runs(run(2, 2));
}

#[test]
fn never_are_both_of_two_runs_told_to_stop() {
    // Each word was sent before its worker had heard that it must stop, and each says more than the other's last one.
    let mut story = two_runs();
    story.tell(heard(run(1, 1), worker(1), 0.5, 0.4));
    let again = [stopped(run(2, 2), worker(2), GrantedToAnother)];
    assert_eq!(story.tell(heard(run(2, 2), worker(2), 0.6, 0.5)), again);
    story.assert_runs(run(1, 1));

    let mut story = two_runs();
    story.tell(heard(run(1, 1), worker(1), 0.3, 0.4));
    let again = [stopped(run(1, 1), worker(1), GrantedToAnother)];
    assert_eq!(story.tell(heard(run(1, 1), worker(1), 0.5, 0.4)), again);
    story.assert_runs(run(2, 2));
}

#[test]
fn the_first_success_of_two_runs_counts_and_the_other_run_is_stopped() {
    let mut story = two_runs();
    let sibling = [stopped(run(2, 2), worker(2), Done)];
    assert_eq!(story.tell(succeeded(run(1, 1), worker(1))), sibling);
    let completion = story.job.completion().unwrap();
    assert_eq!(
        (&completion.worker, completion.take),
        (&worker(1), Take::FIRST)
    );
    // The order was lost: it is said again when the run is heard of.
    assert_eq!(story.tell(heard(run(2, 2), worker(2), 0.9, 0.0)), sibling);
    assert_eq!(story.tell(succeeded(run(2, 2), worker(2))), []);
    assert_eq!(story.job.completion().unwrap().worker, worker(1));
}

#[test]
fn a_success_counts_even_after_the_job_was_given_up_as_failed() {
    let mut story = two_runs();
    story.tell(failed(run(2, 2), FailureKind::Permanent));
    assert_eq!(story.job.status(), JobStatus::Failed);
    assert_eq!(story.tell(succeeded(run(1, 1), worker(1))), []);
    assert_eq!(story.job.status(), JobStatus::Completed);

    // Someone had given it new tries meanwhile: the run of those is stopped.
    let mut story = two_runs();
    story.tell(failed(run(2, 2), FailureKind::Permanent));
    assert_eq!(story.tell(Event::RetryRequested), [Effect::Dispatch]);
    story.grant(run(3, 3), 3);
    let sibling = [stopped(run(3, 3), worker(3), Done)];
    assert_eq!(story.tell(succeeded(run(1, 1), worker(1))), sibling);
    assert_eq!(story.job.status(), JobStatus::Completed);
}

#[test]
fn a_run_that_comes_back_after_the_tries_were_spent_may_still_fail() {
    let mut story = Story::queued();
    for number in 1..=3 {
        story.grant(run(number, u128::from(number)), number);
        story.tell(expired(run(number, u128::from(number))));
        if number < 3 {
            story.retry();
        }
    }
    assert_eq!(story.job.status(), JobStatus::Failed);
    story.tell(heard(run(2, 2), worker(2), 0.5, 0.0));
    story.assert_runs(run(2, 2));
    story.tell(failed(run(2, 2), FailureKind::TimedOut));
    assert_eq!(story.job.status(), JobStatus::Failed);
    assert_eq!(story.job.failures, 3);
}

#[test]
fn of_many_runs_those_that_may_come_back_are_remembered_longest() {
    let mut story = two_runs();
    for number in 3..40 {
        let last = story.job.current().map(|grant| story.job.run_ref(grant));
        assert_eq!(story.tell(released(last.unwrap())), [Effect::Dispatch]);
        story.grant(run(2, number), 2);
    }
    assert_eq!(story.job.grants.len(), 16);
    let overtaken = [stopped(run(2, 39), worker(2), GrantedToAnother)];
    assert_eq!(story.tell(heard(run(1, 1), worker(1), 0.8, 0.1)), overtaken);
    story.assert_runs(run(1, 1));
}
