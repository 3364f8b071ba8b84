//! What the gate answers, with its reasons as data.

use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::{JobId, ProfileName};

use crate::gpu::ledger::{BackendId, EntryId};

/// What the gate answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It may begin.
    Admit {
        /// The most device memory that its backend may now come to hold.
        ceiling: ByteSize,
        /// Processor threads that it should keep to, where a video job runs beside it.
        threads: Option<u32>,
    },
    /// It fits once these have left.
    EvictFirst {
        /// Who is to leave.
        victims: Vec<Victim>,
        /// Free memory that must be read before it is asked again.
        target_free: ByteSize,
        /// What is short.
        short: Box<Shortfall>,
    },
    /// Not now.
    Wait {
        /// Why.
        reason: Waits,
    },
    /// Never on this device of this host.
    Never {
        /// Why.
        reason: NeverFits,
    },
}

/// What is to leave a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// The backend that holds it.
    pub backend: BackendId,
    /// The model, by its entry; absent: everything that the backend has loaded.
    pub model: Option<Model>,
}

/// One loaded model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its entry.
    pub entry: EntryId,
    /// Its profile.
    pub profile: ProfileName,
    /// What it holds.
    pub size: ByteSize,
}

/// Why a job waits.
#[derive(Debug, Clone, PartialEq)]
pub enum Waits {
    /// Nobody knows what it needs.
    NeedUnknown,
    /// The device could not be read.
    NoReading,
    /// The reading contradicts itself.
    ImpossibleReading(Impossible),
    /// The reading is too old.
    StaleReading {
        /// Its age.
        age: Duration,
        /// The oldest that counts.
        limit: Duration,
    },
    /// A promise became smaller after the reading was made: what it gave back may be counted twice.
    OlderThanRelease {
        /// The age of the reading.
        age: Duration,
        /// How long ago the promise became smaller.
        released: Duration,
    },
    /// The device works, but should be given nothing new.
    Unsettled(String),
    /// The device cannot be used.
    Down(String),
    /// Parts of the ledger cannot be read.
    BooksUnreadable(Vec<String>),
    /// The host could not be read.
    NoHostReading,
    /// Host memory is short.
    Ram {
        /// What the job may still take, with the margin.
        need: ByteSize,
        /// What can be had.
        available: ByteSize,
        /// What was promised to others and not taken yet.
        promised: ByteSize,
    },
    /// The processors are busy with a video job.
    Processors {
        /// The idle share, where it was measured.
        idle: Option<f64>,
        /// The share that must be idle.
        wanted: f64,
    },
    /// Others go first.
    Behind {
        /// How many.
        ahead: usize,
        /// The first of them.
        head: JobId,
        /// How long it has waited.
        head_waited: Duration,
    },
    /// The memory is promised to jobs of ours, or held by them.
    Promised(Box<Shortfall>),
    /// The memory is held by others.
    Foreign(Box<Shortfall>),
    /// What could leave has only just been loaded.
    TooYoung {
        /// What is short.
        short: Box<Shortfall>,
        /// The model that may leave first.
        profile: ProfileName,
        /// When.
        left: Duration,
    },
    /// What was asked to leave did not give enough back.
    ReclaimFailed(Box<Shortfall>),
}

impl Waits {
    /// The sort of reason, in a word: there are as many as there are variants.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::NeedUnknown => "need_unknown",
            Self::NoReading => "no_reading",
            Self::ImpossibleReading(_) => "impossible_reading",
            Self::StaleReading { .. } => "stale_reading",
            Self::OlderThanRelease { .. } => "older_than_release",
            Self::Unsettled(_) => "unsettled",
            Self::Down(_) => "down",
            Self::BooksUnreadable(_) => "books_unreadable",
            Self::NoHostReading => "no_host_reading",
            Self::Ram { .. } => "ram",
            Self::Processors { .. } => "processors",
            Self::Behind { .. } => "behind",
            Self::Promised(_) => "promised",
            Self::Foreign(_) => "foreign",
            Self::TooYoung { .. } => "too_young",
            Self::ReclaimFailed(_) => "reclaim_failed",
        }
    }
}

/// What is wrong with a reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Impossible {
    /// The device has no memory at all.
    NoMemory,
    /// More is free than there is.
    FreeAboveTotal {
        /// Free.
        free: ByteSize,
        /// All there is.
        total: ByteSize,
    },
    /// The driver keeps more than there is.
    ReservedAboveTotal {
        /// Kept.
        reserved: ByteSize,
        /// All there is.
        total: ByteSize,
    },
    /// More host memory is available than there is.
    RamAboveTotal {
        /// Available.
        available: ByteSize,
        /// All there is.
        total: ByteSize,
    },
    /// The idle share of the processors is not between 0 and 1.
    IdleShare(f64),
}

/// What is short, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Shortfall {
    /// What the job may still take, with the margin.
    pub need: ByteSize,
    /// The margin in it.
    pub margin: ByteSize,
    /// Free memory.
    pub free: ByteSize,
    /// What is missing.
    pub missing: ByteSize,
    /// What was promised to others.
    pub promised: Vec<Promise>,
    /// Who else holds memory, the largest first, where that is known.
    pub foreign: Vec<Foreign>,
    /// Judged by growth alone, since nothing tells who holds what.
    pub blind: bool,
}

/// A promise to a backend of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The backend.
    pub backend: BackendId,
    /// The job that was promised something last.
    pub job: JobId,
    /// How it is done.
    pub profile: ProfileName,
    /// What the backend may still take.
    pub amount: ByteSize,
    /// Its worker is gone, while the backend may go on.
    pub orphaned: bool,
    /// How long ago.
    pub age: Duration,
}

/// A process that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Its process id.
    pub pid: u32,
    /// Its program.
    pub program: Option<String>,
    /// What it holds.
    pub used: ByteSize,
}

/// Why a job never fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NeverFits {
    /// The device is too small.
    Device {
        /// What the job needs at its peak, with the margin.
        need: ByteSize,
        /// All that can be used.
        usable: ByteSize,
    },
    /// The host has too little memory.
    Host {
        /// What the job needs, with the margin.
        need: ByteSize,
        /// All there is.
        total: ByteSize,
    },
}
