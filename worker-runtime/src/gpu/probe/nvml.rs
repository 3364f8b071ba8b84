//! The probe over NVIDIA's management library. Devices are named by UUID at each call: handles do not outlive a session with
//! the library, and indices not a restart.

mod figures;
mod lists;
mod session;
mod survey;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use shared::byte_size::ByteSize;
use shared::fields;

pub use self::figures::MemoryCall;
use self::session::Session;
use self::survey::Survey;
use super::host::HostProbe;
use super::{Fault, FoundDevice, GPU_UUID, GpuProbe, Memory, trust};
use crate::gpu::reading::{DeviceReading, DeviceUuid, Health, Holder, Holders};

/// How the library is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvmlOptions {
    /// The library; the system's own if absent.
    pub library: Option<PathBuf>,
    /// Pause between two tries to open the library anew for a device that is lost.
    pub renew_after: Duration,
    /// The same, where the driver is absent or of another version than the library.
    pub reopen_after: Duration,
    /// Pause before figures of processes are looked at again that could not be believed.
    pub distrust_for: Duration,
    /// How long a device gets nothing new after its clocks were held down because of heat or power.
    pub rest_for: Duration,
}

impl Default for NvmlOptions {
    fn default() -> Self {
        Self {
            library: None,
            renew_after: Duration::from_secs(5),
            reopen_after: Duration::from_secs(60),
            distrust_for: Duration::from_secs(60),
            rest_for: Duration::from_secs(60),
        }
    }
}

/// Reads devices through NVIDIA's library, which it opens when it is first needed.
#[derive(Debug)]
pub struct NvmlProbe {
    session: Session,
    distrust_for: Duration,
    rest_for: Duration,
    notes: Mutex<HashMap<DeviceUuid, Notes>>,
    host: Mutex<Option<HostProbe>>,
}

/// What is remembered of a device from one reading to the next.
#[derive(Debug, Default)]
struct Notes {
    /// Since when figures of its processes are not believed, and why.
    distrust: Option<(Instant, String)>,
    /// When its clocks were last seen held down, and why.
    strained: Option<(Instant, &'static str)>,
}

impl NvmlProbe {
    /// A probe that has opened nothing yet.
    pub fn new(options: NvmlOptions) -> Self {
        let NvmlOptions {
            library,
            renew_after,
            reopen_after,
            distrust_for,
            rest_for,
        } = options;
        Self {
            session: Session::new(library, renew_after, reopen_after),
            distrust_for,
            rest_for,
            notes: Mutex::default(),
            host: Mutex::new(HostProbe::new().ok()),
        }
    }

    /// Version of the driver.
    ///
    /// # Errors
    /// If it cannot be told.
    pub fn driver_version(&self) -> Result<String, Fault> {
        self.session.call(Nvml::sys_driver_version)
    }

    /// The memory of a device as one call of the library tells it, without falling back to the other.
    ///
    /// # Errors
    /// If that call fails.
    pub fn memory_by(&self, device: &DeviceUuid, call: MemoryCall) -> Result<Memory, Fault> {
        self.session
            .call(|nvml| call.read(&nvml.device_by_uuid(device.0.as_str())?))
    }

    /// What a survey means, with what is remembered of the device.
    fn judge(&self, device: &DeviceUuid, survey: Survey) -> DeviceReading {
        let holders = survey.figures.and_then(|figures| {
            trust::believed(&figures, &survey.memory).map_err(|distrust| distrust.to_string())
        });
        let holders = match holders {
            Ok(holders) => {
                self.note(device, |notes| notes.distrust = None);
                Holders::Known(self.named(holders))
            }
            Err(why) => {
                // What moves too fast now may be believed at the next look.
                if survey.unsettled.is_none() {
                    self.doubt(device, &why);
                }
                Holders::Unknown(why)
            }
        };
        let strained = self.note(device, |notes| {
            let seen = survey.strained.map(|why| (survey.at, why));
            let lasting = notes
                .strained
                .filter(|(at, _)| at.elapsed() < self.rest_for);
            notes.strained = seen.or(lasting);
            notes.strained
        });
        let health = match (survey.unsettled, strained) {
            (Some(why), _) => Health::Unsettled(why),
            (None, Some((_, why))) => Health::Unsettled(why.to_owned()),
            (None, None) => Health::Well,
        };
        DeviceReading {
            uuid: device.clone(),
            name: survey.name,
            total: survey.memory.total,
            reserved: survey.memory.reserved,
            used: survey.memory.used,
            free: survey.memory.free,
            holders,
            health,
            age: survey.at.elapsed(),
        }
    }

