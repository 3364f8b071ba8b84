use std::time::Duration;

use shared::api::{FilmEvent, Happening};
use shared::artifact::{Artifact, MediaType, Sha256};
use shared::byte_size::ByteSize;
use shared::film::FilmRequest;
use shared::ids::{BootId, FilmId, JobId, RunId, Take};
use shared::job::{JobKind, JobStatus, Outcome, Product};
use shared::protocol::WorkerRef;
use shared::time::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::core::job::{Completion, Job, JobState};
use crate::core::plan::{self, Film, Profiles};

const T0: Timestamp = Timestamp::from_millis(1_000_000);

fn film() -> Film {
    let name = |name: &str| name.parse().unwrap();
    Film {
        id: FilmId::generate(),
        request: FilmRequest {
            premise: Some("It's a \"storm\"; DROP TABLE films".to_owned()),
            ..FilmRequest::default()
        },
        seed: 7,
        profiles: Profiles {
            story: name("outline"),
            keyframe: name("storyboard"),
            scene: name("animatic"),
            assembly: name("ffmpeg"),
        },
        created_at: T0,
        trace: None,
    }
}

fn queued(film: &Film) -> Job {
    let profile = film.profiles.of(JobKind::Story).clone();
    Job {
        state: JobState::Queued,
        queued_at: Some(T0),
        ..Job::new(JobId::generate(), film.id, JobKind::Story, None, profile)
    }
}

