//! Slots: room for one attempt each. Whoever waits for room is woken when one is dropped.

use tokio::sync::watch;

/// The slots of one worker. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    free: watch::Sender<u32>,
}

impl Slots {
    pub(crate) fn new(count: u32) -> Self {
        Self {
            free: watch::Sender::new(count),
        }
    }

    /// Takes a slot, if one is free.
    pub(crate) fn try_take(&self) -> Option<Slot> {
        let taken = self.free.send_if_modified(|free| {
            let any = *free > 0;
            *free -= u32::from(any);
            any
        });
        taken.then(|| Slot {
            slots: self.clone(),
        })
    }

    /// How many are free.
    pub(crate) fn free(&self) -> u32 {
        *self.free.borrow()
    }

    /// Tells when that changes.
    pub(crate) fn changes(&self) -> watch::Receiver<u32> {
        self.free.subscribe()
    }
}

/// Room for one attempt; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.free.send_modify(|free| *free += 1);
    }
}
