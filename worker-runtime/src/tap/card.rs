//! What the card works with, as this worker has seen it in its host's ledger: which model is loaded, since when, how many jobs
//! it has served, who waits. Pure: it is told what was seen, and when.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::{JobId, ProfileName, WorkerId};
use shared::job::JobKind;
use shared::profile::DeviceMemory;

use super::swap::{Candidate, CardView, Present, Times, Waits, size_class};
use crate::gpu::admit::Booked;
use crate::gpu::ledger::{BackendId, BootTime, Class, Page, State};
use crate::pace::Pace;

/// Unloading a model takes this long, from the request to the reading that shows it.
const UNLOAD: Duration = Duration::from_secs(2);

/// The card of one worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Card {
    seen: Option<Seen>,
    /// Profiles for which nothing has to leave.
    beside: BTreeSet<ProfileName>,
    /// All memory of the card, once it was read.
    total: Option<ByteSize>,
    /// What was measured of how long profiles take.
    times: BTreeMap<ProfileName, Times>,
    pace: Pace,
}

/// What was seen last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    present: Option<OnCard>,
    /// What this worker has loaded.
    own: BTreeSet<ProfileName>,
    /// Since when nothing runs and nobody waits.
    quiet_since: Option<BootTime>,
    /// A job of another worker waits.
    spoken_for: bool,
}

/// The model that the card works with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OnCard {
    backend: BackendId,
    profile: ProfileName,
    class: Class,
    since: BootTime,
    served: u32,
    job: JobId,
}

impl Card {
    /// One of which nothing is known, where time goes that fast.
    pub(crate) fn at(pace: Pace) -> Self {
        Self {
            pace,
            ..Self::default()
        }
    }

    /// The ledger's page of the card was read. To be told about once a second, and whenever the worker decides. Whether there
    /// is something new on the card.
    pub(crate) fn looked(&mut self, page: &Page, me: &WorkerId, now: BootTime) -> bool {
        let was = self.seen.clone();
        let before = self.seen.take().unwrap_or_default();
        let is_claim = |booked: &&Booked| matches!(booked.entry.state, State::Claim { .. });
        let of_others = |owner: &WorkerId| owner != me;
        let waits = page
            .tickets
            .iter()
            .any(|ticket| of_others(&ticket.owner.worker));
        let claimed = page
            .entries
            .iter()
            .filter(is_claim)
            .any(|booked| of_others(&booked.entry.owner.worker));
        let loaded = || page.entries.iter().filter(|booked| !is_claim(booked));
        let is_quiet = page.tickets.is_empty() && !page.entries.iter().any(Booked::is_active);
        self.seen = Some(Seen {
            // What runs, before what is merely loaded; of several, what came last.
            present: loaded()
                .min_by_key(|booked| (!booked.is_in_line(), booked.age))
                .map(|booked| on_card(booked, before.present)),
            own: loaded()
                .filter(|booked| booked.entry.owner.worker == *me)
                .map(|booked| booked.entry.work.profile.clone())
                .collect(),
            quiet_since: is_quiet.then(|| before.quiet_since.unwrap_or(now)),
            spoken_for: waits || claimed,
        });
        was != self.seen
    }

    /// The card has so much memory.
    pub(crate) fn has(&mut self, total: ByteSize) {
        self.total = Some(total);
    }

    /// How many of the usual cards are smaller than this one and large enough for that work all the same: who has such a card
    /// does it as well, and leaves this one to work that needs it. Not known before the card was read.
    pub(crate) fn is_too_large_by(&self, candidate: &Candidate) -> Option<u32> {
        let class = size_class(gib(self.total?));
        Some(class.saturating_sub(candidate.class))
    }

    /// The gate was asked whether that profile fits as things are.
    pub(crate) fn fits_beside(&mut self, profile: &ProfileName, fits: bool) {
        match fits {
            true => self.beside.insert(profile.clone()),
            false => self.beside.remove(profile),
        };
    }

    /// That was measured of a profile.
    pub(crate) fn takes(&mut self, profile: &ProfileName, times: Times) {
        self.times.insert(profile.clone(), times);
    }

