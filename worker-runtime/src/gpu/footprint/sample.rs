//! What was measured of one job.

use std::time::Duration;

use shared::byte_size::ByteSize;

use crate::gpu::admit::amount::Amount;

/// What was measured of one job that was watched from its admission to its end. Jobs that ended in another way tell nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// How it ended.
    pub end: End,
    /// What its backend had loaded before.
    pub start: Start,
    /// Free memory at its admission.
    pub free_before: ByteSize,
    /// The lowest free memory during the job.
    pub lowest_free: ByteSize,
    /// The most that its backend held, where that is known.
    pub highest_held: Option<ByteSize>,
    /// What its backend held after the job, where that is known.
    pub resident: Option<ByteSize>,
    /// How far the memory of others rose above what they held at its admission; nothing where that is not known.
    pub foreign_rise: ByteSize,
    /// How long the work took, without loading.
    pub run: Duration,
    /// How long loading took, where the model had to be loaded and that is known.
    pub load: Option<Duration>,
    /// The card was not throttled.
    pub clocks_normal: bool,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It made what it was for.
    Finished,
    /// Its backend found no memory.
    OutOfMemory,
}

/// What a job's backend had loaded before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nothing.
    Empty,
    /// The job's own model.
    Warm,
    /// Another model.
    Other,
}

impl Sample {
    /// How far free memory fell.
    pub(super) fn fall(&self) -> ByteSize {
        self.free_before.less(self.lowest_free)
    }

    /// The most that the backend came to hold. What free memory fell by stands in where nothing tells: memory that others
    /// took meanwhile makes it larger, which is the safe side.
    pub(super) fn held(&self) -> Option<ByteSize> {
        let fall = match self.start {
            Start::Empty => Some(self.fall()),
            Start::Warm | Start::Other => None,
        };
        self.highest_held.or(fall)
    }
}

/// Watches one job. Spikes are short and late: free memory is to be told ten times a second, what the backend holds once.
#[derive(Debug, Clone)]
pub struct Recorder {
    start: Start,
    free_before: ByteSize,
    lowest_free: ByteSize,
    highest_held: Option<ByteSize>,
    foreign_before: Option<ByteSize>,
    highest_foreign: Option<ByteSize>,
    clocks_normal: bool,
}

impl Recorder {
    /// Begins at the admission, with what was read for it.
    pub fn new(start: Start, free: ByteSize, foreign: Option<ByteSize>) -> Self {
        Self {
            start,
            free_before: free,
            lowest_free: free,
            highest_held: None,
            foreign_before: foreign,
            highest_foreign: foreign,
            clocks_normal: true,
        }
    }

    /// So much was free.
    pub fn free(&mut self, free: ByteSize) {
        self.lowest_free = self.lowest_free.min(free);
    }

    /// The backend held so much, and others so much.
    pub fn held(&mut self, held: Option<ByteSize>, foreign: Option<ByteSize>) {
        self.highest_held = self.highest_held.max(held);
        self.highest_foreign = self.highest_foreign.max(foreign);
    }

    /// The card was throttled.
    pub fn throttled(&mut self) {
        self.clocks_normal = false;
    }

    /// The lowest free memory so far.
    pub fn lowest_free(&self) -> ByteSize {
        self.lowest_free
    }

    /// The job has ended.
    pub fn finish(
        self,
        end: End,
        run: Duration,
        load: Option<Duration>,
        resident: Option<ByteSize>,
    ) -> Sample {
        let rise = match (self.foreign_before, self.highest_foreign) {
            (Some(before), Some(highest)) => highest.less(before),
            (None, _) | (_, None) => ByteSize::ZERO,
        };
        Sample {
            end,
            start: self.start,
            free_before: self.free_before,
            lowest_free: self.lowest_free,
            highest_held: self.highest_held,
            resident,
            foreign_rise: rise,
            run,
            load,
            clocks_normal: self.clocks_normal,
        }
    }
}
