//! What is known of a server's models, and what that means for the card. Pure.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use shared::byte_size::ByteSize;
use shared::ids::ProfileName;
use shared::protocol::Resident;
use worker_runtime::backend::{BackendId, BackendKind, OnCard};

use super::{Held, HeldState, Lifecycle, Wanted};
use crate::provider::ProviderError;

/// Of what a model was declared to need on the card, at least this share must be there once it is loaded: the rest of the
/// declaration is for what it takes while it works.
const THERE_PERCENT: u64 = 85;

/// A model of a server that one of our profiles stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The profile.
    pub profile: ProfileName,
    /// How it is loaded.
    pub wanted: Wanted,
    /// Device memory that it is declared to hold; absent for none.
    pub device: Option<ByteSize>,
    /// It is never put out.
    pub pinned: bool,
}

/// What was last seen of a server.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// It answers.
    pub(super) answers: bool,
    /// How its models are loaded and unloaded, if it offers that.
    pub(super) lifecycle: Option<&'static dyn Lifecycle>,
    /// What is in its memory.
    pub(super) held: Vec<Held>,
    /// Its processes, where they are known.
    pub(super) pids: Vec<u32>,
}

impl Seen {
    /// How the server uses the card.
    pub(super) fn on_card(&self, id: &BackendId, kept: &[Kept], pinned: bool) -> OnCard {
        let all_pinned = kept.iter().all(|it| it.pinned);
        let stays = self.answers && (self.lifecycle.is_none() || all_pinned);
        OnCard {
            id: Some(id.clone()),
            kind: BackendKind::Stacking,
            // What is never given back is a stranger's to everybody else, who is told of it by its process.
            pids: match stays {
                true => Vec::new(),
                false => self.pids.clone(),
            },
            reported: self.reported(kept, stays),
            pinned: pinned || stays,
            ..OnCard::default()
        }
    }

    /// Device memory that the server says it holds, or that is declared for what stays in it.
    fn reported(&self, kept: &[Kept], stays: bool) -> Option<ByteSize> {
        let declared = match self.lifecycle {
            Some(lifecycle) if lifecycle.tells_memory() => {
                let there = self.held.iter().filter_map(|held| held.memory);
                return Some(total(there.map(|(_, there)| there)));
            }
            _ if !stays => return None,
            Some(lifecycle) => {
                let is_there = |it: &&Kept| {
                    let mut ready = self
                        .held
                        .iter()
                        .filter(|held| held.state == HeldState::Ready);
                    ready.any(|held| lifecycle.is(held, &it.wanted.model))
                };
                total(kept.iter().filter(is_there).filter_map(|it| it.device))
            }
            None => total(kept.iter().filter_map(|it| it.device)),
        };
        (declared > ByteSize::ZERO).then_some(declared)
    }

    /// Those of our models that hold device memory now.
    pub(super) fn residents(&self, id: &BackendId, kept: &[Kept]) -> Vec<Resident> {
        let on_it = kept.iter().filter_map(|it| {
            let declared = it.device?;
            let size = match self.lifecycle {
                None => self.answers.then_some(Some(declared)),
                Some(lifecycle) => {
                    let mut ready = self
                        .held
                        .iter()
                        .filter(|held| held.state == HeldState::Ready);
                    let held = ready.find(|held| lifecycle.is(held, &it.wanted.model))?;
                    match held.memory {
                        Some((_, ByteSize::ZERO)) => None,
                        Some((_, there)) => Some(Some(there)),
                        None => Some(None),
                    }
                }
            };
            Some((it, size?))
        });
        let resident = |(it, size): (&Kept, Option<ByteSize>)| Resident {
            profile: it.profile.clone(),
            backend: id.0.clone(),
            device: String::new(),
            size,
        };
        on_it.map(resident).collect()
    }

    /// What is in memory and stands for none of our profiles: somebody else's, and left alone.
    pub(super) fn strangers(&self, kept: &[Kept]) -> Vec<String> {
        let Some(lifecycle) = self.lifecycle else {
            return Vec::new();
        };
        let is_ours = |held: &Held| kept.iter().any(|it| lifecycle.is(held, &it.wanted.model));
        let others = self
            .held
            .iter()
            .filter(|held| held.is_there() && !is_ours(held));
        others.map(|held| held.instance.clone()).collect()
    }
}

/// What is wrong with a model that was loaded. With too little memory servers do not fail: in silence they leave a part of
/// the model to the processor.
///
/// # Errors
/// If so little of it is on the card that it will be slow.
pub(super) fn is_there(kept: &Kept, held: &Held) -> Result<(), ProviderError> {
    let (Some(declared), Some((size, there))) = (kept.device, held.memory) else {
        return Ok(());
    };
    let least = ByteSize::bytes(declared.as_bytes() / 100 * THERE_PERCENT);
    match there < size && there < least {
        true => Err(ProviderError::OutOfMemory(format!(
            "only {there} of the {size} of `{}` are on the card; the server keeps the rest in host memory, which is slow",
            held.model
        ))),
        false => Ok(()),
    }
}

/// Which of a model's instances is one too many, if it has just been loaded as that one: two who load at the same time get
/// two. The one that comes first stays, for all who look.
pub(super) fn one_too_many<'a>(instances: &[&'a Held], ours: &str) -> Option<&'a Held> {
    let first = instances.iter().map(|held| &held.instance).min()?;
    let mine = instances.iter().find(|held| held.instance == ours)?;
    (mine.instance != *first).then_some(mine)
}

