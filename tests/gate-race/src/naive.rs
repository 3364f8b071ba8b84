//! The strategy that the gate is measured against: a job begins when as much is free as it needs. Here to show that the race
//! would tell if cards were over-committed.

use std::time::{Duration, Instant};

use anyhow::Result;
use simulated_gpu::Client;
use worker_runtime::gpu::probe::GpuProbe;
use worker_runtime::gpu::probe::nvml::{NvmlOptions, NvmlProbe};
use worker_runtime::gpu::reading::DeviceUuid;

use crate::plan::Planned;
use crate::report::Report;
use crate::worker::{Orders, run};

/// After this long, what is idle is asked to unload.
const UNLOADS_AFTER: Duration = Duration::from_millis(100);

/// Compares free memory with what a job needs.
pub(crate) struct Naive {
    probe: NvmlProbe,
    device: DeviceUuid,
    all: Vec<Client>,
}

impl Naive {
    pub(crate) fn new(orders: &Orders) -> Self {
        Self {
            probe: NvmlProbe::new(NvmlOptions {
                library: Some(orders.library.clone()),
                ..NvmlOptions::default()
            }),
            device: DeviceUuid(orders.device.clone()),
            all: orders
                .backends
                .iter()
                .map(|(address, _)| Client::at(*address))
                .collect(),
        }
    }

    /// Waits until that job may begin, and has it done; whether it is, or none if it was not to wait any longer.
    pub(crate) fn run(
        &self,
        job: &Planned,
        backend: Client,
        mut may_wait: impl FnMut() -> bool,
    ) -> Result<Option<bool>> {
        let id = job.id.to_string();
        // Its life before may have begun it; and no naive worker is so naive as to give its backend two jobs.
        let before = backend.wait_until_idle(Duration::from_secs(60))?;
        if before.ended(&id).is_none() {
            let mut asked = Instant::now();
            while self.probe.memory(&self.device)?.free < job.peak {
                if asked.elapsed() >= UNLOADS_AFTER {
                    asked = Instant::now();
                    self.unload_the_idle();
                }
                if !may_wait() {
                    Report::Waited { admitted: false }.tell();
                    return Ok(None);
                }
            }
            Report::Waited { admitted: true }.tell();
        }
        run(job, backend).map(Some)
    }

    /// Without this, models that nobody needs would fill the card, and its own would be the first.
    fn unload_the_idle(&self) {
        for backend in &self.all {
            if backend
                .state()
                .is_ok_and(|state| state.is_idle() && !state.models.is_empty())
            {
                let _ = backend.unload(None);
            }
        }
    }
}
