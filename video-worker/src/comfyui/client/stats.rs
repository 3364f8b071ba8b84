//! What the server says of itself and its devices. Pure.

use std::fmt;

use serde_json::Value;
use shared::byte_size::ByteSize;

use super::error::ComfyError;

/// A server and its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Its version.
    pub version: Version,
    /// Its system, in its own words: `posix` and `nt` before, `linux` and `win32` now.
    pub os: String,
    /// What it was started with: its script, and what follows on its command line.
    pub arguments: Vec<String>,
    /// Host memory that is free.
    pub ram_free: ByteSize,
    /// Its devices, the first one in use.
    pub devices: Vec<StatsDevice>,
}

/// A device as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsDevice {
    /// Its name.
    pub name: String,
    /// `cuda`, or `cpu`, whose memory is the host's.
    pub kind: String,
    /// All memory.
    pub total: ByteSize,
    /// What the driver calls free, and what the server's pool holds unused.
    pub free: ByteSize,
    /// What the server's pool holds.
    pub pool: ByteSize,
    /// What of the pool is unused.
    pub pool_free: ByteSize,
}

/// A version of ComfyUI, compared as numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// The oldest that knows a prompt by the id that we give it and can interrupt it by that.
    pub const OLDEST: Self = Self(0, 3, 57);

    /// Reads it; what is no number counts as 0.
    pub fn read(text: &str) -> Self {
        let mut parts = text.trim_start_matches('v').split('.').map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or(0)
        });
        let mut next = || parts.next().unwrap_or(0);
        Self(next(), next(), next())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Stats {
    /// Reads the server's answer.
    ///
    /// # Errors
    /// If the server is none of ComfyUI's.
    pub fn read(body: &Value) -> Result<Self, ComfyError> {
        let system = &body["system"];
        let Some(version) = system["comfyui_version"].as_str() else {
            return Err(ComfyError::NotComfy {
                why: "it does not say a version of ComfyUI".to_owned(),
            });
        };
        let arguments = system["argv"].as_array().into_iter().flatten();
        let devices = body["devices"].as_array().into_iter().flatten();
        Ok(Self {
            version: Version::read(version),
            os: system["os"].as_str().unwrap_or_default().to_owned(),
            arguments: arguments
                .filter_map(|it| it.as_str().map(ToOwned::to_owned))
                .collect(),
            ram_free: bytes(&system["ram_free"]),
            devices: devices.map(StatsDevice::read).collect(),
        })
    }

    /// The device that it works on, if that is a card.
    pub fn card(&self) -> Option<&StatsDevice> {
        self.devices.first().filter(|device| device.kind == "cuda")
    }

    /// What it certainly holds of its card: the pages of its newer memory manager are not in this figure.
    pub fn holds(&self) -> Option<ByteSize> {
        let card = self.card()?;
        let held = card
            .pool
            .as_bytes()
            .saturating_sub(card.pool_free.as_bytes());
        Some(ByteSize::bytes(held))
    }
}

impl StatsDevice {
    fn read(device: &Value) -> Self {
        let text = |key: &str| device[key].as_str().unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            kind: text("type"),
            total: bytes(&device["vram_total"]),
            free: bytes(&device["vram_free"]),
            pool: bytes(&device["torch_vram_total"]),
            pool_free: bytes(&device["torch_vram_free"]),
        }
    }
}

fn bytes(value: &Value) -> ByteSize {
    ByteSize::bytes(value.as_u64().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stats(kind: &str) -> Value {
        json!({
            "system": {"os": "linux", "ram_free": 100, "comfyui_version": "0.33.0"},
            "devices": [{"name": "x", "type": kind, "index": null, "vram_total": 50, "vram_free": 40, "torch_vram_total": 30, "torch_vram_free": 10}],
        })
    }

    #[test]
    fn a_card_is_told_from_a_host_that_stands_in_for_one() {
        assert_eq!(
            Stats::read(&stats("cuda")).unwrap().holds(),
            Some(ByteSize::bytes(20))
        );
        assert_eq!(Stats::read(&stats("cpu")).unwrap().holds(), None);
    }

    #[test]
    fn another_server_is_not_taken_for_comfyui() {
        for body in [json!({}), json!([]), json!({"system": {}}), json!("ok")] {
            assert!(
                matches!(Stats::read(&body), Err(ComfyError::NotComfy { .. })),
                "{body}"
            );
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(Version::read("0.3.64") < Version::read("0.26.0"));
        assert!(Version::read("v0.33.0-dev") > Version::OLDEST);
        assert!(Version::read("0.3.56") < Version::OLDEST);
        assert_eq!(Version::read("odd"), Version(0, 0, 0));
    }
}
