//! Watches the books of the gate from outside: for how long a dead worker's reservation counts although its backend has
//! nothing to do any more.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use shared::ids::BootId;
use worker_runtime::gpu::admit::Booked;
use worker_runtime::gpu::ledger::{BootTime, EntryId, Ledger, Owner, State};
use worker_runtime::gpu::reading::DeviceUuid;

use crate::backends::named;

/// Watches the books.
#[derive(Debug)]
pub(crate) struct Watch {
    ledger: Ledger,
    killed: BTreeMap<BootId, Instant>,
    /// For how long each was seen to count in vain.
    late: BTreeMap<EntryId, Duration>,
    orphans: u32,
}

impl Watch {
    pub(crate) fn open(root: &Path, device: &str) -> Result<Self> {
        let owner = Owner {
            worker: "onlooker".parse()?,
            boot: BootId::from_u128(u128::MAX),
        };
        let device = DeviceUuid(device.to_owned());
        Ok(Self {
            ledger: Ledger::open(root, Some(&device), owner)?,
            killed: BTreeMap::new(),
            late: BTreeMap::new(),
            orphans: 0,
        })
    }

    /// That life of a worker has just been ended.
    pub(crate) fn killed(&mut self, boot: BootId) {
        self.killed.insert(boot, Instant::now());
    }

    /// Looks. Whether anything is promised to anybody.
    pub(crate) fn look(&mut self) -> Result<bool> {
        let page = self.ledger.decide(|locked| locked.page(BootTime::now()))?;
        for booked in page
            .entries
            .iter()
            .filter(|it| is_reserved(it) && it.orphaned)
        {
            let entry = &booked.entry;
            if !self.late.contains_key(&entry.id) {
                self.orphans += 1;
                self.late.insert(entry.id.clone(), Duration::ZERO);
            }
            let backend = named(&entry.work.backend);
            let idle = backend.and_then(|backend| backend.state().ok()?.idle_for);
            let dead = self.killed.get(&entry.owner.boot).map(Instant::elapsed);
            if let (Some(idle), Some(dead)) = (idle, dead) {
                // It may have been released while its backend was asked: that errs on the side of being late.
                let late = self.late.entry(entry.id.clone()).or_default();
                *late = (*late).max(idle.min(dead));
            }
        }
        Ok(page.entries.iter().any(is_reserved) || !page.tickets.is_empty())
    }

    /// How many reservations were seen whose owner was dead, and the longest that one of them counted in vain.
    pub(crate) fn seen(&self) -> (u32, Duration) {
        let longest = self.late.values().max().copied();
        (self.orphans, longest.unwrap_or_default())
    }
}

/// Whether that promises something. A warm model does not.
fn is_reserved(booked: &Booked) -> bool {
    !matches!(booked.entry.state, State::Resident { .. })
}
