//! One table a state: every event that can happen in it, about every sort of run, and exactly what follows.

use std::collections::HashSet;
use std::mem::discriminant;

use DenyReason::{Cancelled, Done, GrantedToAnother, Stale};

use super::*;

/// Granted for attempt 1 to worker 1, and given up for its silence.
const SILENT: RunRef = run(1, 11);
/// Granted for attempt 1 to worker 2, who has said that it ended.
const ENDED: RunRef = run(1, 12);
/// Granted for attempt 1 to worker 3, who was told to stop because another run was nearer its end.
const OVERTAKEN: RunRef = run(1, 13);
/// Granted for attempt 2 to worker 4; the current run of a running job.
const CURRENT: RunRef = run(2, 21);
/// Never granted: of an earlier attempt, of this one, and of one that there has not been yet.
const STRANGERS: [RunRef; 3] = [run(1, 91), run(2, 92), run(3, 93)];

fn grant(run: RunRef, number: u32) -> Grant {
    Grant {
        attempt: run.attempt,
        run: run.run,
        worker: worker(number),
        take: Take::FIRST,
        at: NOW,
        ended: false,
        told_to_stop: false,
    }
}

/// A job at its second attempt, after one judged failure and with all sorts of earlier runs, in that state.
fn job(state: JobState) -> Job {
    let mut job = new_job();
    job.attempt = Attempt::new(2);
    job.take = Take::new(2);
    job.failures = 1;
    job.failure = Some(Failure::new(FailureKind::Stalled, "it slept"));
    job.queued_at = Some(NOW);
    job.finished_at = state_is_final(&state).then_some(NOW);
    job.grants = vec![
        grant(SILENT, 1),
        Grant {
            ended: true,
            ..grant(ENDED, 2)
        },
        Grant {
            told_to_stop: true,
            ..grant(OVERTAKEN, 3)
        },
    ];
    if matches!(state, JobState::Running { .. }) {
        job.grants.push(Grant {
            take: Take::new(2),
            ..grant(CURRENT, 4)
        });
    }
    job.state = state;
    job
}

fn state_is_final(state: &JobState) -> bool {
    Job {
        state: state.clone(),
        ..new_job()
    }
    .status()
    .is_final()
}

const RUNNING: JobState = JobState::Running { run: CURRENT.run };

fn completed_by(run: RunRef, number: u32, take: u32) -> impl Fn(&mut Job) {
    move |job| {
        job.mark_ended(run.run);
        job.finished_at = Some(LATER);
        job.state = JobState::Completed(Completion {
            outcome: clip(96),
            worker: worker(number),
            take: Take::new(take),
            took: TOOK,
        });
    }
}

/// The time at which everything in the tables happens.
const LATER: Timestamp = Timestamp::from_millis(NOW.as_millis() + 60_000);

/// A job, and what must follow from each event.
struct Table {
    job: Job,
    seen: HashSet<std::mem::Discriminant<Event>>,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "rows read better without references"
)]
impl Table {
    fn of(job: Job) -> Self {
        let seen = HashSet::new();
        Self { job, seen }
    }

    fn row(&mut self, event: &Event, expected: &Decision) -> &mut Self {
        let decision = decide_stored(&self.job, event, LATER, &Policy::default());
        assert_eq!(decision, *expected, "{} and {event:?}", self.job.status());
        self.seen.insert(discriminant(event));
        self
    }

    fn ignores(&mut self, why: Ignored, events: impl IntoIterator<Item = Event>) -> &mut Self {
        for event in events {
            self.row(&event, &Decision::Ignore(why));
        }
        self
    }

    fn answers(&mut self, event: Event, answer: Effect) -> &mut Self {
        self.row(&event, &Decision::Answer(vec![answer]))
    }

    /// The event changes the job as `edit` does, and `effects` follow.
    fn changes(&mut self, event: Event, edit: impl Fn(&mut Job), effects: &[Effect]) -> &mut Self {
        let mut job = self.job.clone();
        edit(&mut job);
        let job = Box::new(job);
        let effects = effects.to_vec();
        self.row(&event, &Decision::Change { job, effects })
    }

    /// A run that asks to begin is denied for that reason, whichever it is.
    fn denies_all(&mut self, reason: DenyReason) -> &mut Self {
        for run in STRANGERS.into_iter().chain([SILENT, ENDED, OVERTAKEN]) {
            self.answers(started(run, worker(9)), denied(run, worker(9), reason));
        }
        self
    }