fn total(sizes: impl Iterator<Item = ByteSize>) -> ByteSize {
    let sum = sizes.fold(0_u64, |sum, size| sum.saturating_add(size.as_bytes()));
    ByteSize::bytes(sum)
}

#[cfg(test)]
mod tests {
    use super::super::{LmStudio, OllamaModels};
    use super::*;

    fn kept(gib: u64) -> Kept {
        Kept {
            profile: "teller".parse().unwrap(),
            wanted: Wanted {
                model: "story".to_owned(),
                context: 8_192,
                on_processor: gib == 0,
            },
            device: (gib > 0).then(|| ByteSize::gib(gib)),
            pinned: false,
        }
    }

    fn held(model: &str, instance: &str, memory: Option<(u64, u64)>) -> Held {
        Held {
            model: model.to_owned(),
            instance: instance.to_owned(),
            state: HeldState::Ready,
            context: None,
            memory: memory.map(|(size, there)| (ByteSize::gib(size), ByteSize::gib(there))),
        }
    }

    fn seen(lifecycle: Option<&'static dyn Lifecycle>, held: Vec<Held>) -> Seen {
        Seen {
            answers: true,
            lifecycle,
            held,
            pids: vec![7],
        }
    }

    fn id() -> BackendId {
        BackendId("x@127.0.0.1:1".to_owned())
    }

    #[test]
    fn only_what_a_server_tells_is_reported_and_one_without_unloading_holds_its_model_always() {
        let ours = [kept(10)];
        let reported = |seen: &Seen| seen.on_card(&id(), &ours, false).reported;
        let two = vec![
            held("story:latest", "story:latest", Some((12, 10))),
            held("x", "x", Some((2, 1))),
        ];
        assert_eq!(
            reported(&seen(Some(&OllamaModels), two)),
            Some(ByteSize::gib(11))
        );
        assert_eq!(
            reported(&seen(Some(&OllamaModels), Vec::new())),
            Some(ByteSize::ZERO)
        );
        let untold = vec![held("story", "story", None)];
        assert_eq!(reported(&seen(Some(&LmStudio), untold)), None);
        let plain = seen(None, Vec::new());
        assert_eq!(reported(&plain), Some(ByteSize::gib(10)));
        let card = plain.on_card(&id(), &ours, false);
        assert!(card.pinned && card.pids.is_empty(), "{card:?}");
        assert_eq!(reported(&Seen::default()), None);
        let pinned = [Kept {
            pinned: true,
            ..kept(10)
        }];
        let stays = seen(Some(&LmStudio), vec![held("story", "story", None)]);
        let card = stays.on_card(&id(), &pinned, true);
        assert_eq!(
            (card.reported, card.pids),
            (Some(ByteSize::gib(10)), Vec::new())
        );
        assert!(!Seen::default().on_card(&id(), &ours, false).pinned);
        assert!(Seen::default().on_card(&id(), &ours, true).pinned);
    }

    #[test]
    fn a_resident_is_ours_ready_and_on_the_card() {
        let residents = |kept: Kept, held: Vec<Held>| {
            let seen = seen(Some(&OllamaModels), held);
            seen.residents(&id(), &[kept])
                .into_iter()
                .map(|it| it.size)
                .collect::<Vec<_>>()
        };
        let loaded = |there| vec![held("story:latest", "story:latest", Some((10, there)))];
        assert_eq!(residents(kept(10), loaded(9)), [Some(ByteSize::gib(9))]);
        assert_eq!(residents(kept(10), loaded(0)), []);
        assert_eq!(residents(kept(0), loaded(9)), []);
        assert_eq!(residents(kept(10), vec![held("x", "x", Some((1, 1)))]), []);
        let mut loading = loaded(9);
        loading[0].state = HeldState::Loading;
        assert_eq!(residents(kept(10), loading), []);
    }

    #[test]
    fn models_of_others_are_known_by_name() {
        let models = vec![
            held("story", "story:2", None),
            held("theirs", "theirs", None),
        ];
        assert_eq!(
            seen(Some(&LmStudio), models).strangers(&[kept(10)]),
            ["theirs"]
        );
    }

    #[test]
    fn a_model_that_went_to_host_memory_is_out_of_memory_unless_that_much_was_declared() {
        let verdict = |declared, size, there| {
            is_there(
                &kept(declared),
                &held("story", "story", Some((size, there))),
            )
            .is_ok()
        };
        assert!(verdict(10, 10, 10));
        assert!(verdict(10, 9, 9), "less than declared, and all of it there");
        assert!(!verdict(10, 10, 8));
        assert!(verdict(8, 20, 8), "declared like that");
        assert!(verdict(0, 10, 0), "on the processor");
        assert!(is_there(&kept(10), &held("story", "story", None)).is_ok());
    }

    #[test]
    fn of_two_that_loaded_at_once_the_first_stays_whoever_asks() {
        let (one, two) = (held("story", "story", None), held("story", "story:2", None));
        for both in [[&one, &two], [&two, &one]] {
            assert_eq!(one_too_many(&both, "story"), None);
            assert_eq!(one_too_many(&both, "story:2"), Some(&two));
        }
        assert_eq!(one_too_many(&[&two], "story:2"), None);
        assert_eq!(one_too_many(&[&one, &two], "gone"), None);
    }
}
