//! NVIDIA's management library, the cards that it knows, and the ledger that workers share them by.

use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::byte_size::ByteSize;
use tokio::sync::oneshot;
use tokio::time::timeout;
use worker_runtime::gpu::ledger::default_place;
use worker_runtime::gpu::probe::nvml::{NvmlOptions, NvmlProbe};
use worker_runtime::gpu::probe::{Fault, FoundDevice, GpuProbe};
use worker_runtime::settings::{DeviceChoice, GpuSettings};

use super::{Check, Verdict};

/// A driver that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is free of a card, and all there is.
type Memory = Result<(ByteSize, ByteSize), Fault>;

/// What the library says.
struct Seen {
    driver: String,
    devices: Vec<(FoundDevice, Memory)>,
}

/// Looks for the card of the settings. A machine without one makes films all the same.
pub(crate) async fn card(settings: &GpuSettings) -> Check {
    let what = "card";
    if settings.device == DeviceChoice::None {
        return Check::new(what, Verdict::Note, "the settings name none (gpu.device)");
    }
    let seen = match look(settings.library.clone()).await {
        None => {
            let told = format!(
                "the driver has not answered for {} s; `nvidia-smi` will hang, too: restart the machine",
                PATIENCE.as_secs()
            );
            return Check::new(what, Verdict::Bad, told);
        }
        Some(Err(fault)) if fault.is_no_driver() && settings.device == DeviceChoice::Auto => {
            let told =
                format!("none that can be used, so nothing that needs one is made here ({fault})");
            return Check::new(what, Verdict::Note, told);
        }
        Some(Err(fault)) => {
            let told = format!("{fault}; the settings name a card (gpu.device)");
            let told = match settings.device {
                DeviceChoice::Auto => fault.to_string(),
                _ => told,
            };
            return Check::new(what, Verdict::Bad, told);
        }
        Some(Ok(seen)) => seen,
    };
    judge(settings, &seen)
}

fn judge(settings: &GpuSettings, seen: &Seen) -> Check {
    let what = "card";
    let list: Vec<String> = seen
        .devices
        .iter()
        .enumerate()
        .map(|(place, (device, memory))| {
            let memory = match memory {
                Ok((free, total)) => format!("{free} of {total} free"),
                Err(fault) => fault.to_string(),
            };
            format!("{place}: {} ({}), {memory}", device.uuid, device.name)
        })
        .collect();
    let chosen = match &settings.device {
        DeviceChoice::None => return Check::new(what, Verdict::Note, "none is wanted"),
        DeviceChoice::Auto => match seen.devices.len() {
            0 => {
                let told = format!("driver {} knows no card", seen.driver);
                return Check::new(what, Verdict::Note, told);
            }
            1 => Some(0),
            _ => {
                let told = "there are several; name one for each worker (gpu.device)";
                return Check::new(what, Verdict::Bad, told).with(list);
            }
        },
        DeviceChoice::Index(index) => (*index < seen.devices.len()).then_some(*index),
        DeviceChoice::Uuid(uuid) => {
            let begins = |it: &usize| seen.devices[*it].0.uuid.0.starts_with(uuid);
            let mut begins = (0..seen.devices.len()).filter(begins);
            // A beginning that two share names neither.
            begins.next().filter(|_| begins.next().is_none())
        }
    };
    let Some((device, memory)) = chosen.map(|place| &seen.devices[place]) else {
        let name = String::from(settings.device.clone());
        let told = format!("there is no card {name} here (gpu.device)");
        return Check::new(what, Verdict::Bad, told).with(list);
    };
    match memory {
        Ok((free, total)) => {
            let told = format!(
                "{}, {free} of {total} free, driver {}",
                device.name, seen.driver
            );
            Check::new(what, Verdict::Well, told)
        }
        Err(fault) => {
            let told = format!("{} cannot be read: {fault}", device.name);
            Check::new(what, Verdict::Bad, told)
        }
    }
}

/// On a thread of its own: a call of a sick driver may never end, and nobody waits for such a thread when the program ends.
async fn look(library: Option<PathBuf>) -> Option<Result<Seen, Fault>> {
    let (tell, told) = oneshot::channel();
    let ask = move || {
        let probe = NvmlProbe::new(NvmlOptions {
            library,
            ..NvmlOptions::default()
        });
        // Whoever asked may have given up.
        let _ = tell.send(see(&probe));
    };
    std::thread::Builder::new()
        .name("gpu-doctor".to_owned())
        .spawn(ask)
        .ok()?;
    timeout(PATIENCE, told).await.ok()?.ok()
}

fn see(probe: &NvmlProbe) -> Result<Seen, Fault> {
    let devices = probe.devices()?.into_iter().map(|device| {
        let memory = probe.memory(&device.uuid);
        (device, memory.map(|memory| (memory.free, memory.total)))
    });
    Ok(Seen {
        driver: probe.driver_version()?,
        devices: devices.collect(),
    })
}

/// Looks whether the folder can be used that all workers of this machine must share.
pub(crate) fn ledger(settings: &GpuSettings) -> Check {
    let what = "ledger";
    let folder = settings
        .ledger
        .clone()
        .unwrap_or_else(|| default_place(None));
    let existing = folder
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    let shown = folder.display();
    match tempfile::Builder::new()
        .prefix(".callsheet-doctor-")
        .tempfile_in(existing)
    {
        Ok(_) => Check::new(what, Verdict::Well, shown.to_string()),
        Err(error) => {
            let told = format!(
                "cannot write into {}: {error}; all workers that share a card must be able to (gpu.ledger)",
                existing.display()
            );
            Check::new(what, Verdict::Bad, told)
        }
    }
}

#[cfg(test)]
mod tests {
    use worker_runtime::gpu::reading::DeviceUuid;

    use super::*;

    fn judged(choice: &str, uuids: &[&str]) -> Check {
        let device = |uuid: &&str| {
            let found = FoundDevice {
                uuid: DeviceUuid((*uuid).to_owned()),
                name: "Card".to_owned(),
            };
            (found, Ok((ByteSize::gib(20), ByteSize::gib(24))))
        };
        let seen = Seen {
            driver: "550.1".to_owned(),
            devices: uuids.iter().map(device).collect(),
        };
        let settings = GpuSettings {
            device: DeviceChoice::from(choice.to_owned()),
            ..GpuSettings::default()
        };
        judge(&settings, &seen)
    }

    #[test]
    fn the_card_of_the_settings_must_be_there_and_only_one_need_not_be_named() {
        let two = ["GPU-1a", "GPU-1b"];
        assert_eq!(judged("auto", &two[..1]).verdict, Verdict::Well);
        assert_eq!(judged("auto", &[]).verdict, Verdict::Note);
        assert_eq!(judged("GPU-1b", &two).verdict, Verdict::Well);
        assert_eq!(judged("1", &two).verdict, Verdict::Well);
        for wrong in ["auto", "2", "GPU-1", "GPU-2"] {
            let check = judged(wrong, &two);
            assert_eq!(check.verdict, Verdict::Bad, "{wrong}");
            assert_eq!(check.more.len(), 2, "{wrong}");
        }
    }

    #[test]
    fn a_ledger_must_be_writable_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let at = |ledger: PathBuf| GpuSettings {
            ledger: Some(ledger),
            ..GpuSettings::default()
        };
        assert_eq!(
            ledger(&at(folder.path().join("new"))).verdict,
            Verdict::Well
        );
        let bad = ledger(&at(file.join("ledger")));
        assert_eq!(bad.verdict, Verdict::Bad);
        assert!(bad.told.contains("gpu.ledger"), "{}", bad.told);
    }
}
