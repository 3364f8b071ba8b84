//! What is known of the workers, and what waits for whom. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::api::WorkerExplanation;
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

    /// Whether each card that clips are made on with that profile is one that keyframes are made on with that other one: the models
    /// of both would put each other out. Work that needs no card puts out nothing.
    pub fn shares_cards(
        &self,
        keyframe: &ProfileName,
        scene: &ProfileName,
        now: Timestamp,
    ) -> bool {
        let clips = self.cards(JobKind::Scene, scene, now);
        !clips.is_empty() && clips.is_subset(&self.cards(JobKind::Keyframe, keyframe, now))
    }

    /// The cards of the workers that are there and offer such work for a card, each by its host and UUID.
    fn cards(
        &self,
        kind: JobKind,
        profile: &ProfileName,
        now: Timestamp,
    ) -> BTreeSet<(&str, &str)> {
        let needs_card = |member: &&Member| {
            let mut offers = member.state.profiles.iter();
            let offer = offers.find(|offer| offer.kind == kind && offer.name == *profile);
            offer.is_some_and(|offer| offer.needs.device.is_some())
        };
        self.members
            .values()
            .filter(|member| member.is_there(now))
            .filter(needs_card)
            .flat_map(|member| {
                let devices = member.state.devices.iter();
                devices.map(|device| (member.state.host.as_str(), device.uuid.as_str()))
            })
            .collect()
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
                (1, 0) => format!("the only worker for {kind} on {profile} is busy"),
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

    /// That no worker which is there does such work at all, in one line; `None` if one does, be it busy or not ready.
    pub fn unserved(&self, kind: JobKind, profile: &ProfileName, now: Timestamp) -> Option<String> {
        let mut away = Vec::new();
        for member in self.members.values() {
            let mut profiles = member.state.profiles.iter();
            match profiles.any(|offer| offer.kind == kind && offer.name == *profile) {
                true if member.is_there(now) => return None,
                true => away.push(member.state.worker.worker.as_str()),
                false => {}
            }
        }
        Some(match away.as_slice() {
            [] => format!(
                "no worker does {kind} on {profile}: start one that does, or cancel the film and choose another profile"
            ),
            away => format!(
                "no worker that is there does {kind} on {profile}; not heard of lately: {}",
                away.join(", ")
            ),
        })
    }

    /// What each worker that offers such work says of a job that waits: those that are there first.
    pub fn explain(
        &self,
        kind: JobKind,
        profile: &ProfileName,
        now: Timestamp,
    ) -> Vec<WorkerExplanation> {
        let offers = |member: &&Member| {
            let mut profiles = member.state.profiles.iter();
            profiles.any(|offer| offer.kind == kind && offer.name == *profile)
        };
        let mut workers: Vec<_> = self
            .members
            .values()
            .filter(offers)
            .map(|member| member.explain(kind, profile, now))
            .collect();
        workers.sort_by_key(|worker| !worker.online);
        workers
    }
}

