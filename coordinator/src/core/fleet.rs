//! What is known of the workers, and what waits for whom. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ids::{ProfileName, WorkerId};
use shared::job::JobKind;
use shared::protocol::{WorkerRef, WorkerState};
use shared::time::Timestamp;

/// The workers that were heard of since the coordinator began, by name.
#[derive(Debug, Default)]
pub struct Fleet {
    members: BTreeMap<WorkerId, Member>,
}

/// One worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// What it said last.
    pub state: WorkerState,
    /// When.
    pub seen_at: Timestamp,
}

/// For how long a worker that says nothing counts as there.
pub const SILENCE: Duration = Duration::from_secs(20);

impl Fleet {
    /// A worker said how it is.
    pub fn heard(&mut self, state: WorkerState, now: Timestamp) {
        self.members.insert(
            state.worker.worker.clone(),
            Member {
                state,
                seen_at: now,
            },
        );
    }

    /// The workers, by name.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// One worker.
    pub fn member(&self, id: &WorkerId) -> Option<&Member> {
        self.members.get(id)
    }

    /// Where the latest life of a worker is reached.
    pub fn address(&self, id: &WorkerId) -> Option<&WorkerRef> {
        self.members.get(id).map(|member| &member.state.worker)
    }

    /// Workers that are there and would take such jobs now.
    pub fn serving<'a>(
        &'a self,
        kind: JobKind,
        profile: &'a ProfileName,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Member> {
        let offers = move |member: &&Member| {
            let state = &member.state;
            state
                .profiles
                .iter()
                .any(|offer| offer.kind == kind && offer.name == *profile)
                && !state
                    .waiting
                    .iter()
                    .any(|waiting| waiting.kind == kind && waiting.profile == *profile)
        };
        self.members
            .values()
            .filter(move |member| member.is_there(now))
            .filter(offers)
    }

    /// Why a queued job has not started, in one line, as far as the workers have said.
    pub fn why_waiting(&self, kind: JobKind, profile: &ProfileName, now: Timestamp) -> String {
        let serving: Vec<_> = self.serving(kind, profile, now).collect();
        if let Some(free) = serving.iter().find(|member| member.is_free()) {
            return format!("worker {} is about to take it", free.state.worker.worker);
        }
        if !serving.is_empty() {
            let paused = serving.iter().filter(|member| member.state.paused).count();
            return match (serving.len() - paused, paused) {
                (0, _) => format!("the workers for {kind} on {profile} were asked to stand still"),
                (busy, 0) => format!("all {busy} workers for {kind} on {profile} are busy"),
                (busy, paused) => {
                    format!("{busy} workers for {kind} on {profile} are busy, {paused} stand still")
                }
            };
        }
        let there = || self.members.values().filter(|member| member.is_there(now));
        let reason = there().find_map(|member| {
            let waiting = &member.state.waiting;
            let entry = waiting
                .iter()
                .find(|entry| entry.kind == kind && entry.profile == *profile)?;
            Some(format!(
                "worker {}: {}",
                member.state.worker.worker, entry.reason
            ))
        });
        match reason {
            Some(reason) => reason,
            None if there().next().is_none() => "no worker was heard of lately".to_owned(),
            None => format!("no worker offers {kind} on {profile}"),
        }
    }
}

impl Member {
    /// Whether it was heard of lately.
    pub fn is_there(&self, now: Timestamp) -> bool {
        now.since(self.seen_at) <= SILENCE
    }

    fn is_free(&self) -> bool {
        !self.state.paused
            && !self.state.draining
            && (self.state.running.len() as u64) < u64::from(self.state.slots)
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::BootId;
    use shared::profile::{Profile, ResourceRequest};
    use shared::protocol::Waiting;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(100_000);

    fn state(name: &str, profile: &str) -> WorkerState {
        WorkerState {
            worker: WorkerRef {
                worker: name.parse().unwrap(),
                boot: BootId::from_u128(1),
            },
            host: "here".to_owned(),
            program_version: "0".to_owned(),
            slots: 1,
            profiles: vec![Profile {
                name: profile.parse().unwrap(),
                kind: JobKind::Scene,
                backend: "b".to_owned(),
                needs: ResourceRequest::default(),
            }],
            waiting: Vec::new(),
            running: Vec::new(),
            devices: Vec::new(),
            residents: Vec::new(),
            paused: false,
            draining: false,
        }
    }

    fn why(states: Vec<WorkerState>) -> String {
        let mut fleet = Fleet::default();
        for state in states {
            fleet.heard(state, NOW);
        }
        fleet.why_waiting(JobKind::Scene, &"animatic".parse().unwrap(), NOW)
    }

    #[test]
    fn there_is_always_an_answer_to_why_it_waits() {
        assert_eq!(why(vec![]), "no worker was heard of lately");
        assert_eq!(
            why(vec![state("a", "wan")]),
            "no worker offers scene on animatic"
        );
        assert_eq!(
            why(vec![state("a", "animatic")]),
            "worker a is about to take it"
        );
        let paused = WorkerState {
            paused: true,
            ..state("a", "animatic")
        };
        assert_eq!(
            why(vec![paused]),
            "the workers for scene on animatic were asked to stand still"
        );
        let full = WorkerState {
            slots: 0,
            ..state("a", "animatic")
        };
        assert_eq!(
            why(vec![full]),
            "all 1 workers for scene on animatic are busy"
        );
        let refusing = Waiting {
            kind: JobKind::Scene,
            profile: "animatic".parse().unwrap(),
            never: false,
            reason: "ffmpeg is missing".to_owned(),
        };
        let lacking = WorkerState {
            waiting: vec![refusing],
            ..state("a", "animatic")
        };
        assert_eq!(why(vec![lacking]), "worker a: ffmpeg is missing");
    }

    #[test]
    fn a_worker_that_has_fallen_silent_serves_nothing() {
        let mut fleet = Fleet::default();
        fleet.heard(state("a", "animatic"), NOW);
        let later = NOW.plus(SILENCE).plus(Duration::from_millis(1));
        assert_eq!(
            fleet
                .serving(JobKind::Scene, &"animatic".parse().unwrap(), later)
                .count(),
            0
        );
    }
}
