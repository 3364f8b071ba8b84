//! What a worker of the race sees: the card by NVML, through the sampler of its process; and a host that is large enough.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use shared::byte_size::ByteSize;
use tokio::runtime::{Builder, Runtime};
use worker_runtime::gpu::admit::Backend;
use worker_runtime::gpu::gate::{Seen, Sight};
use worker_runtime::gpu::ledger::BackendKind;
use worker_runtime::gpu::probe::GpuProbe;
use worker_runtime::gpu::probe::nvml::{NvmlOptions, NvmlProbe};
use worker_runtime::gpu::probe::sampler::{Rhythm, Sampler};
use worker_runtime::gpu::reading::{DeviceUuid, HostReading};

use crate::backends::name_of;
use crate::plan::CONTEXT;
use crate::worker::Orders;

/// A decision does not wait longer for a reading.
const DEADLINE: Duration = Duration::from_millis(500);
/// How often free memory is read in between.
const INTERVAL: Duration = Duration::from_millis(100);

pub(crate) struct View {
    probe: Arc<NvmlProbe>,
    device: DeviceUuid,
    runtime: Runtime,
    sampler: Sampler,
    backend: Backend,
    took: AtomicU64,
}

impl View {
    pub(crate) fn new(orders: &Orders) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()?;
        let probe = Arc::new(NvmlProbe::new(NvmlOptions {
            library: Some(orders.library.clone()),
            ..NvmlOptions::default()
        }));
        let device = DeviceUuid(orders.device.clone());
        let sampler = Sampler::start(
            Arc::clone(&probe) as _,
            device.clone(),
            Rhythm::always(INTERVAL),
        )?;
        let (address, pid) = orders.own_backend();
        Ok(Self {
            probe,
            device,
            runtime,
            sampler,
            backend: Backend {
                id: name_of(address),
                kind: BackendKind::Replacing,
                pids: vec![pid],
                live: true,
                reported: None,
                residue: CONTEXT,
            },
            took: AtomicU64::new(0),
        })
    }

    /// The backend of this worker.
    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Free memory now.
    pub(crate) fn free_now(&self) -> Option<ByteSize> {
        let memory = self.probe.memory(&self.device).ok()?;
        Some(memory.free)
    }

    /// How long the last look took.
    pub(crate) fn took(&self) -> Duration {
        Duration::from_nanos(self.took.load(Ordering::Relaxed))
    }
}

impl Sight for View {
    fn look(&self) -> Seen {
        let began = Instant::now();
        let reading = self.sampler.reading(DEADLINE);
        let device = self.runtime.block_on(reading);
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.took.store(took, Ordering::Relaxed);
        Seen {
            device,
            host: Some(HostReading {
                ram_total: ByteSize::gib(64),
                ram_available: ByteSize::gib(48),
                cores: 16,
                cpu_idle: Some(1.0),
                age: Duration::ZERO,
            }),
            backends: vec![self.backend.clone()],
            ram_held: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}