impl Member {
    fn explain(&self, kind: JobKind, profile: &ProfileName, now: Timestamp) -> WorkerExplanation {
        let state = &self.state;
        let waiting = state
            .waiting
            .iter()
            .find(|waiting| waiting.kind == kind && waiting.profile == *profile);
        let online = self.is_there(now);
        let reason = match waiting {
            _ if !online => {
                let silent = now.since(self.seen_at).as_secs();
                format!("was heard of {silent} s ago for the last time")
            }
            Some(waiting) => format!("{}{}", waiting.reason, asked(state)),
            None if state.draining => "is going away".to_owned(),
            None if state.paused => "was asked to stand still".to_owned(),
            None if self.is_free() => "is about to take it".to_owned(),
            None => format!(
                "is busy with {} of {} jobs{}",
                state.running.len(),
                state.slots,
                asked(state)
            ),
        };
        WorkerExplanation {
            worker: state.worker.worker.clone(),
            host: state.host.clone(),
            online,
            takes: online && waiting.is_none() && !state.paused && !state.draining,
            never: waiting.is_some_and(|waiting| waiting.never),
            reason,
        }
    }

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

/// What was asked to leave its card, and when.
fn asked(state: &WorkerState) -> String {
    let asked = state.devices.iter().flat_map(|device| &device.asked);
    let told = asked.map(|asked| {
        let what = match &asked.profile {
            Some(profile) => format!("{profile} on {}", asked.backend),
            None => format!("everything on {}", asked.backend),
        };
        format!(
            "; {what} was asked to leave {} s ago for job {}",
            asked.ago.as_secs(),
            asked.by
        )
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use shared::byte_size::ByteSize;
    use shared::ids::{BootId, JobId};
    use shared::profile::{DeviceMemory, Profile, ResourceRequest};
    use shared::protocol::{AskedToLeave, Device, Waiting};

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
            why(vec![full.clone()]),
            "the only worker for scene on animatic is busy"
        );
        let other = WorkerState {
            slots: 0,
            ..state("b", "animatic")
        };
        assert_eq!(
            why(vec![full, other]),
            "all 2 workers for scene on animatic are busy"
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
    fn work_that_nobody_does_is_told_apart_from_work_that_waits() {
        let unserved = |states: Vec<WorkerState>, now| {
            let mut fleet = Fleet::default();
            for state in states {
                fleet.heard(state, NOW);
            }
            fleet.unserved(JobKind::Scene, &"animatic".parse().unwrap(), now)
        };
        let full = WorkerState {
            slots: 0,
            paused: true,
            ..state("a", "animatic")
        };
        assert_eq!(unserved(vec![full.clone(), state("b", "wan")], NOW), None);
        let told = unserved(vec![state("b", "wan")], NOW).unwrap();
        assert!(
            told.starts_with("no worker does scene on animatic: start one"),
            "{told}"
        );
        let later = Timestamp::from_millis(NOW.as_millis() + 60_000);
        let told = unserved(vec![full, state("b", "wan")], later).unwrap();
        assert!(told.ends_with("not heard of lately: a"), "{told}");
    }

    #[test]
    fn each_worker_that_offers_the_work_says_why_it_does_not_begin() {
        let reason =
            "needs 21.9 GiB, 13.5 GiB free: 8.4 GiB short; blender (pid 300) holds 10.0 GiB";
        let waiting = |never| Waiting {
            kind: JobKind::Scene,
            profile: "wan".parse().unwrap(),
            never,
            reason: reason.to_owned(),
        };
        let asked = AskedToLeave {
            backend: "ollama@127.0.0.1:11434".to_owned(),
            profile: Some("mistral".parse().unwrap()),
            by: JobId::from_u128(7),
            ago: Duration::from_secs(3),
        };
        let card = Device {
            free: ByteSize::gib(13),
            used: ByteSize::gib(10),
            asked: vec![asked],
            ..card("GPU-1")
        };
        let mut fleet = Fleet::default();
        let gone = Timestamp::from_millis(70_000);
        fleet.heard(state("a-gone", "wan"), gone);
        let wants = WorkerState {
            waiting: vec![waiting(false)],
            devices: vec![card],
            ..state("b-full", "wan")
        };
        fleet.heard(wants, NOW);
        let small = WorkerState {
            waiting: vec![waiting(true)],
            ..state("c-small", "wan")
        };
        fleet.heard(small, NOW);
        fleet.heard(state("d-free", "wan"), NOW);
        fleet.heard(state("e-other", "animatic"), NOW);
        let told = fleet.explain(JobKind::Scene, &"wan".parse().unwrap(), NOW);
        let flags: Vec<_> = told
            .iter()
            .map(|it| (it.worker.as_str(), it.online, it.takes, it.never))
            .collect();
        assert_eq!(
            flags,
            [
                ("b-full", true, false, false),
                ("c-small", true, false, true),
                ("d-free", true, true, false),
                ("a-gone", false, false, false),
            ]
        );
        let asked = "; mistral on ollama@127.0.0.1:11434 was asked to leave 3 s ago for job ";
        assert!(told[0].reason.starts_with(&format!("{reason}{asked}")));
        assert_eq!(told[1].reason, reason);
        assert_eq!(told[2].reason, "is about to take it");
        assert!(told[3].reason.contains("30 s ago"), "{}", told[3].reason);
    }

    fn card(uuid: &str) -> Device {
        Device {
            uuid: uuid.to_owned(),
            name: "Card".to_owned(),
            total: ByteSize::gib(24),
            free: ByteSize::gib(24),
            used: ByteSize::ZERO,
            promised: ByteSize::ZERO,
            age: Duration::ZERO,
            holders: Vec::new(),
            trouble: None,
            queue: Vec::new(),
            asked: Vec::new(),
        }
    }

    #[test]
    fn keyframes_and_clips_share_cards_where_no_card_is_left_for_clips_alone() {
        let offer = |name: &str, kind, needs_card: bool| Profile {
            name: name.parse().unwrap(),
            kind,
            backend: "comfyui".to_owned(),
            needs: ResourceRequest {
                device: needs_card.then_some(DeviceMemory {
                    load: ByteSize::gib(8),
                    peak: ByteSize::gib(9),
                    spike: ByteSize::gib(10),
                }),
                ..ResourceRequest::default()
            },
        };
        let sdxl = || offer("sdxl", JobKind::Keyframe, true);
        let drawn = || offer("drawn", JobKind::Keyframe, false);
        let wan = || offer("wan", JobKind::Scene, true);
        let worker = |name: &str, uuid: &str, profiles: Vec<Profile>| WorkerState {
            profiles,
            devices: vec![card(uuid)],
            ..state(name, "any")
        };
        let shares = |keyframe: &str, workers: Vec<WorkerState>, at: Timestamp| {
            let mut fleet = Fleet::default();
            for worker in workers {
                fleet.heard(worker, NOW);
            }
            fleet.shares_cards(&keyframe.parse().unwrap(), &"wan".parse().unwrap(), at)
        };
        let both = || worker("a", "1", vec![sdxl(), drawn(), wan()]);
        assert!(shares("sdxl", vec![both()], NOW));
        // Two workers of one card.
        let apart = |uuid: &str| {
            vec![
                worker("a", "1", vec![sdxl()]),
                worker("b", uuid, vec![wan()]),
            ]
        };
        assert!(shares("sdxl", apart("1"), NOW));
        assert!(!shares("sdxl", apart("2"), NOW));
        // A card that makes clips alone can begin with the first of them.
        assert!(!shares(
            "sdxl",
            vec![both(), worker("b", "2", vec![wan()])],
            NOW
        ));
        // Drawing needs no card, and those who are gone make nothing.
        assert!(!shares("drawn", vec![both()], NOW));
        assert!(!shares("sdxl", vec![], NOW));
        let later = NOW.plus(SILENCE).plus(Duration::from_millis(1));
        assert!(!shares("sdxl", vec![both()], later));
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
