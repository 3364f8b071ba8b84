//! What the coordinator counts, and what it reads off when somebody asks.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::api::Happening;
use shared::broker::Link;
use shared::failure::FailureKind;
use shared::ids::ProfileName;
use shared::job::JobKind;
use shared::metrics::{Counter, Page, Registry, catalogue};
use shared::time::Timestamp;

use crate::core::decide::Event;
use crate::core::job::Job;
use crate::engine::Shared;
use crate::store::{Outbox, Rows, StoreError};

/// For how long the count of all films is good: it is a look at each of their jobs.
const FILMS_GOOD_FOR: Duration = Duration::from_secs(60);
/// Profiles that no worker has offered and no setting names: whoever submits films could make up as many as they like.
const OTHER: &str = "other";

/// How many films stand where.
type Films = Vec<(String, u64)>;

/// What the coordinator counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    attempts: Counter,
    leases_expired: Counter,
    accepted: Counter,
    ended: Counter,
    films: Mutex<Option<(Instant, Films)>>,
}

/// An attempt that has ended, to be counted once that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndedAttempt {
    kind: JobKind,
    profile: ProfileName,
    outcome: &'static str,
    failure: String,
}

impl EndedAttempt {
    /// The attempt of that job which has ended with that event, if it is one that ends an attempt.
    pub(crate) fn of(job: &Job, event: &Event) -> Option<Self> {
        let none = || "none".to_owned();
        let (outcome, failure) = match event {
            Event::Succeeded { .. } => ("succeeded", none()),
            Event::Failed { failure, .. } => ("failed", label_of(failure.kind)),
            Event::Released { .. } => ("released", none()),
            Event::LeaseExpired { .. } => ("lost", label_of(FailureKind::Lost)),
            Event::Unblocked
            | Event::Started { .. }
            | Event::Heard { .. }
            | Event::RetryDue
            | Event::CancelRequested
            | Event::RetryRequested => return None,
        };
        Some(Self {
            kind: job.kind,
            profile: job.profile.clone(),
            outcome,
            failure,
        })
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::default();
        let ended = registry.counter(&catalogue::FILMS_ENDED);
        for outcome in ["completed", "failed", "cancelled"] {
            ended.begin(&[outcome]);
        }
        Self {
            attempts: registry.counter(&catalogue::ATTEMPTS),
            leases_expired: registry.counter(&catalogue::LEASES_EXPIRED),
            accepted: registry.counter(&catalogue::FILMS_ACCEPTED),
            ended,
            registry,
            films: Mutex::default(),
        }
    }

    /// Counts an attempt that has ended.
    pub(crate) fn attempt(&self, ended: &EndedAttempt, is_known: impl Fn(&ProfileName) -> bool) {
        let profile = match is_known(&ended.profile) {
            true => ended.profile.as_str(),
            false => OTHER,
        };
        let kind = ended.kind.name();
        self.attempts
            .add(&[kind, profile, ended.outcome, &ended.failure]);
        if ended.outcome == "lost" {
            self.leases_expired.add(&[kind, profile]);
        }
    }

    /// Has what can go wrong with such jobs begin at 0, so that the first time counts.
    fn begin(&self, kind: &str, profile: &str) {
        self.leases_expired.begin(&[kind, profile]);
        for failure in FailureKind::ALL {
            let outcome = match failure {
                FailureKind::Lost => "lost",
                _ => "failed",
            };
            self.attempts
                .begin(&[kind, profile, outcome, &label_of(failure)]);
        }
    }

    /// Counts what happened to a film.
    pub(crate) fn happened(&self, what: &Happening) {
        match what {
            Happening::FilmAccepted => self.accepted.add(&[]),
            Happening::FilmCompleted => self.ended.add(&["completed"]),
            Happening::FilmFailed { .. } => self.ended.add(&["failed"]),
            Happening::FilmCancelled => self.ended.add(&["cancelled"]),
            Happening::StoryWritten { .. }
            | Happening::JobChanged { .. }
            | Happening::JobProgressed { .. } => {}
        }
    }

    /// The page for whoever asks now.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn page(&self, shared: &Shared, link: &Link) -> Result<Page, StoreError> {
        let mut page = self.registry.page();
        page.about("coordinator", matches!(link, Link::Up(_)));
        let can_write = shared.trouble.borrow().is_none();
        page.set(
            &catalogue::STORE_WRITABLE,
            &[],
            f64::from(u8::from(can_write)),
        );
        let mut snapshot = shared.reader.snapshot().await?;
        let mut rows = Rows(&mut snapshot);
        let now = Timestamp::now();
        self.queues(&mut page, shared, &mut rows, now).await?;
        let Outbox { attempts, oldest } = rows.outbox().await?;
        let age = oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64());
        page.set(&catalogue::OUTBOX_SIZE, &[], f64::from(attempts));
        page.set(&catalogue::OUTBOX_AGE, &[], age);
        for (state, films) in self.films(&mut rows).await? {
            page.set(&catalogue::FILMS, &[state.as_str()], number(films));
        }
        Ok(page)
    }

    async fn queues(
        &self,
        page: &mut Page,
        shared: &Shared,
        rows: &mut Rows<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let waiting = rows.waiting().await?;
        let live = shared.live();
        let online = live.fleet.members().filter(|it| it.is_there(now)).count();
        page.set(&catalogue::WORKERS_ONLINE, &[], number(online as u64));
        for entry in waiting {
            let profile = match shared.knows(&live, &entry.profile) {
                true => entry.profile.as_str(),
                false => OTHER,
            };
            let labels = [entry.kind.name(), profile];
            self.begin(labels[0], labels[1]);
            page.add(&catalogue::JOBS_QUEUED, &labels, f64::from(entry.queued));
            page.add(&catalogue::JOBS_RUNNING, &labels, f64::from(entry.running));
            let age = entry
                .oldest
                .map_or(0.0, |since| now.since(since).as_secs_f64());
            page.raise(&catalogue::QUEUE_AGE, &labels, age);
            let serving = live.fleet.serving(entry.kind, &entry.profile, now).count();
            page.add(&catalogue::WORKERS_SERVING, &labels, number(serving as u64));
        }
        Ok(())
    }

    async fn films(&self, rows: &mut Rows<'_>) -> Result<Films, StoreError> {
        let last = self
            .films
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((at, films)) = last
            && at.elapsed() < FILMS_GOOD_FOR
        {
            return Ok(films);
        }
        let films = rows.films_by_state().await?;
        *self.films.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), films.clone()));
        Ok(films)
    }
}

/// A class of failures as a label.
fn label_of(failure: FailureKind) -> String {
    failure.to_string().replace(' ', "_")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nobody has so many of anything that it matters"
)]
const fn number(count: u64) -> f64 {
    count as f64
}