    /// Why the figures of a device's processes are not even asked for now.
    fn distrust(&self, device: &DeviceUuid) -> Option<String> {
        self.note(device, |notes| {
            let (since, why) = notes.distrust.as_ref()?;
            (since.elapsed() < self.distrust_for).then(|| why.clone())
        })
    }

    /// Remembers that the figures could not be believed; says it when it is new.
    fn doubt(&self, device: &DeviceUuid, why: &str) {
        let is_new = self.note(device, |notes| match &notes.distrust {
            Some((since, known)) if known == why && since.elapsed() < self.distrust_for => false,
            before => {
                let is_new = before.is_none();
                notes.distrust = Some((Instant::now(), why.to_owned()));
                is_new
            }
        });
        if is_new {
            tracing::warn!(
                { GPU_UUID } = %device,
                { fields::REASON } = why,
                "it cannot be told who holds the memory of the device"
            );
        }
    }

    fn note<T>(&self, device: &DeviceUuid, note: impl FnOnce(&mut Notes) -> T) -> T {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        match notes.get_mut(device) {
            Some(notes) => note(notes),
            None => note(notes.entry(device.clone()).or_default()),
        }
    }

    fn named(&self, holders: Vec<(u32, ByteSize)>) -> Vec<Holder> {
        let mut host: MutexGuard<'_, Option<HostProbe>> =
            self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = |(pid, used)| Holder {
            pid,
            program: host.as_mut().and_then(|host| host.program(pid)),
            used,
        };
        holders.into_iter().map(holder).collect()
    }
}

impl GpuProbe for NvmlProbe {
    fn devices(&self) -> Result<Vec<FoundDevice>, Fault> {
        self.session.call(|nvml| {
            let mut found = Vec::new();
            let mut failure = None;
            for index in 0..nvml.device_count()? {
                // One device that is lost does not hide the others.
                match nvml
                    .device_by_index(index)
                    .and_then(|device| usable(&device))
                {
                    Ok(devices) => found.extend(devices),
                    Err(error) => failure = Some(error),
                }
            }
            match failure {
                Some(error) if found.is_empty() => Err(error),
                _ => Ok(found),
            }
        })
    }

    fn memory(&self, device: &DeviceUuid) -> Result<Memory, Fault> {
        self.session
            .call(|nvml| figures::memory(&nvml.device_by_uuid(device.0.as_str())?))
    }

    fn reading(&self, device: &DeviceUuid) -> DeviceReading {
        let distrust = self.distrust(device);
        let survey = self.session.call(|nvml| {
            survey::survey(
                &nvml.device_by_uuid(device.0.as_str())?,
                distrust.as_deref(),
            )
        });
        match survey {
            Ok(survey) => self.judge(device, survey),
            Err(fault) => fault.reading(device),
        }
    }
}

/// A device, or its MIG instances in its place.
fn usable(device: &Device<'_>) -> Result<Vec<FoundDevice>, NvmlError> {
    let found = |device: &Device<'_>| {
        Ok(FoundDevice {
            uuid: DeviceUuid(device.uuid()?),
            name: device.name()?,
        })
    };
    // Most devices cannot be divided, and say so.
    if device.mig_mode().map_or(0, |mode| mode.current) == 0 {
        return Ok(vec![found(device)?]);
    }
    let places = 0..device.mig_device_count()?;
    let instances = places.map(|place| device.mig_device_by_index(place));
    // Places without an instance are normal.
    instances
        .flatten()
        .map(|instance| found(&instance))
        .collect()
}
