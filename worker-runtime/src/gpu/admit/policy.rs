//! The numbers that the gate goes by.

use std::time::Duration;

use shared::byte_size::ByteSize;

/// The numbers that the gate goes by. The defaults are for a Linux host without a desktop on the card.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Device memory that is never promised, at least.
    pub margin_floor: ByteSize,
    /// The same as a share of the usable memory, in hundredths.
    pub margin_percent: u64,
    /// How much foreign memory may rise during one job; learned.
    pub drift: ByteSize,
    /// A reading of a device that is older admits nothing.
    pub reading_limit: Duration,
    /// A reading of the host that is older admits nothing.
    pub host_limit: Duration,
    /// Host memory that is never promised.
    pub ram_margin: ByteSize,
    /// The idle share of the processors that busy work on the host waits for while a video job runs.
    pub cpu_idle: f64,
    /// Processors that busy work leaves to a running video job.
    pub cores_left: u32,
    /// A request that has waited this long has aged: minimum residency and the processors no longer hold it up.
    pub aged_after: Duration,
    /// A model stays loaded this long at least once it is idle, unless the request has aged.
    pub min_residency: Duration,
    /// Requests that may pass the head of the queue come from that many first places.
    pub passing_places: usize,
    /// Nobody passes a head that has waited this long.
    pub passing_until: Duration,
    /// Eviction plans for one request.
    pub eviction_plans: u32,
    /// Without attribution, a model counts as loaded as long as free memory has not fallen by more than this.
    pub warm_tolerance: ByteSize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            margin_floor: ByteSize::mib(512),
            margin_percent: 3,
            drift: ByteSize::mib(256),
            reading_limit: Duration::from_millis(500),
            host_limit: Duration::from_secs(2),
            ram_margin: ByteSize::gib(1),
            cpu_idle: 0.4,
            cores_left: 2,
            aged_after: Duration::from_secs(180),
            min_residency: Duration::ZERO,
            passing_places: 3,
            passing_until: Duration::from_secs(60),
            eviction_plans: 2,
            warm_tolerance: ByteSize::mib(256),
        }
    }
}