    /// The card as the choice of queues sees it. `waits` tells what waits for profiles of some kinds.
    pub(crate) fn view(
        &self,
        now: BootTime,
        waits: impl Fn(&dyn Fn(JobKind, &ProfileName) -> bool) -> Option<Waits>,
    ) -> CardView {
        let Some(seen) = &self.seen else {
            // Nothing is known of the card: nothing cold is opened.
            return CardView::default();
        };
        CardView {
            present: seen.present.as_ref().map(|on_card| Present {
                name: on_card.profile.to_string(),
                stay: now.since(on_card.since),
                served: on_card.served,
                times: self.times_of(&on_card.profile, on_card.class),
                waits: waits(&|kind, profile| {
                    class_of(kind) == on_card.class && *profile == on_card.profile
                }),
            }),
            quiet: seen.quiet_since.map(|since| now.since(since)),
            spoken_for: seen.spoken_for,
        }
    }

    /// A queue of this worker, whose work needs that much memory of the card. `is_resident`: its backend says that its model is
    /// loaded.
    pub(crate) fn candidate(
        &self,
        kind: JobKind,
        profile: &ProfileName,
        memory: DeviceMemory,
        is_resident: bool,
        view: &CardView,
        waits: Option<Waits>,
    ) -> Candidate {
        let own = self.seen.as_ref().map(|seen| &seen.own);
        let times = self.times_of(profile, class_of(kind));
        let beside = self.beside.contains(profile);
        let leaves = view.present.as_ref().filter(|_| !beside);
        // What has to leave is loaded again only if somebody wants it.
        let is_wanted = |present: &&Present| present.waits.is_none_or(|waits| waits.queued > 0);
        let reload = leaves
            .filter(is_wanted)
            .map_or(Duration::ZERO, |present| present.times.load);
        let unload = leaves.map_or(Duration::ZERO, |_| self.pace.of(UNLOAD));
        Candidate {
            warm: is_resident || own.is_some_and(|own| own.contains(profile)),
            beside,
            times,
            price: unload + times.load + reload,
            class: size_class(gib(memory.peak)),
            waits,
        }
    }

    fn times_of(&self, profile: &ProfileName, class: Class) -> Times {
        let measured = self.times.get(profile).copied();
        let (load, run) = match class {
            Class::Story => (10, 20),
            Class::Video => (45, 50),
        };
        measured.unwrap_or_else(|| Times {
            load: self.pace.of(Duration::from_secs(load)),
            run: self.pace.of(Duration::from_secs(run)),
        })
    }
}

fn gib(amount: ByteSize) -> u64 {
    amount.as_bytes().div_ceil(1 << 30)
}

/// That entry's model, with the count of its jobs if it was there before.
fn on_card(booked: &Booked, before: Option<OnCard>) -> OnCard {
    let work = &booked.entry.work;
    match before {
        Some(before) if before.backend == work.backend && before.profile == work.profile => {
            OnCard {
                served: before
                    .served
                    .saturating_add(u32::from(before.job != work.job)),
                job: work.job,
                ..before
            }
        }
        Some(_) | None => OnCard {
            backend: work.backend.clone(),
            profile: work.profile.clone(),
            class: work.class,
            since: booked.entry.since,
            served: 1,
            job: work.job,
        },
    }
}

