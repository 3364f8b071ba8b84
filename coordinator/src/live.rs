//! What is known now and not worth a disk: leases, workers, progress and its pictures. It starts empty with the process.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use shared::api::ProgressView;
use shared::ids::{JobId, WorkerId};

use crate::core::fleet::Fleet;
use crate::core::leases::Leases;
use crate::core::previews::Previews;

/// What is known now.
#[derive(Debug)]
pub(crate) struct Live {
    /// Leases of the running jobs.
    pub(crate) leases: Leases,
    /// The workers.
    pub(crate) fleet: Fleet,
    /// How far the current runs are.
    pub(crate) progress: HashMap<JobId, ProgressView>,
    /// How they look.
    pub(crate) previews: Previews,
    /// Workers that were asked to stand still; a copy of the store's table.
    pub(crate) paused: HashSet<WorkerId>,
}

impl Live {
    pub(crate) fn new(lease: Duration, paused: HashSet<WorkerId>) -> Self {
        Self {
            leases: Leases::new(lease),
            fleet: Fleet::default(),
            progress: HashMap::new(),
            previews: Previews::default(),
            paused,
        }
    }
}
