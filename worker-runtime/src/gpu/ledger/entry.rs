//! One reservation: who may hold how much of a device, and why.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;
use shared::ids::{Attempt, BootId, JobId, ProfileName, Take, WorkerId};
use shared::profile::DeviceMemory;

use super::boot_time::BootTime;
use super::ticket::Precedence;

/// One reservation, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which.
    pub id: EntryId,
    /// What it stands for now.
    pub state: State,
    /// Since when.
    pub since: BootTime,
    /// Who wrote it, or took it over.
    pub owner: Owner,
    /// What it was made for.
    pub work: Work,
}

/// What a reservation is made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The job.
    pub job: JobId,
    /// Its take: the work is found again in the backend by job and take.
    pub take: Take,
    /// The attempt that runs it.
    pub attempt: Attempt,
    /// The backend that does it.
    pub backend: BackendId,
    /// How the models of that backend share memory.
    pub kind: BackendKind,
    /// How it is done.
    pub profile: ProfileName,
    /// Which sort of work it is.
    pub class: Class,
    /// Its place among those who wait.
    pub precedence: Precedence,
    /// Device memory; all zero for work that needs none.
    pub memory: DeviceMemory,
    /// Host memory.
    pub ram: ByteSize,
    /// The model must not be put out for another.
    pub pinned: bool,
    /// How long it takes to load the model again.
    pub reload: Duration,
    /// No attempt runs longer than this.
    pub limit: Duration,
}

/// What a reservation stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Memory set aside for the head of the queue while others unload. It runs out.
    Claim {
        /// When.
        until: BootTime,
    },
    /// A job, from before its first byte is allocated until its backend has finished. With its owner gone: an orphan.
    Job,
    /// The job has ended; its memory is on the way down to what stays loaded.
    Settling {
        /// What is to stay, at most.
        keeps: ByteSize,
        /// The lowest free memory during the job, where it was watched and ran to its end.
        lowest_free: Option<ByteSize>,
        /// When to take it for settled anyway.
        until: BootTime,
    },
    /// A warm model. Anybody may put it out, whoever loaded it.
    Resident {
        /// What it holds.
        size: ByteSize,
        /// Free memory when it had settled.
        free_then: ByteSize,
        /// How far free memory fell below that during the job before; tells what the next job on it will take. Absent when
        /// that was not watched, when the job did not run to its end, and once the model was asked to leave.
        grew: Option<ByteSize>,
    },
}

/// Which sort of work: decides who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Stories.
    Story,
    /// Keyframes, clips and films.
    Video,
}

/// How the models of one backend share memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendKind {
    /// It drops its old model for the new one by itself.
    Replacing,
    /// Each of its models holds its own.
    Stacking,
}

/// A backend of ours on this host, as `comfyui@127.0.0.1:8188`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BackendId(pub String);

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Somebody needs the memory of a model that is idle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The backend that holds it.
    pub backend: BackendId,
    /// The model's profile; absent: everything that the backend has loaded.
    pub profile: Option<ProfileName>,
    /// The job that needs the memory.
    pub by: JobId,
    /// When it was asked last.
    pub at: BootTime,
}

/// One life of one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its name.
    pub worker: WorkerId,
    /// This life of it.
    pub boot: BootId,
}

/// The name of an entry or a ticket: unique on the host, since a life of a worker counts what it writes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct EntryId(String);

impl EntryId {
    /// The one of that number in that life.
    pub fn new(boot: BootId, number: u64) -> Self {
        Self(format!("{boot}-{number}"))
    }

    /// As it stands in the name of a file.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<EntryId> for String {
    fn from(id: EntryId) -> Self {
        id.0
    }
}

/// It names a file, so that what was read must not lead out of its folder.
impl TryFrom<String> for EntryId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            true => Ok(Self(text)),
            false => Err(format!("`{text}` is no id of an entry")),
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
