//! One queue of the embedded broker: what waits, who reads, who holds what.
//!
//! Plain data: the caller holds the lock, and readers are woken through their [`Notify`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::broker::topology::{self, INBOX_MAX_LENGTH, QueueKind};
use crate::broker::{Message, Queue, ReadOptions};

/// Names a reader; later ones are greater.
pub(super) type ReaderId = u64;
/// A message's place in its queue; kept when the message comes back, so that it stands where it stood.
pub(super) type Place = u64;

/// One queue.
#[derive(Debug)]
pub(super) struct EmbeddedQueue {
    single_active_consumer: bool,
    max_length: Option<usize>,
    next_place: Place,
    waiting: BTreeMap<Place, Stored>,
    readers: BTreeMap<ReaderId, Reader>,
    hand_overs: u64,
}

#[derive(Debug)]
struct Stored {
    message: Message,
    redelivered: bool,
}

#[derive(Debug)]
struct Reader {
    options: ReadOptions,
    wake: Arc<Notify>,
    /// Still asks for more.
    open: bool,
    /// Handed over to it and not settled.
    held: BTreeMap<Place, Stored>,
    /// The part of `held` that it has not looked at yet.
    unseen: VecDeque<Place>,
    /// Number of the last hand-over to it: equals take turns.
    last_served: u64,
}

impl Reader {
    fn has_room(&self) -> bool {
        self.open && self.held.len() < usize::from(self.options.prefetch.max(1))
    }
}

/// One hand-over.
pub(super) struct HandOver {
    pub(super) place: Place,
    pub(super) message: Message,
    pub(super) redelivered: bool,
}

impl EmbeddedQueue {
    pub(super) fn new(queue: &Queue) -> Self {
        let (single_active_consumer, max_length) = match topology::kind(queue) {
            QueueKind::Quorum {
                single_active_consumer,
            } => (single_active_consumer, None),
            QueueKind::Inbox => (false, Some(usize::from(INBOX_MAX_LENGTH))),
        };
        Self {
            single_active_consumer,
            max_length,
            next_place: 0,
            waiting: BTreeMap::new(),
            readers: BTreeMap::new(),
            hand_overs: 0,
        }
    }

    pub(super) fn push(&mut self, message: Message) {
        let stored = Stored {
            message,
            redelivered: false,
        };
        self.waiting.insert(self.next_place, stored);
        self.next_place += 1;
        self.hand_out();
        if self.max_length.is_some_and(|max| self.waiting.len() > max) {
            self.waiting.pop_first();
        }
    }

    pub(super) fn add_reader(&mut self, id: ReaderId, options: ReadOptions, wake: Arc<Notify>) {
        let reader = Reader {
            options,
            wake,
            open: true,
            held: BTreeMap::new(),
            unseen: VecDeque::new(),
            last_served: 0,
        };
        self.readers.insert(id, reader);
        self.hand_out();
    }

    pub(super) fn has_readers(&self) -> bool {
        !self.readers.is_empty()
    }

    pub(super) fn has_reader(&self, id: ReaderId) -> bool {
        self.readers.contains_key(&id)
    }

    /// What has been handed over to that reader and not been looked at, oldest first.
    pub(super) fn take(&mut self, id: ReaderId) -> Option<HandOver> {
        let reader = self.readers.get_mut(&id)?;
        let place = reader.unseen.pop_front()?;
        let stored = reader.held.get(&place)?;
        Some(HandOver {
            place,
            message: stored.message.clone(),
            redelivered: stored.redelivered,
        })
    }

    /// Hands no more to that reader; what it holds stays with it.
    pub(super) fn close_reader(&mut self, id: ReaderId) {
        if let Some(reader) = self.readers.get_mut(&id) {
            reader.open = false;
        }
        self.hand_out();
    }

    /// Forgets that reader; what it holds comes back.
    pub(super) fn remove_reader(&mut self, id: ReaderId) {
        if let Some(reader) = self.readers.remove(&id) {
            for (place, stored) in reader.held {
                self.put_back(place, stored);
            }
            reader.wake.notify_one();
        }
        self.hand_out();
    }

    /// Forgets every reader.
    pub(super) fn remove_all_readers(&mut self) {
        for id in self.readers.keys().copied().collect::<Vec<_>>() {
            self.remove_reader(id);
        }
    }

    /// Takes a message off for good; `false` if that reader does not hold it.
    pub(super) fn ack(&mut self, id: ReaderId, place: Place) -> bool {
        let was_held = self.release(id, place).is_some();
        self.hand_out();
        was_held
    }

    /// Puts a message back; `false` if that reader does not hold it.
    pub(super) fn requeue(&mut self, id: ReaderId, place: Place) -> bool {
        let Some(stored) = self.release(id, place) else {
            return false;
        };
        self.put_back(place, stored);
        self.hand_out();
        true
    }

    fn release(&mut self, id: ReaderId, place: Place) -> Option<Stored> {
        self.readers.get_mut(&id)?.held.remove(&place)
    }

    fn put_back(&mut self, place: Place, mut stored: Stored) {
        stored.redelivered = true;
        self.waiting.insert(place, stored);
    }

    /// Hands over as much as there is room for.
    fn hand_out(&mut self) {
        while !self.waiting.is_empty()
            && let Some(reader) = self.next_reader()
            && let Some(reader) = self.readers.get_mut(&reader)
            && let Some((place, stored)) = self.waiting.pop_first()
        {
            self.hand_overs += 1;
            reader.last_served = self.hand_overs;
            reader.held.insert(place, stored);
            reader.unseen.push_back(place);
            reader.wake.notify_one();
        }
    }

    /// Whose turn it is: the highest priority with room, and among equals the one that has waited longest.
    fn next_reader(&self) -> Option<ReaderId> {
        let open = self.readers.iter().filter(|(_, reader)| reader.open);
        let candidates = match self.single_active_consumer {
            true => open.take(1),
            false => open.take(usize::MAX),
        };
        candidates
            .filter(|(_, reader)| reader.has_room())
            .min_by_key(|(_, reader)| (-i64::from(reader.options.priority), reader.last_served))
            .map(|(id, _)| *id)
    }
}