async fn store_with(film: &Film, job: &Job) -> (TempDir, Writer) {
    let folder = TempDir::new().unwrap();
    let (_, mut writer) = open(&folder.path().join("db")).await.unwrap();
    let mut transaction = writer.begin().await.unwrap();
    let mut rows = Rows(&mut transaction);
    rows.insert_film(film, Some("http:k"), "{}").await.unwrap();
    rows.put_job(job, DispatchMark::Due).await.unwrap();
    transaction.commit().await.unwrap();
    (folder, writer)
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart_and_the_store_keeps_its_id() {
    let film = film();
    let job = queued(&film);
    let (folder, writer) = store_with(&film, &job).await;
    let path = folder.path().join("db");
    writer.close().await.unwrap();
    let (reader, _writer) = open(&path).await.unwrap();
    let (again, _) = open(&path).await.unwrap();
    assert_eq!(reader.id(), again.id());
    let mut snapshot = reader.snapshot().await.unwrap();
    let mut rows = Rows(&mut snapshot);
    assert_eq!(rows.film(film.id).await.unwrap(), Some(film.clone()));
    assert_eq!(rows.jobs_of(film.id).await.unwrap(), [job]);
    let by_key = rows.film_by_key("http:k").await.unwrap();
    assert_eq!(by_key, Some((film.id, "{}".to_owned())));
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing() {
    let film = film();
    let (_folder, mut writer) = store_with(&film, &queued(&film)).await;
    let mut transaction = writer.begin().await.unwrap();
    Rows(&mut transaction).delete_film(film.id).await.unwrap();
    drop(transaction);
    let mut transaction = writer.begin().await.unwrap();
    assert!(
        Rows(&mut transaction)
            .film(film.id)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_disk_that_was_full_is_written_to_again_once_there_is_room() {
    let film = film();
    let (_folder, mut writer) = store_with(&film, &queued(&film)).await;
    // What a full disk answers, from a connection that is allowed no more pages; the next one is not held to that.
    let mut transaction = writer.begin().await.unwrap();
    sqlx::query("PRAGMA max_page_count = 1")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let many = Film {
        id: FilmId::generate(),
        ..film.clone()
    };
    let asked = "x".repeat(1_000_000);
    let full = Rows(&mut transaction)
        .insert_film(&many, None, &asked)
        .await
        .unwrap_err();
    assert!(
        shared::failure::chain(&full).contains("full"),
        "{}",
        shared::failure::chain(&full)
    );
    drop(transaction);
    writer.reconnect();
    let mut transaction = writer.begin().await.unwrap();
    Rows(&mut transaction)
        .insert_film(&many, None, &asked)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn a_dispatch_is_due_until_it_is_marked_and_again_at_doubling_intervals() {
    let film = film();
    let job = queued(&film);
    let (_folder, mut writer) = store_with(&film, &job).await;
    let mut transaction = writer.begin().await.unwrap();
    let mut rows = Rows(&mut transaction);
    assert_eq!(rows.dispatches_due(9).await.unwrap(), [(film.id, job.id)]);
    let at = |seconds| T0.plus(Duration::from_secs(seconds));
    let after = Duration::from_secs(600);
    let dispatch = Dispatch {
        job: job.id,
        queued_at: job.queued_at,
    };
    rows.mark_dispatched(&dispatch, at(0)).await.unwrap();
    assert!(rows.dispatches_due(9).await.unwrap().is_empty());
    assert_eq!(rows.dispatch_stale_again(at(599), after).await.unwrap(), 0);
    assert_eq!(rows.dispatch_stale_again(at(600), after).await.unwrap(), 1);
    rows.mark_dispatched(&dispatch, at(1_000)).await.unwrap();
    assert_eq!(
        rows.dispatch_stale_again(at(1_999), after).await.unwrap(),
        0
    );
    assert_eq!(
        rows.dispatch_stale_again(at(2_000), after).await.unwrap(),
        1
    );
}

#[tokio::test]
async fn the_word_that_an_attempt_is_out_does_not_count_for_a_job_that_was_queued_anew() {
    let film = film();
    let job = queued(&film);
    let (_folder, mut writer) = store_with(&film, &job).await;
    let mut transaction = writer.begin().await.unwrap();
    let mut rows = Rows(&mut transaction);
    let late = Dispatch {
        job: job.id,
        queued_at: job.queued_at,
    };
    let anew = Job {
        queued_at: Some(T0.plus(Duration::from_secs(1))),
        ..job.clone()
    };
    rows.put_job(&anew, DispatchMark::Due).await.unwrap();
    rows.mark_dispatched(&late, T0).await.unwrap();
    assert_eq!(rows.dispatches_due(9).await.unwrap(), [(film.id, job.id)]);
}

#[tokio::test]
async fn the_next_thing_is_due_now_while_an_attempt_is_to_be_published_or_else_with_the_next_retry()
{
    let film = film();
    let job = queued(&film);
    let (_folder, mut writer) = store_with(&film, &job).await;
    assert_eq!(writer.next_due(T0).await.unwrap(), Some(T0));
    let retry_at = T0.plus(Duration::from_secs(9));
    let retryable = Job {
        state: JobState::Retryable { retry_at },
        ..job.clone()
    };
    let mut transaction = writer.begin().await.unwrap();
    let mut rows = Rows(&mut transaction);
    rows.put_job(&retryable, DispatchMark::NotDue)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(writer.next_due(T0).await.unwrap(), Some(retry_at));
    let mut transaction = writer.begin().await.unwrap();
    let mut rows = Rows(&mut transaction);
    rows.delete_film(film.id).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(writer.next_due(T0).await.unwrap(), None);
}

#[tokio::test]
async fn deleting_a_film_deletes_what_belongs_to_it() {
    let film = film();
    let job = queued(&film);
    let (_folder, mut writer) = store_with(&film, &job).await;
    let mut transaction = writer.begin().await.unwrap();
    let mut rows = Rows(&mut transaction);
    rows.delete_film(film.id).await.unwrap();
    assert_eq!(rows.job(job.id).await.unwrap(), None);
    assert!(rows.dispatches_due(9).await.unwrap().is_empty());
}

#[tokio::test]
async fn waiting_jobs_are_counted_by_kind_and_profile() {
    let film = film();
    let (_folder, mut writer) = store_with(&film, &queued(&film)).await;
    let mut transaction = writer.begin().await.unwrap();
    let counted = Rows(&mut transaction).waiting().await.unwrap();
    let expected = Waiting {
        kind: JobKind::Story,
        profile: film.profiles.story.clone(),
        queued: 1,
        running: 0,
        oldest: Some(T0),
    };
    assert_eq!(counted, [expected]);
}

#[tokio::test]
async fn the_trial_tells_a_full_disk_from_one_with_room_and_leaves_nothing() {
    let film = film();
    let (_folder, mut writer) = store_with(&film, &queued(&film)).await;
    let mut transaction = writer.begin().await.unwrap();
    sqlx::query("PRAGMA max_page_count = 1")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let full = shared::failure::chain(&writer.try_out().await.unwrap_err());
    assert!(full.contains("full"), "{full}");
    writer.reconnect();
    writer.try_out().await.unwrap();
    let mut transaction = writer.begin().await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'trial'")
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn only_films_that_ended_before_then_are_old() {
    let film = film();
    let job = queued(&film);
    let (_folder, mut writer) = store_with(&film, &job).await;
    let mut transaction = writer.begin().await.unwrap();
    let mut rows = Rows(&mut transaction);
    let later = T0.plus(Duration::from_secs(1));
    assert_eq!(rows.films_ended_before(later, 9).await.unwrap(), []);
    let ended = Job {
        state: JobState::Cancelled,
        finished_at: Some(T0),
        ..job
    };
    rows.put_job(&ended, DispatchMark::NotDue).await.unwrap();
    assert_eq!(rows.films_ended_before(T0, 9).await.unwrap(), []);
    assert_eq!(rows.films_ended_before(later, 9).await.unwrap(), [film.id]);
}

#[tokio::test]
async fn a_job_is_found_by_its_film_kind_and_scene_and_one_that_cannot_be_read_is_told() {
    let film = film();
    let job = queued(&film);
    let (_folder, mut writer) = store_with(&film, &job).await;
    let mut transaction = writer.begin().await.unwrap();
    let mut rows = Rows(&mut transaction);
    let found = rows.job_of(film.id, JobKind::Story, None).await.unwrap();
    assert_eq!(found, Some(job.clone()));
    let found = rows.job_of(film.id, JobKind::Story, Some(1)).await.unwrap();
    assert_eq!(found, None);
    rows.savepoint().await.unwrap();
    sqlx::query("UPDATE jobs SET job = '{}'")
        .execute(&mut *rows.0)
        .await
        .unwrap();
    assert!(rows.job(job.id).await.unwrap_err().is_unreadable());
    rows.undo().await.unwrap();
    assert_eq!(rows.job(job.id).await.unwrap(), Some(job));
}

#[tokio::test]
async fn events_are_numbered_in_the_order_in_which_they_are_told() {
    let film = film();
    let (_folder, mut writer) = store_with(&film, &queued(&film)).await;
    let mut transaction = writer.begin().await.unwrap();
    let mut rows = Rows(&mut transaction);
    let told = |second| FilmEvent {
        film: film.id,
        at: T0.plus(Duration::from_secs(second)),
        what: Happening::FilmAccepted,
    };
    let events: Vec<FilmEvent> = (0..41).map(told).collect();
    let (some, rest) = events.split_at(5);
    let mut numbers = rows.append_events(&Vec::from_iter(some)).await.unwrap();
    numbers.extend(rows.append_events(&[]).await.unwrap());
    numbers.extend(rows.append_events(&Vec::from_iter(rest)).await.unwrap());
    let expected: Vec<_> = numbers.into_iter().zip(events).collect();
    let kept = rows.events_after(film.id, 0, 100).await.unwrap();
    assert_eq!(kept, expected);
    let later = rows.events_after(film.id, kept[39].0, 100).await.unwrap();
    assert_eq!(later, expected[40..]);
}

#[tokio::test]
async fn a_list_has_each_film_with_the_jobs_that_are_its_own() {
    let (first, second) = (film(), film());
    let (_folder, mut writer) = store_with(&first, &queued(&first)).await;
    let mut transaction = writer.begin().await.unwrap();
    let mut rows = Rows(&mut transaction);
    rows.insert_film(&second, None, "{}").await.unwrap();
    let cancelled = Job {
        state: JobState::Cancelled,
        finished_at: Some(T0),
        ..queued(&second)
    };
    for job in [&cancelled, &queued(&second)] {
        rows.put_job(job, DispatchMark::NotDue).await.unwrap();
    }
    let ends = |row: &FilmRow| {
        let mut ends = row.jobs.clone();
        ends.sort_by_key(|(status, _)| status.name());
        (row.film.id, ends)
    };
    let listed = rows.films(None, 9).await.unwrap();
    let ended = (JobStatus::Cancelled, Some(T0));
    let waits = (JobStatus::Queued, None);
    let expected = [(second.id, vec![ended, waits]), (first.id, vec![waits])];
    assert_eq!(listed.iter().map(ends).collect::<Vec<_>>(), expected);
    let newest = rows.films(None, 1).await.unwrap();
    assert_eq!(newest, listed[..1]);
    let older = rows.films(Some(second.id), 9).await.unwrap();
    assert_eq!(older, listed[1..]);
}

#[tokio::test]
async fn what_a_completed_job_made_is_in_use_until_its_film_is_deleted() {
    let film = film();
    let job = queued(&film);
    let (_folder, mut writer) = store_with(&film, &job).await;
    let mut transaction = writer.begin().await.unwrap();
    let mut rows = Rows(&mut transaction);
    assert!(rows.artifacts_in_use().await.unwrap().is_empty());
    let sha256 = Sha256::of(b"a still image");
    let image = Artifact {
        sha256,
        size: ByteSize::bytes(13),
        media_type: MediaType::Png,
    };
    let completed = Job {
        state: completed(image),
        ..job
    };
    rows.put_job(&completed, DispatchMark::NotDue)
        .await
        .unwrap();
    assert_eq!(rows.artifacts_in_use().await.unwrap(), [sha256].into());
    rows.delete_film(film.id).await.unwrap();
    assert!(rows.artifacts_in_use().await.unwrap().is_empty());
}

fn completed(image: Artifact) -> JobState {
    JobState::Completed(Completion {
        outcome: Outcome::from(Product::Keyframe { image }),
        worker: WorkerRef {
            worker: "w".parse().unwrap(),
            boot: BootId::from_u128(1),
        },
        take: Take::FIRST,
        took: Duration::ZERO,
    })
}

#[tokio::test]
async fn films_are_counted_by_the_state_that_their_jobs_make() {
    let image = Artifact {
        sha256: Sha256::of(b"a still image"),
        size: ByteSize::bytes(1),
        media_type: MediaType::Png,
    };
    let states = [
        JobState::Blocked,
        JobState::Queued,
        JobState::Running {
            run: RunId::from_u128(1),
        },
        JobState::Retryable { retry_at: T0 },
        completed(image),
        JobState::Failed,
        JobState::Cancelled,
    ];
    let folder = TempDir::new().unwrap();
    let (_, mut writer) = open(&folder.path().join("db")).await.unwrap();
    let mut transaction = writer.begin().await.unwrap();
    let mut rows = Rows(&mut transaction);
    let mut expected = std::collections::BTreeMap::<_, u64>::new();
    // A film with each set of states.
    for set in 1_usize..1 << states.len() {
        let film = film();
        rows.insert_film(&film, None, "{}").await.unwrap();
        let is_in = |place: &usize| set >> place & 1 == 1;
        let jobs: Vec<Job> = (0..states.len())
            .filter(is_in)
            .map(|place| Job {
                state: states[place].clone(),
                ..queued(&film)
            })
            .collect();
        for job in &jobs {
            rows.put_job(job, DispatchMark::NotDue).await.unwrap();
        }
        *expected
            .entry(serde_json::to_string(&plan::status(&jobs)).unwrap())
            .or_default() += 1;
    }
    let counted = rows.films_by_state().await.unwrap();
    let counted = counted
        .into_iter()
        .map(|(state, films)| (format!("\"{state}\""), films));
    assert_eq!(
        counted.collect::<std::collections::BTreeMap<_, _>>(),
        expected
    );
    assert_eq!(expected.len(), 4);
}

#[tokio::test]
async fn the_outbox_is_what_was_queued_and_is_not_out() {
    let film = film();
    let (_folder, mut writer) = store_with(&film, &queued(&film)).await;
    let mut transaction = writer.begin().await.unwrap();
    let mut rows = Rows(&mut transaction);
    let late = Job {
        queued_at: Some(T0.plus(Duration::from_secs(5))),
        ..queued(&film)
    };
    rows.put_job(&late, DispatchMark::Due).await.unwrap();
    let outbox = rows.outbox().await.unwrap();
    assert_eq!((outbox.attempts, outbox.oldest), (2, Some(T0)));
    for job in rows.jobs_of(film.id).await.unwrap() {
        rows.put_job(&job, DispatchMark::NotDue).await.unwrap();
    }
    let outbox = rows.outbox().await.unwrap();
    assert_eq!((outbox.attempts, outbox.oldest), (0, None));
}