    /// Runs that are heard of and never come back are told to stop for that reason, and the one that ended is let be.
    fn stops_all(&mut self, reason: DenyReason, ended: Ignored) -> &mut Self {
        for run in STRANGERS.into_iter().chain([OVERTAKEN]) {
            self.answers(
                heard(run, worker(9), 1.0, 0.0),
                stopped(run, worker(9), reason),
            );
        }
        self.ignores(ended, [heard(ENDED, worker(2), 1.0, 0.0)])
    }

    /// The silent run takes its place back.
    fn revives(&mut self) -> &mut Self {
        self.changes(
            heard(SILENT, worker(1), 0.0, 0.0),
            |job| {
                job.state = JobState::Running { run: SILENT.run };
                job.finished_at = None;
            },
            &[],
        )
    }

    /// A success counts, whichever run it is of.
    fn completes(&mut self) -> &mut Self {
        let (silent, stranger) = (completed_by(SILENT, 1, 1), completed_by(STRANGERS[0], 9, 2));
        self.changes(succeeded(SILENT, worker(1)), silent, &[])
            .changes(succeeded(STRANGERS[0], worker(9)), stranger, &[])
    }

    /// That a run ended is noted, once.
    fn notes_ends(&mut self) -> &mut Self {
        for run in [SILENT, OVERTAKEN] {
            for event in [failed(run, FailureKind::Permanent), released(run)] {
                self.changes(event, |job| job.mark_ended(run.run), &[]);
            }
        }
        for run in STRANGERS.into_iter().chain([ENDED]) {
            let ends = [failed(run, FailureKind::Transient), released(run)];
            self.ignores(Ignored::NotCurrent, ends);
        }
        self
    }

    fn cancels(&mut self, effects: &[Effect]) -> &mut Self {
        self.changes(
            Event::CancelRequested,
            |job| {
                job.state = JobState::Cancelled;
                job.finished_at = Some(LATER);
            },
            effects,
        )
    }

    fn becomes_queued(&mut self, event: Event, edit: impl Fn(&mut Job)) -> &mut Self {
        let queued = |job: &mut Job| {
            job.state = JobState::Queued;
            job.queued_at = Some(LATER);
            job.finished_at = None;
            edit(job);
        };
        self.changes(event, queued, &[Effect::Dispatch])
    }

    fn covers_every_event(&self) {
        assert_eq!(self.seen.len(), 10, "an event has no row in this table");
    }
}

#[test]
fn a_blocked_job_waits_for_nothing_but_other_jobs() {
    let nobody = STRANGERS[1];
    Table::of(new_job())
        .becomes_queued(Event::Unblocked, |_| ())
        .cancels(&[])
        .answers(started(nobody, worker(9)), denied(nobody, worker(9), Stale))
        .answers(
            heard(nobody, worker(9), 0.5, 0.0),
            stopped(nobody, worker(9), Stale),
        )
        .ignores(
            Ignored::NotNow,
            [
                succeeded(nobody, worker(9)),
                failed(nobody, FailureKind::Permanent),
                released(nobody),
                expired(nobody),
                Event::RetryDue,
                Event::RetryRequested,
            ],
        )
        .covers_every_event();
}

#[test]
fn a_queued_job_is_granted_once_and_only_to_a_new_run_of_its_attempt() {
    let [older, same, newer] = STRANGERS;
    let mut table = Table::of(job(JobState::Queued));
    table.changes(
        started(same, worker(9)),
        |job| {
            job.state = JobState::Running { run: same.run };
            job.grants.push(Grant {
                take: Take::new(2),
                at: LATER,
                ..grant(same, 9)
            });
        },
        &[granted(same, worker(9))],
    );
    // The last one is a run that is known, under the number of the attempt that is due.
    let ended_before = RunRef {
        attempt: Attempt::new(2),
        ..ENDED
    };
    for run in [older, newer, SILENT, ENDED, OVERTAKEN, ended_before] {
        table.answers(started(run, worker(9)), denied(run, worker(9), Stale));
    }
    table
        .revives()
        .stops_all(Stale, Ignored::NotCurrent)
        .completes()
        .notes_ends()
        .cancels(&[])
        .ignores(
            Ignored::NotNow,
            [
                Event::Unblocked,
                expired(SILENT),
                Event::RetryDue,
                Event::RetryRequested,
            ],
        )
        .covers_every_event();
}

