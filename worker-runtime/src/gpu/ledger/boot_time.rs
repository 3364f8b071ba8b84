//! Time since the machine was started: one clock for all processes of a host, which no time server sets and which goes on
//! while the machine sleeps. The only place that reads it is [`BootTime::now`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time, counted from the start of the machine.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BootTime(u64);

impl BootTime {
    /// That long after the start.
    pub const fn after(start: Duration) -> Self {
        let nanos = start.as_nanos();
        // 584 years fit.
        #[expect(clippy::cast_possible_truncation, reason = "no machine runs that long")]
        Self(nanos as u64)
    }

    /// How long after the start.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// How long after that point; nothing when it is before.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// That much later.
    pub fn plus(self, time: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// Now.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn now() -> Self {
        Self::of(rustix::time::clock_gettime(rustix::time::ClockId::Boottime))
    }

    /// Now. On macOS this clock goes on while the machine sleeps.
    #[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
    pub fn now() -> Self {
        Self::of(rustix::time::clock_gettime(
            rustix::time::ClockId::Monotonic,
        ))
    }

    /// Now. The wall clock stands in where std offers no clock that processes share: a clock that is set back keeps a claim
    /// or a settling entry for longer, one that is set forward ends it early; neither frees what a job holds.
    #[cfg(not(unix))]
    pub fn now() -> Self {
        Self::after(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default(),
        )
    }

    /// The start of the machine, as [`BootTime::now`] counts.
    #[cfg(unix)]
    pub fn start() -> Self {
        Self::default()
    }

    /// The start of the machine, as [`BootTime::now`] counts: nothing is older where it cannot be told.
    #[cfg(not(unix))]
    pub fn start() -> Self {
        let seconds = sysinfo::System::boot_time().unwrap_or(0);
        Self::after(Duration::from_secs(seconds))
    }

    #[cfg(unix)]
    fn of(time: rustix::time::Timespec) -> Self {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        Self::after(Duration::new(seconds, nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_from_the_start_of_the_machine_and_goes_on() {
        let first = BootTime::now();
        let second = BootTime::now();
        assert!(second >= first && first > BootTime::start());
        #[cfg(target_os = "linux")]
        {
            let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
            let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
            assert!((seconds - first.since_start().as_secs_f64()).abs() < 1.0);
        }
    }
}
