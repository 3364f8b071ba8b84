use std::fs::OpenOptions;
use std::io::Write as _;

use shared::failure::{Failure, FailureKind};
use shared::ids::{Attempt, BootId};
use shared::job::Product;
use shared::protocol::{AttemptFailed, RunRef, WorkerRef};
use shared::story::Story;
use tempfile::TempDir;

use super::*;

const MORNING: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const MINUTE: Duration = Duration::from_mins(1);

fn worker() -> WorkerRef {
    WorkerRef {
        worker: "studio-3".parse().unwrap(),
        boot: BootId::from_u128(1),
    }
}

/// Run `number`, of a job of its own.
fn taken(number: u128, at: Timestamp) -> Taken {
    Taken {
        run: RunRef {
            job: JobId::from_u128(number),
            attempt: Attempt::FIRST,
            run: RunId::from_u128(number),
        },
        take: Take::FIRST,
        store: None,
        at,
    }
}

fn success(taken: &Taken, title: &str) -> Envelope<ToCoordinator> {
    let story = Story {
        title: title.to_owned(),
        logline: String::new(),
        look: String::new(),
        characters: Vec::new(),
        scenes: Vec::new(),
    };
    let success = AttemptSucceeded {
        run: taken.run,
        worker: worker(),
        outcome: Product::Story { story }.into(),
        took: MINUTE,
    };
    Envelope::new(None, ToCoordinator::AttemptSucceeded(Box::new(success)))
}

fn failure(taken: &Taken) -> Envelope<ToCoordinator> {
    let failed = AttemptFailed {
        run: taken.run,
        worker: worker(),
        failure: Failure::new(FailureKind::Transient, "no"),
    };
    Envelope::new(None, ToCoordinator::AttemptFailed(failed))
}

fn ended(taken: &Taken, at: Timestamp, report: Envelope<ToCoordinator>) -> [Record; 2] {
    let run = taken.run.run;
    let report = Box::new(report);
    [Record::Ended { run, at, report }, Record::Confirmed { run }]
}

fn index(records: impl IntoIterator<Item = Record>) -> Index {
    let mut index = Index::default();
    records.into_iter().for_each(|record| index.apply(record));
    index
}

/// Opens the journal, and closes it after that was done with it.
async fn with_journal<T>(folder: &Path, act: impl AsyncFnOnce(&Journal) -> T) -> (T, LeftOver) {
    let opened = Journal::open(folder, MORNING).await.unwrap();
    let result = act(&opened.journal).await;
    drop(opened.journal);
    opened.writer.await.unwrap();
    (result, opened.left_over)
}

#[tokio::test]
async fn what_was_written_is_there_for_the_next_life() {
    let folder = TempDir::new().unwrap();
    let (open, done) = (taken(1, MORNING), taken(2, MORNING));
    let report = success(&done, "The Keeper");
    let ((), left_over) = with_journal(folder.path(), async |journal| {
        for taken in [&open, &done] {
            journal.taken(taken.clone()).await.unwrap();
        }
        let notes = journal.note_writer(open.run.run);
        notes.write("prompt 17").await.unwrap();
        journal
            .ended(done.run.run, MORNING, report.clone())
            .await
            .unwrap();
    })
    .await;
    assert!(left_over.unfinished.is_empty() && left_over.reports.is_empty());
    let ((note, adopted), left_over) = with_journal(folder.path(), async |journal| {
        (
            journal.note_of(open.run.job, open.take),
            journal.success_of(done.run.job, done.take),
        )
    })
    .await;
    assert_eq!(note.as_deref(), Some("prompt 17"));
    assert_eq!(adopted.unwrap().run, done.run);
    assert_eq!(left_over.unfinished, [open]);
    assert_eq!(left_over.reports, [(done.run.run, report)]);
}

#[tokio::test]
async fn half_a_line_at_the_end_spoils_nothing() {
    let folder = TempDir::new().unwrap();
    let (first, second) = (taken(1, MORNING), taken(2, MORNING));
    with_journal(folder.path(), async |journal| {
        journal.taken(first.clone()).await.unwrap();
    })
    .await;
    let path = folder.path().join("runs.jsonl");
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"{\"event\":\"taken\",\"ru").unwrap();
    drop(file);
    with_journal(folder.path(), async |journal| {
        journal.taken(second.clone()).await.unwrap();
    })
    .await;
    let ((), left_over) = with_journal(folder.path(), async |_| {}).await;
    assert_eq!(left_over.unfinished, [first, second]);
}

#[tokio::test]
async fn the_file_is_written_anew_before_it_grows_without_end() {
    let folder = TempDir::new().unwrap();
    let open = taken(1, MORNING);
    with_journal(folder.path(), async |journal| {
        journal.taken(open.clone()).await.unwrap();
        for number in 2..40 {
            let taken = taken(number, MORNING);
            let run = taken.run.run;
            let report = failure(&taken);
            journal.taken(taken).await.unwrap();
            let notes = journal.note_writer(run);
            notes.write(&"x".repeat(512 * 1024)).await.unwrap();
            notes.write("short").await.unwrap();
            journal.ended(run, MORNING, report).await.unwrap();
            journal.confirmed(run).await;
        }
    })
    .await;
    let length = folder.path().join("runs.jsonl").metadata().unwrap().len();
    assert!(length < 6 * 1024 * 1024, "{length}");
    let (note, left_over) = with_journal(folder.path(), async |journal| {
        journal.note_of(JobId::from_u128(39), Take::FIRST)
    })
    .await;
    assert_eq!(note.as_deref(), Some("short"));
    assert_eq!(left_over.unfinished, [open]);
}