#[test]
fn a_running_job_follows_its_current_run() {
    let mut table = Table::of(job(RUNNING));
    table
        .answers(started(CURRENT, worker(4)), granted(CURRENT, worker(4)))
        .ignores(Ignored::AsExpected, [heard(CURRENT, worker(4), 0.5, 0.9)])
        .changes(
            succeeded(CURRENT, worker(4)),
            completed_by(CURRENT, 4, 2),
            &[],
        )
        .changes(
            failed(CURRENT, FailureKind::Permanent),
            |job| {
                job.mark_ended(CURRENT.run);
                job.state = JobState::Failed;
                job.finished_at = Some(LATER);
                job.failures = 2;
                job.failure = Some(Failure::new(FailureKind::Permanent, "the kettle is empty"));
                job.take = Take::new(3);
            },
            &[],
        )
        .becomes_queued(released(CURRENT), |job| job.mark_ended(CURRENT.run))
        .cancels(&[stopped(CURRENT, worker(4), Cancelled)])
        .ignores(
            Ignored::NotCurrent,
            [expired(SILENT), expired(STRANGERS[1])],
        )
        .ignores(
            Ignored::NotNow,
            [Event::Unblocked, Event::RetryDue, Event::RetryRequested],
        )
        .covers_every_event();
}

#[test]
fn a_running_job_answers_every_other_run() {
    let [older, same, newer] = STRANGERS;
    let mut table = Table::of(job(RUNNING));
    for (run, why) in [
        (older, Stale),
        (same, GrantedToAnother),
        (newer, GrantedToAnother),
        (SILENT, Stale),
        (ENDED, Stale),
        (OVERTAKEN, Stale),
    ] {
        table.answers(started(run, worker(9)), denied(run, worker(9), why));
    }
    for (run, why) in [
        (older, Stale),
        (same, GrantedToAnother),
        (newer, GrantedToAnother),
        (OVERTAKEN, GrantedToAnother),
    ] {
        table.answers(
            heard(run, worker(9), 0.9, 0.5),
            stopped(run, worker(9), why),
        );
    }
    let done = stopped(CURRENT, worker(4), Done);
    table
        .ignores(Ignored::NotCurrent, [heard(ENDED, worker(2), 0.9, 0.5)])
        .notes_ends()
        .changes(
            succeeded(SILENT, worker(1)),
            completed_by(SILENT, 1, 1),
            std::slice::from_ref(&done),
        )
        .changes(
            succeeded(older, worker(9)),
            completed_by(older, 9, 2),
            &[done],
        );
}

#[test]
fn of_two_runs_the_one_nearer_its_end_is_kept_and_the_other_is_out_for_good() {
    let mut table = Table::of(job(RUNNING));
    table.changes(
        heard(SILENT, worker(1), 0.6, 0.5),
        |job| {
            job.state = JobState::Running { run: SILENT.run };
            job.mark_told_to_stop(CURRENT.run);
        },
        &[stopped(CURRENT, worker(4), GrantedToAnother)],
    );
    for share in [0.4, 0.5, f64::NAN] {
        table.changes(
            heard(SILENT, worker(1), share, 0.5),
            |job| job.mark_told_to_stop(SILENT.run),
            &[stopped(SILENT, worker(1), GrantedToAnother)],
        );
    }
    for (share, current_share) in [(Some(0.6), None), (None, Some(0.5)), (None, None)] {
        let event = Event::Heard {
            run: SILENT,
            worker: worker(1),
            share,
            current_share,
        };
        table.ignores(Ignored::Undecided, [event]);
    }
}