fn class_of(kind: JobKind) -> Class {
    match kind {
        JobKind::Story => Class::Story,
        JobKind::Keyframe | JobKind::Scene | JobKind::Assembly => Class::Video,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use shared::ids::{Attempt, BootId, Take};

    use super::*;
    use crate::gpu::ledger::{Aging, BackendKind, Entry, EntryId, Owner, Precedence, Ticket, Work};

    pub(crate) const WAN: DeviceMemory = DeviceMemory {
        load: ByteSize::gib(18),
        peak: ByteSize::gib(21),
        spike: ByteSize::gib(23),
    };

    fn at(seconds: u64) -> BootTime {
        BootTime::after(Duration::from_secs(seconds))
    }

    pub(crate) fn me() -> WorkerId {
        "video-1".parse().unwrap()
    }

    pub(crate) fn other() -> WorkerId {
        "llm-1".parse().unwrap()
    }

    fn owner(worker: WorkerId) -> Owner {
        Owner {
            worker,
            boot: BootId::from_u128(1),
        }
    }

    /// An entry in that state since then, and how old it is now.
    pub(crate) fn booked(
        worker: WorkerId,
        profile: &str,
        job: u128,
        state: State,
        since: u64,
        now: u64,
    ) -> Booked {
        let is_story = worker == other();
        let class = if is_story { Class::Story } else { Class::Video };
        let entry = Entry {
            id: EntryId::new(BootId::from_u128(1), u64::try_from(job).unwrap()),
            state,
            since: at(since),
            owner: owner(worker),
            work: Work {
                job: JobId::from_u128(job),
                take: Take::FIRST,
                attempt: Attempt::FIRST,
                backend: BackendId(format!("{class:?}")),
                kind: BackendKind::Replacing,
                profile: profile.parse().unwrap(),
                class,
                precedence: Precedence::of(class, at(since), Aging::default()),
                memory: WAN,
                ram: ByteSize::ZERO,
                pinned: false,
                reload: Duration::from_secs(45),
                limit: Duration::from_secs(600),
            },
        };
        Booked {
            entry,
            orphaned: false,
            age: Duration::from_secs(now - since),
        }
    }

    pub(crate) fn resident() -> State {
        State::Resident {
            size: ByteSize::gib(18),
            free_then: ByteSize::gib(5),
            grew: None,
        }
    }

    pub(crate) fn page(entries: Vec<Booked>) -> Page {
        Page {
            entries,
            ..Page::default()
        }
    }

    fn view(card: &Card, now: u64) -> CardView {
        card.view(at(now), |_| None)
    }

    fn name(name: &str) -> ProfileName {
        name.parse().unwrap()
    }

    #[test]
    fn a_card_that_nobody_has_looked_at_is_not_known_to_be_quiet() {
        assert_eq!(view(&Card::default(), 100), CardView::default());
    }

    #[test]
    fn an_empty_card_is_quiet_since_it_was_seen_empty() {
        let mut card = Card::default();
        card.looked(&page(vec![]), &me(), at(100));
        card.looked(&page(vec![]), &me(), at(101));
        let view = view(&card, 103);
        assert_eq!(view.quiet, Some(Duration::from_secs(3)));
        assert_eq!(view.present, None);
        card.looked(
            &page(vec![booked(me(), "wan", 1, State::Job, 104, 104)]),
            &me(),
            at(104),
        );
        assert_eq!(card.view(at(105), |_| None).quiet, None);
    }

    #[test]
    fn jobs_are_counted_from_when_their_model_came() {
        let mut card = Card::default();
        for (job, since) in [(1, 100), (2, 150), (3, 200)] {
            for state in [State::Job, resident()] {
                for now in [since, since + 20] {
                    let page = page(vec![booked(me(), "wan", job, state, since, now)]);
                    card.looked(&page, &me(), at(now));
                }
            }
        }
        let present = view(&card, 230).present.unwrap();
        assert_eq!(
            (present.served, present.stay),
            (3, Duration::from_secs(130))
        );
        let story = booked(other(), "mistral", 9, State::Job, 240, 240);
        card.looked(&page(vec![story]), &me(), at(240));
        let present = view(&card, 241).present.unwrap();
        assert_eq!(
            (present.name.as_str(), present.served, present.stay),
            ("mistral", 1, Duration::from_secs(1))
        );
    }

    #[test]
    fn what_runs_is_on_the_card_before_what_is_loaded_and_a_claim_is_not_there_yet() {
        let claim = State::Claim { until: at(160) };
        let entries = vec![
            booked(me(), "claimed", 3, claim, 120, 130),
            booked(me(), "idle", 2, resident(), 119, 130),
            booked(me(), "runs", 1, State::Job, 100, 130),
        ];
        let mut card = Card::default();
        card.looked(&page(entries), &me(), at(130));
        assert_eq!(view(&card, 130).present.unwrap().name, "runs");
    }

    #[test]
    fn a_ticket_or_a_claim_of_another_worker_speaks_for_the_card_and_an_own_one_does_not() {
        let ticket = |worker| Ticket {
            id: EntryId::new(BootId::from_u128(1), 7),
            precedence: Precedence::of(Class::Story, at(100), Aging::default()),
            arrived: at(100),
            job: JobId::from_u128(7),
            profile: name("mistral"),
            backend: BackendId("ollama".to_owned()),
            owner: owner(worker),
            reason: None,
        };
        let claim = |worker| booked(worker, "x", 1, State::Claim { until: at(160) }, 100, 100);
        for (worker, spoken_for) in [(me(), false), (other(), true)] {
            let mut card = Card::default();
            let waiting = Page {
                tickets: vec![ticket(worker.clone())],
                ..Page::default()
            };
            card.looked(&waiting, &me(), at(100));
            assert_eq!(view(&card, 101).spoken_for, spoken_for);
            assert_eq!(view(&card, 101).quiet, None);
            card.looked(&page(vec![claim(worker)]), &me(), at(100));
            assert_eq!(view(&card, 101).spoken_for, spoken_for);
        }
    }

    #[test]
    fn what_this_worker_has_loaded_is_warm_and_what_another_has_is_not() {
        let mut card = Card::default();
        let entries = vec![
            booked(me(), "wan", 1, resident(), 100, 110),
            booked(other(), "mistral", 2, resident(), 105, 110),
        ];
        card.looked(&page(entries), &me(), at(110));
        let view = view(&card, 110);
        let is_warm = |profile, is_resident| {
            card.candidate(
                JobKind::Scene,
                &name(profile),
                WAN,
                is_resident,
                &view,
                None,
            )
            .warm
        };
        assert!(is_warm("wan", false) && !is_warm("mistral", false) && is_warm("mistral", true));
    }

    #[test]
    fn a_card_is_too_large_by_those_smaller_ones_that_would_do() {
        let mut card = Card::default();
        let small = DeviceMemory {
            peak: ByteSize::gib(9),
            ..WAN
        };
        let by = |card: &Card, memory| {
            let view = view(card, 100);
            let candidate =
                card.candidate(JobKind::Scene, &name("wan"), memory, false, &view, None);
            card.is_too_large_by(&candidate)
        };
        assert_eq!(by(&card, small), None);
        for (total, wan, short) in [(12, 0, 0), (16, 0, 1), (24, 0, 2), (48, 1, 3)] {
            card.has(ByteSize::gib(total));
            let expected = (Some(wan), Some(short));
            assert_eq!((by(&card, WAN), by(&card, small)), expected, "{total}");
        }
    }

    #[test]
    fn the_price_counts_the_way_back_only_for_a_model_that_is_wanted() {
        let mut card = Card::default();
        let times = |load, run| Times {
            load: Duration::from_secs(load),
            run: Duration::from_secs(run),
        };
        card.takes(&name("mistral"), times(10, 20));
        card.takes(&name("wan"), times(45, 52));
        let story = booked(other(), "mistral", 2, resident(), 100, 110);
        card.looked(&page(vec![story]), &me(), at(110));
        let price = |card: &Card, waits: Option<Waits>| {
            let view = card.view(at(110), |_| waits);
            let candidate = card.candidate(JobKind::Scene, &name("wan"), WAN, false, &view, None);
            candidate.price.as_secs()
        };
        let queued = |queued| {
            Some(Waits {
                queued,
                ..Waits::default()
            })
        };
        assert_eq!(price(&card, None), 57);
        assert_eq!(price(&card, queued(1)), 57);
        assert_eq!(price(&card, queued(0)), 47);
        card.fits_beside(&name("wan"), true);
        assert_eq!(price(&card, queued(1)), 45);
        card.fits_beside(&name("wan"), false);
        assert_eq!(price(&card, queued(1)), 57);
    }

    #[test]
    fn only_the_backlog_of_the_loaded_model_counts_as_its_own() {
        let mut card = Card::default();
        let story = booked(other(), "mistral", 2, resident(), 100, 110);
        card.looked(&page(vec![story]), &me(), at(110));
        card.view(at(110), |is_meant| {
            assert!(is_meant(JobKind::Story, &name("mistral")));
            assert!(!is_meant(JobKind::Story, &name("wan")));
            assert!(!is_meant(JobKind::Scene, &name("mistral")));
            None
        });
    }
}
