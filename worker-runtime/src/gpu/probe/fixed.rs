//! A probe that says what a test tells it to say, for what stands above it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use shared::byte_size::ByteSize;

use super::{Fault, FoundDevice, GpuProbe, Memory};
use crate::gpu::reading::{DeviceReading, DeviceUuid, Health, Holders};

/// A probe of one device of 24 GiB.
#[derive(Debug, Default)]
pub(super) struct FixedProbe {
    /// What is free at each look, in turn; the last one stays.
    pub(super) free: Mutex<VecDeque<Result<ByteSize, Fault>>>,
    /// Each look and each reading waits for a word, if there is someone to give it.
    pub(super) gate: Option<Mutex<Receiver<()>>>,
}

impl FixedProbe {
    pub(super) fn of<const N: usize>(free: [Result<ByteSize, Fault>; N]) -> Self {
        Self {
            free: Mutex::new(free.into()),
            gate: None,
        }
    }

    fn look(&self) -> Result<Memory, Fault> {
        if let Some(gate) = &self.gate {
            // Who has gone lets everything pass.
            let _ = gate.lock().unwrap().recv();
        }
        let mut free = self.free.lock().unwrap();
        let now = match free.len() {
            1 => free[0].clone(),
            _ => free.pop_front().expect("a test says what is free"),
        };
        now.map(|free| Memory {
            total: ByteSize::gib(24),
            reserved: ByteSize::ZERO,
            used: ByteSize::bytes(ByteSize::gib(24).as_bytes() - free.as_bytes()),
            free,
        })
    }
}

impl GpuProbe for FixedProbe {
    fn devices(&self) -> Result<Vec<FoundDevice>, Fault> {
        Ok(vec![FoundDevice {
            uuid: DeviceUuid("GPU-fixed".to_owned()),
            name: "Fixed".to_owned(),
        }])
    }

    fn memory(&self, _device: &DeviceUuid) -> Result<Memory, Fault> {
        self.look()
    }

    fn reading(&self, device: &DeviceUuid) -> DeviceReading {
        match self.look() {
            Ok(memory) => DeviceReading {
                uuid: device.clone(),
                name: "Fixed".to_owned(),
                total: memory.total,
                reserved: memory.reserved,
                used: memory.used,
                free: memory.free,
                holders: Holders::Known(Vec::new()),
                health: Health::Well,
                age: Duration::ZERO,
            },
            Err(fault) => fault.reading(device),
        }
    }
}