#[test]
fn a_failed_run_is_tried_again_until_its_tries_are_spent() {
    use FailureKind::{
        Lost, OutOfMemory, Permanent, RejectedContent, Stalled, TimedOut, Transient,
    };
    let tell = |failures: u32, event: &Event| {
        let before = Job {
            failures,
            ..job(RUNNING)
        };
        match decide_stored(&before, event, LATER, &Policy::default()) {
            Decision::Change { job, effects } if effects.is_empty() => *job,
            other @ (Decision::Ignore(_) | Decision::Answer(_) | Decision::Change { .. }) => {
                panic!("{other:?}")
            }
        }
    };
    // The kind, how often it failed before, what follows, and the take from then on.
    for (kind, before, status, take) in [
        (Transient, 0, JobStatus::Retryable, 3),
        (OutOfMemory, 1, JobStatus::Retryable, 3),
        (TimedOut, 1, JobStatus::Retryable, 3),
        (Stalled, 2, JobStatus::Failed, 3),
        (RejectedContent, 2, JobStatus::Failed, 3),
        (Permanent, 0, JobStatus::Failed, 3),
        (FailureKind::Cancelled, 0, JobStatus::Retryable, 2),
        (FailureKind::Cancelled, 2, JobStatus::Failed, 2),
        (Lost, 0, JobStatus::Retryable, 2),
        (Lost, 2, JobStatus::Failed, 2),
        (Lost, 3, JobStatus::Failed, 2),
    ] {
        let event = match kind {
            Lost => expired(CURRENT),
            Transient
            | Permanent
            | OutOfMemory
            | TimedOut
            | Stalled
            | RejectedContent
            | FailureKind::Cancelled => failed(CURRENT, kind),
        };
        let after = tell(before, &event);
        assert_eq!(after.status(), status, "{kind} after {before}");
        assert_eq!(after.take, Take::new(take), "{kind} after {before}");
        assert_eq!(after.failures, (before + 1).min(3), "{kind} after {before}");
        assert_eq!(after.attempt, Attempt::new(2));
        assert_eq!(
            after.finished_at,
            after.status().is_final().then_some(LATER)
        );
        // Only a worker can say that its run ended; a silent one may come back.
        assert_eq!(after.grant(CURRENT.run).unwrap().ended, kind != Lost);
        assert_eq!(after.failure.unwrap().kind, kind);
        if let JobState::Retryable { retry_at } = after.state {
            let wait = Duration::from_secs(2) * 2_u32.pow(before);
            assert!(retry_at <= LATER.plus(wait) && retry_at >= LATER.plus(wait * 3 / 4));
        }
    }
}

#[test]
fn a_retryable_job_waits_until_its_next_attempt_is_due() {
    let next = |job: &mut Job| job.attempt = Attempt::new(3);
    let early = JobState::Retryable {
        retry_at: LATER.plus(Duration::from_millis(1)),
    };
    Table::of(job(early)).ignores(Ignored::NotNow, [Event::RetryDue]);
    Table::of(job(JobState::Retryable { retry_at: LATER }))
        .becomes_queued(Event::RetryDue, next)
        .becomes_queued(Event::RetryRequested, next)
        .denies_all(Stale)
        .revives()
        .stops_all(Stale, Ignored::NotCurrent)
        .completes()
        .notes_ends()
        .cancels(&[])
        .ignores(Ignored::NotNow, [Event::Unblocked, expired(SILENT)])
        .covers_every_event();
}

#[test]
fn a_completed_job_stays_as_it_is() {
    let completion = Completion {
        outcome: clip(48),
        worker: worker(4),
        take: Take::new(2),
        took: TOOK,
    };
    Table::of(job(JobState::Completed(completion)))
        .denies_all(Done)
        .stops_all(Done, Ignored::Ended)
        .answers(
            heard(SILENT, worker(1), 0.9, 0.0),
            stopped(SILENT, worker(1), Done),
        )
        .ignores(
            Ignored::Ended,
            [
                Event::Unblocked,
                succeeded(SILENT, worker(1)),
                failed(SILENT, FailureKind::Transient),
                released(SILENT),
                expired(SILENT),
                Event::RetryDue,
                Event::CancelRequested,
                Event::RetryRequested,
            ],
        )
        .covers_every_event();
}

#[test]
fn a_failed_job_comes_back_by_request_by_a_success_or_by_a_run_that_was_only_silent() {
    Table::of(job(JobState::Failed))
        .becomes_queued(Event::RetryRequested, |job| {
            job.attempt = Attempt::new(3);
            job.failures = 0;
        })
        .denies_all(Done)
        .revives()
        .stops_all(Stale, Ignored::NotCurrent)
        .completes()
        .notes_ends()
        .cancels(&[])
        .ignores(
            Ignored::Ended,
            [Event::Unblocked, expired(SILENT), Event::RetryDue],
        )
        .covers_every_event();
}

#[test]
fn a_cancelled_job_never_comes_back() {
    Table::of(job(JobState::Cancelled))
        .denies_all(Cancelled)
        .stops_all(Cancelled, Ignored::Ended)
        .answers(
            heard(SILENT, worker(1), 0.9, 0.0),
            stopped(SILENT, worker(1), Cancelled),
        )
        .notes_ends()
        .ignores(
            Ignored::Ended,
            [
                Event::Unblocked,
                succeeded(SILENT, worker(1)),
                expired(SILENT),
                Event::RetryDue,
                Event::CancelRequested,
                Event::RetryRequested,
            ],
        )
        .covers_every_event();
}

#[test]
fn a_running_job_whose_grant_is_gone_is_queued_again() {
    let mut job = job(RUNNING);
    job.grants.clear();
    Table::of(job).becomes_queued(expired(CURRENT), |_| ());
}
