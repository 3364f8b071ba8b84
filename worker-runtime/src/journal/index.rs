//! What the journal knows: one entry for each run, and which of them still matter. Pure.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::ids::{JobId, RunId, StoreId, Take};
use shared::protocol::{AttemptSucceeded, Envelope, RunRef, ToCoordinator};
use shared::time::Timestamp;

/// How long an ended run is kept, so that its result can be adopted.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// How many ended runs are kept at most; the oldest go first.
const KEPT_AT_MOST: usize = 1000;
/// Reports that were confirmed in the last moments before the journal's end are published again all the same: a confirm says
/// that the broker has the report, not that the coordinator has, and the embedded broker ends with its process.
const REPEATED_AFTER_RESTART: Duration = Duration::from_mins(1);

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Record {
    /// A delivery was taken; the grant is asked for next.
    Taken(Taken),
    /// The backend wrote down its own name for the work.
    Noted { run: RunId, note: String },
    /// The run ended; its report is published next.
    Ended {
        run: RunId,
        at: Timestamp,
        report: Box<Envelope<ToCoordinator>>,
    },
    /// The broker has the report.
    Confirmed { run: RunId },
    /// The run never began and nobody waits for it.
    Forgotten { run: RunId },
}

/// The first line of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) run: RunRef,
    pub(crate) take: Take,
    pub(crate) store: Option<StoreId>,
    pub(crate) at: Timestamp,
}

/// What is known of one run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) taken: Taken,
    pub(crate) note: Option<String>,
    pub(crate) end: Option<End>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub(crate) at: Timestamp,
    pub(crate) report: Box<Envelope<ToCoordinator>>,
    pub(crate) confirmed: bool,
}

impl Entry {
    fn is_settled(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.confirmed)
    }

    fn success(&self) -> Option<&AttemptSucceeded> {
        match &self.end.as_ref()?.report.message {
            ToCoordinator::AttemptSucceeded(success) => Some(success),
            ToCoordinator::AttemptStarted(_)
            | ToCoordinator::AttemptProgress(_)
            | ToCoordinator::AttemptFailed(_)
            | ToCoordinator::AttemptReleased(_)
            | ToCoordinator::WorkerState(_)
            | ToCoordinator::Probe(_) => None,
        }
    }

    /// Whether a later run of the same job and take could make use of it.
    fn is_of_use(&self) -> bool {
        self.note.is_some() || self.success().is_some()
    }

    fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let run = self.taken.run.run;
        let note = self
            .note
            .clone()
            .map(move |note| Record::Noted { run, note });
        let end = self.end.as_ref();
        [Record::Taken(self.taken.clone())]
            .into_iter()
            .chain(note)
            .chain(end.map(move |end| Record::Ended {
                run,
                at: end.at,
                report: end.report.clone(),
            }))
            .chain(
                end.filter(|end| end.confirmed)
                    .map(move |_| Record::Confirmed { run }),
            )
    }
}

/// All entries, oldest first: run ids that are drawn later sort later.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: BTreeMap<RunId, Entry>,
    settled: usize,
}

impl Index {
    /// Takes in one line. A line about a run that is not known is of no use and changes nothing.
    pub(crate) fn apply(&mut self, record: Record) {
        let run = match &record {
            Record::Taken(taken) => taken.run.run,
            Record::Noted { run, .. }
            | Record::Ended { run, .. }
            | Record::Confirmed { run }
            | Record::Forgotten { run } => *run,
        };
        let mut entry = self.remove(run);
        match (record, &mut entry) {
            (Record::Taken(taken), _) => {
                entry = Some(Entry {
                    taken,
                    note: None,
                    end: None,
                });
            }
            (Record::Noted { note, .. }, Some(entry)) => entry.note = Some(note),
            (Record::Ended { at, report, .. }, Some(entry)) => {
                entry.end = Some(End {
                    at,
                    report,
                    confirmed: false,
                });
            }
            (Record::Confirmed { .. }, Some(Entry { end: Some(end), .. })) => end.confirmed = true,
            (Record::Forgotten { .. }, _) => entry = None,
            (Record::Noted { .. } | Record::Ended { .. } | Record::Confirmed { .. }, _) => {}
        }
        if let Some(entry) = entry {
            self.insert(run, entry);
        }
        if self.settled > KEPT_AT_MOST {
            self.drop_oldest_settled();
        }
    }

    /// Forgets what is too old to matter at `now`.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        let expired = |entry: &Entry| {
            let ended = entry.end.as_ref().map_or(entry.taken.at, |end| end.at);
            entry.is_settled() && now.since(ended) > KEPT_FOR
        };
        self.entries.retain(|_, entry| !expired(entry));
        self.settled = self
            .entries
            .values()
            .filter(|entry| entry.is_settled())
            .count();
    }

    /// The newest success of that job and take.
    pub(crate) fn success_of(&self, job: JobId, take: Take) -> Option<&AttemptSucceeded> {
        self.of(job, take).find_map(Entry::success)
    }

    /// The newest note about that job and take.
    pub(crate) fn note_of(&self, job: JobId, take: Take) -> Option<&str> {
        self.of(job, take).find_map(|entry| entry.note.as_deref())
    }

    /// Runs that never ended, as far as the journal knows.
    pub(crate) fn unfinished(&self) -> Vec<Taken> {
        let open = self.entries.values().filter(|entry| entry.end.is_none());
        open.map(|entry| entry.taken.clone()).collect()
    }

    /// Reports that the coordinator may not have, oldest first.
    pub(crate) fn reports_to_repeat(&self) -> Vec<(RunId, Envelope<ToCoordinator>)> {
        let ended = || {
            self.entries
                .iter()
                .filter_map(|(run, entry)| Some((*run, entry.end.as_ref()?)))
        };
        let last = ended().map(|(_, end)| end.at).max();
        let is_recent =
            |end: &End| last.is_none_or(|last| last.since(end.at) <= REPEATED_AFTER_RESTART);
        ended()
            .filter(|(_, end)| !end.confirmed || is_recent(end))
            .map(|(run, end)| (run, end.report.as_ref().clone()))
            .collect()
    }

    /// The lines that would tell all this anew.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.entries.values().flat_map(Entry::records)
    }

    fn of(&self, job: JobId, take: Take) -> impl Iterator<Item = &Entry> {
        let newest_first = self.entries.values().rev();
        newest_first.filter(move |entry| entry.taken.run.job == job && entry.taken.take == take)
    }

    fn insert(&mut self, run: RunId, entry: Entry) {
        if entry.is_settled() {
            if !entry.is_of_use() {
                return;
            }
            self.settled += 1;
        }
        self.entries.insert(run, entry);
    }

    fn remove(&mut self, run: RunId) -> Option<Entry> {
        let entry = self.entries.remove(&run)?;
        self.settled -= usize::from(entry.is_settled());
        Some(entry)
    }

    fn drop_oldest_settled(&mut self) {
        let oldest = self
            .entries
            .iter()
            .find(|(_, entry)| entry.is_settled())
            .map(|(run, _)| *run);
        if let Some(run) = oldest {
            self.remove(run);
        }
    }
}
