//! The card that this worker's backends run on: found by the settings, with its sampler, its ledger and its gate.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared::failure::chain;
use shared::fields;
use shared::ids::{BootId, ProfileName, WorkerId};
use shared::profile::Profile;
use tokio::runtime::Handle;

use super::sight::CardSight;
use crate::backend::Backend;
use crate::gpu::admit::{Need, Policy};
use crate::gpu::footprint::{DeviceModel, Extent, Footprints, Key, Sample, Usual};
use crate::gpu::gate::Gate;
use crate::gpu::ledger::{Aging, BackendId, Ledger, Owner, Settling, default_place};
use crate::gpu::probe::host::HostSource;
use crate::gpu::probe::nvml::{NvmlOptions, NvmlProbe};
use crate::gpu::probe::sampler::{Rhythm, Sampler};
use crate::gpu::probe::{Fault, FoundDevice, GpuProbe};
use crate::pace::Pace;
use crate::settings::{DeviceChoice, GpuSettings};

/// How often free memory is read while a job runs, waits or settles.
const SAMPLED_EACH: Duration = Duration::from_millis(150);
/// The same while nothing does: each look asks for a sample of its own, and this is for when looks do not come.
const SAMPLED_IDLE: Duration = Duration::from_millis(1500);

/// The card that this worker's backends run on.
#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) device: FoundDevice,
    pub(crate) gate: Arc<Gate>,
    pub(super) sight: Arc<CardSight>,
    /// What jobs were seen to need on such a card; absent if it cannot be kept.
    learned: Option<(Footprints, DeviceModel)>,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum NoCard {
    /// The settings say so.
    Unwanted,
    /// The library cannot be used.
    Fault(Fault),
    /// There is a driver, and no card.
    Empty,
    /// There are several, and none was named.
    Several(Vec<FoundDevice>),
    /// The one that was named is not there.
    NotThere(DeviceChoice, Vec<FoundDevice>),
    /// Its ledger cannot be used.
    Ledger(String),
    /// The host gives us no thread.
    Host(String),
}

impl NoCard {
    /// Whether time alone does not change it.
    pub(super) fn is_for_a_person(&self) -> bool {
        match self {
            Self::Unwanted | Self::Empty | Self::Several(_) | Self::NotThere(..) => true,
            Self::Fault(fault) => fault.is_no_driver(),
            Self::Ledger(_) | Self::Host(_) => false,
        }
    }

    /// Whether only another setting changes it.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Unwanted)
    }
}

impl fmt::Display for NoCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, found: &[FoundDevice]| {
            for (place, device) in found.iter().enumerate() {
                let comma = if place > 0 { ", " } else { "" };
                write!(f, "{comma}{} ({})", device.uuid, device.name)?;
            }
            Ok(())
        };
        match self {
            Self::Unwanted => write!(f, "the settings name no card (gpu.device = \"none\")"),
            Self::Fault(fault) => write!(f, "{fault}"),
            Self::Empty => write!(f, "this machine has no card that NVIDIA's driver knows"),
            Self::Several(found) => {
                write!(
                    f,
                    "this machine has several cards; name one in gpu.device: "
                )?;
                list(f, found)
            }
            Self::NotThere(choice, found) => {
                let choice = String::from(choice.clone());
                write!(f, "there is no card {choice} (gpu.device); there are: ")?;
                list(f, found)
            }
            Self::Ledger(error) => write!(f, "{error}; see gpu.ledger"),
            Self::Host(error) => write!(f, "this host has no thread to look at it: {error}"),
        }
    }
}

/// Whose card it is, and for what.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) worker: WorkerId,
    pub(super) boot: BootId,
    pub(super) settings: GpuSettings,
    /// Where footprints are kept, if the settings do not say.
    pub(super) footprints: PathBuf,
    pub(super) backends: Vec<Arc<dyn Backend>>,
    pub(super) host: Arc<dyn HostSource>,
    pub(super) pace: Pace,
}

