//! Memory and processors of this host: what this process may use of them, which in a container is less than what is there. Where
//! the work is done outside of that container, all memory of the machine counts.

use std::fmt;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use shared::byte_size::ByteSize;
use sysinfo::{
    CGroupLimits, MINIMUM_CPU_UPDATE_INTERVAL, MemoryRefreshKind, Pid, ProcessRefreshKind,
    ProcessesToUpdate, System,
};

use crate::gpu::reading::HostReading;
use crate::settings::HostMemory;

/// The host is read again after this long.
const KEEPS: Duration = Duration::from_millis(500);

/// Where readings of the host come from.
pub trait HostSource: fmt::Debug + Send + Sync {
    /// The host now, with the age of the reading; nothing if it cannot be read. Returns within a millisecond.
    fn read(&self) -> Option<HostReading>;
}

/// This machine, which is read twice a second at most, however often it is asked for.
#[derive(Debug, Default)]
pub struct ThisHost {
    memory: HostMemory,
    kept: Mutex<Option<Kept>>,
}

impl ThisHost {
    /// The same, of which that memory counts.
    pub fn counting(memory: HostMemory) -> Self {
        Self {
            memory,
            kept: Mutex::default(),
        }
    }
}

#[derive(Debug)]
struct Kept {
    /// Absent where this system cannot be read.
    probe: Option<HostProbe>,
    last: Option<(HostReading, Instant)>,
}

impl Kept {
    fn new(memory: HostMemory) -> Self {
        let probe = HostProbe::new().map(|probe| probe.counting(memory));
        if let Err(error) = &probe {
            tracing::warn!(
                error,
                "the host cannot be read; work that needs its memory waits"
            );
        }
        Self {
            probe: probe.ok(),
            last: None,
        }
    }

    fn read(&mut self) -> Option<HostReading> {
        if let Some((reading, at)) = &self.last
            && at.elapsed() < KEEPS
        {
            return Some(HostReading {
                age: reading.age + at.elapsed(),
                ..reading.clone()
            });
        }
        let reading = self.probe.as_mut()?.read();
        self.last = Some((reading.clone(), Instant::now()));
        Some(reading)
    }
}

impl HostSource for ThisHost {
    fn read(&self) -> Option<HostReading> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get_or_insert_with(|| Kept::new(self.memory)).read()
    }
}

/// Reads the host. Its calls are quick, and read files.
#[derive(Debug)]
pub struct HostProbe {
    system: System,
    memory: HostMemory,
    me: Option<Pid>,
    /// When the processors were looked at last, and how idle they had been since the look before.
    cpu: Option<(Instant, Option<f64>)>,
}

impl HostProbe {
    /// A probe that has seen nothing yet.
    ///
    /// # Errors
    /// If this system cannot be read, in the words of the library that tries.
    pub fn new() -> Result<Self, String> {
        Ok(Self {
            system: System::new().map_err(|error| format!("{error:?}"))?,
            memory: HostMemory::default(),
            me: sysinfo::get_current_pid().ok(),
            cpu: None,
        })
    }

    /// The same, of which that memory counts.
    #[must_use]
    pub fn counting(self, memory: HostMemory) -> Self {
        Self { memory, ..self }
    }

    /// The host now. How idle its processors are is known from the second reading on, and is about the time between two
    /// readings.
    pub fn read(&mut self) -> HostReading {
        let began = Instant::now();
        self.system
            .refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let limits = match self.memory {
            HostMemory::Ours => self.limits(),
            HostMemory::Machine => None,
        };
        let host = [self.system.total_memory(), self.system.available_memory()];
        let [ram_total, ram_available] = usable(host, limits.as_ref()).map(ByteSize::bytes);
        let cores = available_parallelism().map_or(1, NonZero::get);
        HostReading {
            ram_total,
            ram_available,
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            cpu_idle: self.cpu_idle(cores),
            age: began.elapsed(),
        }
    }

    /// The name of a process's program, where it can be read.
    pub fn program(&mut self, pid: u32) -> Option<String> {
        let pid = Pid::from_u32(pid);
        self.refresh(pid);
        let process = self.system.process(pid)?;
        Some(process.name().to_string_lossy().into_owned())
    }

    /// The limits of the group of processes that we are in, else those of the container.
    fn limits(&mut self) -> Option<CGroupLimits> {
        let me = self.me?;
        self.refresh(me);
        let own = self.system.process(me).and_then(|me| me.cgroup_limits());
        own.or_else(|| self.system.cgroup_limits())
    }