#[test]
fn a_confirmed_failure_is_forgotten_and_a_confirmed_success_kept() {
    let (failed, succeeded) = (taken(1, MORNING), taken(2, MORNING));
    let records = [
        Record::Taken(failed.clone()),
        Record::Taken(succeeded.clone()),
    ]
    .into_iter()
    .chain(ended(&failed, MORNING, failure(&failed)))
    .chain(ended(&succeeded, MORNING, success(&succeeded, "x")));
    let index = index(records);
    assert!(index.success_of(succeeded.run.job, Take::FIRST).is_some());
    assert!(index.success_of(succeeded.run.job, Take::new(2)).is_none());
    assert_eq!(index.records().count(), 3);
}

#[test]
fn what_never_began_is_forgotten() {
    let taken = taken(1, MORNING);
    let run = taken.run.run;
    let index = index([Record::Taken(taken), Record::Forgotten { run }]);
    assert!(index.unfinished().is_empty());
}

#[test]
fn results_are_kept_for_a_day_and_open_runs_for_ever() {
    let (open, done) = (taken(1, MORNING), taken(2, MORNING));
    let records = [Record::Taken(open.clone()), Record::Taken(done.clone())]
        .into_iter()
        .chain(ended(&done, MORNING, success(&done, "x")));
    let mut index = index(records);
    index.expire(MORNING.plus(23 * 60 * MINUTE));
    assert!(index.success_of(done.run.job, Take::FIRST).is_some());
    index.expire(MORNING.plus(25 * 60 * MINUTE));
    assert!(index.success_of(done.run.job, Take::FIRST).is_none());
    assert_eq!(index.unfinished(), [open]);
}

#[test]
fn the_day_of_a_result_begins_when_its_run_ends() {
    let done = taken(1, MORNING);
    let night = MORNING.plus(20 * 60 * MINUTE);
    let records =
        [Record::Taken(done.clone())]
            .into_iter()
            .chain(ended(&done, night, success(&done, "x")));
    let mut index = index(records);
    index.expire(MORNING.plus(40 * 60 * MINUTE));
    assert!(index.success_of(done.run.job, Take::FIRST).is_some());
    index.expire(MORNING.plus(45 * 60 * MINUTE));
    assert!(index.success_of(done.run.job, Take::FIRST).is_none());
}

#[test]
fn what_is_written_after_the_file_was_written_anew_is_in_the_file_of_that_name() {
    let folder = TempDir::new().unwrap();
    let (mut file, ..) = JournalFile::open(folder.path()).unwrap();
    file.append(&to_line(&Record::Taken(taken(1, MORNING))), true)
        .unwrap();
    let second = taken(2, MORNING);
    file.rewrite(&[Record::Taken(second.clone())]).unwrap();
    let third = taken(3, MORNING);
    file.append(&to_line(&Record::Taken(third.clone())), true)
        .unwrap();
    drop(file);
    let (_file, index, unreadable) = JournalFile::open(folder.path()).unwrap();
    assert_eq!((index.unfinished(), unreadable), (vec![second, third], 0));
}

#[test]
fn only_so_many_results_are_kept_and_the_newest_of_them() {
    let all: Vec<_> = (1..=1500).map(|number| taken(number, MORNING)).collect();
    let records = all.iter().flat_map(|taken| {
        let rest = ended(taken, MORNING, success(taken, "x"));
        [Record::Taken(taken.clone())].into_iter().chain(rest)
    });
    let index = index(records);
    let kept = |taken: &&Taken| index.success_of(taken.run.job, Take::FIRST).is_some();
    let kept: Vec<_> = all.iter().filter(kept).map(|taken| taken.run.run).collect();
    let newest: Vec<_> = (501..=1500).map(RunId::from_u128).collect();
    assert_eq!(kept, newest);
}

#[test]
fn unconfirmed_reports_and_those_of_the_last_minute_are_repeated() {
    let unconfirmed = taken(1, MORNING);
    let old = taken(2, MORNING);
    let last = taken(3, MORNING);
    let later = MORNING.plus(2 * MINUTE);
    let [mentioned, _] = ended(&unconfirmed, MORNING, success(&unconfirmed, "x"));
    let records = [&unconfirmed, &old, &last]
        .map(|taken| Record::Taken(taken.clone()))
        .into_iter()
        .chain([mentioned])
        .chain(ended(&old, MORNING, success(&old, "x")))
        .chain(ended(&last, later, success(&last, "x")));
    let repeated = index(records).reports_to_repeat();
    let runs: Vec<_> = repeated.into_iter().map(|(run, _)| run).collect();
    assert_eq!(runs, [unconfirmed.run.run, last.run.run]);
}