impl Card {
    /// Finds it. Blocks; with a sick driver for ever.
    pub(super) fn open(
        user: &User,
        probe: &Arc<NvmlProbe>,
        runtime: Handle,
    ) -> Result<Self, NoCard> {
        let settings = &user.settings;
        if settings.device == DeviceChoice::None {
            return Err(NoCard::Unwanted);
        }
        let found = probe.devices().map_err(NoCard::Fault)?;
        let device = choose(&settings.device, found)?;
        let place = settings.ledger.clone();
        let place: PathBuf = place.unwrap_or_else(|| default_place(None));
        let owner = Owner {
            worker: user.worker.clone(),
            boot: user.boot,
        };
        let ledger = Ledger::open(&place, Some(&device.uuid), owner);
        let ledger = ledger.map_err(|error| NoCard::Ledger(chain(&error)))?;
        let ledger = ledger.settling(settling(user.pace));
        let shared: Arc<dyn GpuProbe> = Arc::clone(probe) as _;
        let sampler = Sampler::start(shared, device.uuid.clone(), rhythm(user.pace));
        let sampler = sampler.map_err(|error| NoCard::Host(error.to_string()))?;
        let on_card = user.backends.iter().map(|backend| {
            let id = backend_id(backend.as_ref(), &user.worker);
            (id, Arc::clone(backend))
        });
        let host = Arc::clone(&user.host);
        let sight = CardSight::new(sampler, host, on_card.collect(), runtime);
        let sight = Arc::new(sight);
        let seen = Arc::clone(&sight);
        let learned = learned(user, probe, &device);
        let mut policy = policy(user.pace);
        if let Some((footprints, model)) = &learned {
            policy.drift = footprints.drift(model);
        }
        Ok(Self {
            device,
            gate: Gate::new(ledger, policy, aging(user.pace), seen),
            sight,
            learned,
        })
    }

    /// What a job of that profile needs, by what was declared and what was seen. Blocks for some milliseconds.
    pub(super) fn need(&self, profile: &Profile, extent: Extent) -> Need {
        match (&self.learned, self.key(profile, extent)) {
            (Some((footprints, _)), Some(key)) => footprints.need(&profile.needs, &key),
            _ => Need::declared(&profile.needs),
        }
    }

    /// What figures of such a job are kept for.
    pub(super) fn key(&self, profile: &Profile, extent: Extent) -> Option<Key> {
        let (_, model) = self.learned.as_ref()?;
        let backends = self.sight.backends().iter().map(|(_, backend)| backend);
        let mut by = backends.filter(|backend| backend.profiles().contains(profile));
        let made_by = by.next().and_then(|it| it.made_by(&profile.name));
        let key = Key::new(profile.name.clone(), model.clone(), extent);
        Some(key.made_by(made_by))
    }

    /// A job of that key has ended. Blocks for some milliseconds.
    pub(super) fn observe(&self, key: &Key, sample: &Sample) {
        let Some((footprints, _)) = &self.learned else {
            return;
        };
        match footprints.observe(key, sample) {
            Ok(told) if told.slow => {
                tracing::warn!({ fields::PROFILE } = %key.profile, "the job took far longer than usual: its model was probably moved out of the card's memory");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(
                    { fields::ERROR } = chain(&error),
                    "what a job needed is not kept"
                );
            }
        }
    }

    /// How long such work takes here, where that was measured. Blocks for some milliseconds.
    pub(super) fn usual(&self, profile: &ProfileName) -> Option<Usual> {
        let (footprints, model) = self.learned.as_ref()?;
        footprints.usual(profile, model)
    }
}

fn learned(
    user: &User,
    probe: &NvmlProbe,
    device: &FoundDevice,
) -> Option<(Footprints, DeviceModel)> {
    let folder = user.settings.footprints.as_ref();
    let folder = folder.unwrap_or(&user.footprints);
    let total = probe.memory(&device.uuid).ok()?.total;
    let model = DeviceModel {
        name: device.name.clone(),
        total,
    };
    match Footprints::open(folder) {
        Ok(footprints) => Some((footprints, model)),
        Err(error) => {
            tracing::warn!(
                { fields::ERROR } = chain(&error),
                "what jobs need is not kept; see gpu.footprints"
            );
            None
        }
    }
}