    fn refresh(&mut self, pid: Pid) {
        self.system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[pid]),
            true,
            ProcessRefreshKind::nothing().without_tasks(),
        );
    }

    fn cpu_idle(&mut self, cores: usize) -> Option<f64> {
        match self.cpu {
            // Nearer looks tell nothing.
            Some((looked_at, idle)) if looked_at.elapsed() < MINIMUM_CPU_UPDATE_INTERVAL => idle,
            before => {
                self.system.refresh_cpu_usage();
                let used = f64::from(self.system.global_cpu_usage()) / 100.0;
                let idle = before.map(|_| idle_share(used, self.system.cpus().len(), cores));
                self.cpu = Some((Instant::now(), idle));
                idle
            }
        }
    }
}

/// How long to wait between two readings to learn how idle the processors are.
pub const CPU_INTERVAL: Duration = MINIMUM_CPU_UPDATE_INTERVAL;

/// Total and available memory for this process, of a host with those. A container's own figure of free memory counts files
/// that were read as taken, though they make way: after a model of 18 GB was loaded, it would say that nothing is left.
fn usable([total, available]: [u64; 2], limits: Option<&CGroupLimits>) -> [u64; 2] {
    match limits {
        None => [total, available],
        Some(limits) => {
            let left = limits.total_memory.saturating_sub(limits.rss);
            [limits.total_memory.min(total), left.min(available)]
        }
    }
}

/// The idle share of those processors that we may use, of a host that is used to that share.
fn idle_share(used: f64, on_host: usize, ours: usize) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "processors are counted in hundreds"
    )]
    let [on_host, ours] = [on_host.max(1), ours.max(1)].map(|count| count as f64);
    let idle = (1.0 - used.clamp(0.0, 1.0)) * on_host;
    (idle / ours).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn limits(total_memory: u64, free_memory: u64, rss: u64) -> CGroupLimits {
        CGroupLimits {
            total_memory,
            free_memory,
            free_swap: 0,
            rss,
        }
    }

    #[test]
    fn without_limits_the_host_is_ours() {
        assert_eq!(usable([64 * GIB, 40 * GIB], None), [64 * GIB, 40 * GIB]);
    }

    #[test]
    fn files_that_were_read_do_not_count_as_taken_in_a_container() {
        let after_a_model_was_read = limits(32 * GIB, GIB, 4 * GIB);
        assert_eq!(
            usable([64 * GIB, 40 * GIB], Some(&after_a_model_was_read)),
            [32 * GIB, 28 * GIB]
        );
    }

    #[test]
    fn a_container_has_no_more_than_its_host() {
        let generous = limits(128 * GIB, 100 * GIB, GIB);
        assert_eq!(
            usable([64 * GIB, 40 * GIB], Some(&generous)),
            [64 * GIB, 40 * GIB]
        );
        let overdrawn = limits(2 * GIB, 0, 3 * GIB);
        assert_eq!(usable([64 * GIB, 40 * GIB], Some(&overdrawn)), [2 * GIB, 0]);
    }

    #[test]
    fn idle_processors_of_the_host_are_ours_as_far_as_we_may_use_them() {
        let table = [
            (0.0, 16, 16, 1.0),
            (0.75, 16, 16, 0.25),
            (0.75, 16, 4, 1.0),
            (0.75, 16, 8, 0.5),
            (1.0, 16, 4, 0.0),
            (f64::from(f32::MAX), 16, 4, 0.0),
        ];
        for (used, on_host, ours, expected) in table {
            let share = idle_share(used, on_host, ours);
            assert!(
                (share - expected).abs() < 1e-9,
                "{used} of {on_host}: {share}"
            );
        }
    }

    #[test]
    fn this_host_can_be_read() {
        let mut probe = HostProbe::new().unwrap();
        let reading = probe.read();
        assert!(reading.ram_total > ByteSize::ZERO, "{reading:?}");
        assert!(reading.ram_available <= reading.ram_total, "{reading:?}");
        assert!(reading.cores > 0, "{reading:?}");
        assert_eq!(reading.cpu_idle, None);
        // A second look at once would tell nothing about the processors.
        assert_eq!(probe.read().cpu_idle, None);
        assert!(probe.program(std::process::id()).is_some());
    }
}