fn rhythm(pace: Pace) -> Rhythm {
    Rhythm {
        often: pace.of(SAMPLED_EACH),
        seldom: SAMPLED_IDLE,
    }
}

/// The gate's numbers where time goes that fast.
pub(super) fn policy(pace: Pace) -> Policy {
    let usual = Policy::default();
    Policy {
        aged_after: pace.of(usual.aged_after),
        passing_until: pace.of(usual.passing_until),
        ..usual
    }
}

pub(super) fn aging(pace: Pace) -> Aging {
    Aging {
        story_after: pace.of(Aging::default().story_after),
    }
}

pub(super) fn settling(pace: Pace) -> Settling {
    let usual = Settling::default();
    Settling {
        unseen_within: pace.of(usual.unseen_within),
        ..usual
    }
}

/// A probe for these settings.
pub(super) fn probe(settings: &GpuSettings) -> Arc<NvmlProbe> {
    Arc::new(NvmlProbe::new(NvmlOptions {
        library: settings.library.clone(),
        ..NvmlOptions::default()
    }))
}

/// What that backend is called on this host.
pub(super) fn backend_id(backend: &dyn Backend, worker: &WorkerId) -> BackendId {
    let own = || BackendId(format!("{}@{worker}", backend.name()));
    backend.on_card().id.unwrap_or_else(own)
}

fn choose(choice: &DeviceChoice, mut found: Vec<FoundDevice>) -> Result<FoundDevice, NoCard> {
    let place = match choice {
        DeviceChoice::None => return Err(NoCard::Unwanted),
        _ if found.is_empty() => return Err(NoCard::Empty),
        DeviceChoice::Auto if found.len() > 1 => return Err(NoCard::Several(found)),
        DeviceChoice::Auto => Some(0),
        DeviceChoice::Index(index) => (*index < found.len()).then_some(*index),
        DeviceChoice::Uuid(uuid) => {
            let mut begins = (0..found.len()).filter(|it| found[*it].uuid.0.starts_with(uuid));
            // A beginning that two share names neither.
            begins.next().filter(|_| begins.next().is_none())
        }
    };
    match place {
        Some(place) => Ok(found.swap_remove(place)),
        None => Err(NoCard::NotThere(choice.clone(), found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::reading::DeviceUuid;

    fn found(uuids: &[&str]) -> Vec<FoundDevice> {
        let device = |uuid: &&str| FoundDevice {
            uuid: DeviceUuid((*uuid).to_owned()),
            name: "Card".to_owned(),
        };
        uuids.iter().map(device).collect()
    }

    fn chosen(choice: &str, uuids: &[&str]) -> Result<String, String> {
        choose(&DeviceChoice::from(choice.to_owned()), found(uuids))
            .map(|device| device.uuid.0)
            .map_err(|no| no.to_string())
    }

    #[test]
    fn the_only_card_is_taken_and_of_several_the_one_that_is_named() {
        let two = ["GPU-1a", "GPU-1b"];
        assert_eq!(chosen("auto", &two[..1]).unwrap(), "GPU-1a");
        assert_eq!(chosen("1", &two).unwrap(), "GPU-1b");
        assert_eq!(chosen("GPU-1b", &two).unwrap(), "GPU-1b");
        let several = chosen("auto", &two).unwrap_err();
        assert!(several.contains("name one in gpu.device: GPU-1a (Card), GPU-1b (Card)"));
        for absent in ["2", "GPU-1", "GPU-2"] {
            let why = chosen(absent, &two).unwrap_err();
            assert!(why.contains(&format!("no card {absent}")), "{why}");
        }
        assert!(chosen("auto", &[]).unwrap_err().contains("no card"));
        assert!(chosen("none", &two).unwrap_err().contains("none"));
    }
}
