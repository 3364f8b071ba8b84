//! What the handles of one embedded broker share: all queues behind one lock that is never held across an await.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, mpsc};

use super::queue::{EmbeddedQueue, ReaderId};
use crate::broker::topology::REPLY_PREFIX;
use crate::broker::{Message, PublishError, Queue, ReadOptions};

#[derive(Debug, Default)]
pub(super) struct Hub {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queues: HashMap<Queue, EmbeddedQueue>,
    reply_addresses: HashMap<String, mpsc::UnboundedSender<Message>>,
    last_id: u64,
    closed: bool,
}

impl State {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

/// The broker has been closed.
#[derive(Debug)]
pub(super) struct Closed;

impl From<Closed> for PublishError {
    fn from(Closed: Closed) -> Self {
        Self::Unknown("the broker has been closed".to_owned())
    }
}

impl Hub {
    pub(super) fn publish(&self, queue: &Queue, message: Message) -> Result<(), PublishError> {
        let mut state = self.open()?;
        if let Some(known) = state.queues.get_mut(queue) {
            known.push(message);
            return Ok(());
        }
        if matches!(queue, Queue::Inbox(_)) {
            return Err(PublishError::Unroutable);
        }
        let mut new = EmbeddedQueue::new(queue);
        new.push(message);
        state.queues.insert(queue.clone(), new);
        Ok(())
    }

    pub(super) fn publish_to_everyone(&self, message: &Message) -> Result<(), PublishError> {
        for (queue, known) in &mut self.open()?.queues {
            if matches!(queue, Queue::Inbox(_)) {
                known.push(message.clone());
            }
        }
        Ok(())
    }

    pub(super) fn publish_reply(&self, to: &str, message: Message) -> Result<(), PublishError> {
        if let Some(address) = self.open()?.reply_addresses.get(to) {
            // Its owner may be about to drop it.
            let _ = address.send(message);
        }
        Ok(())
    }

    pub(super) fn add_reader(
        &self,
        queue: &Queue,
        options: ReadOptions,
        wake: Arc<Notify>,
    ) -> Result<ReaderId, Closed> {
        let mut state = self.open()?;
        let id = state.next_id();
        state
            .queues
            .entry(queue.clone())
            .or_insert_with(|| EmbeddedQueue::new(queue))
            .add_reader(id, options, wake);
        Ok(id)
    }

    /// Forgets that reader, and with the last reader of an inbox the inbox.
    pub(super) fn remove_reader(&self, queue: &Queue, id: ReaderId) {
        let mut state = self.lock();
        let Some(known) = state.queues.get_mut(queue) else {
            return;
        };
        known.remove_reader(id);
        if matches!(queue, Queue::Inbox(_)) && !known.has_readers() {
            state.queues.remove(queue);
        }
    }

    /// Does something with that queue, if it is there.
    pub(super) fn with<T>(
        &self,
        queue: &Queue,
        act: impl FnOnce(&mut EmbeddedQueue) -> T,
    ) -> Option<T> {
        self.lock().queues.get_mut(queue).map(act)
    }

    pub(super) fn add_reply_address(&self, to: mpsc::UnboundedSender<Message>) -> String {
        let mut state = self.lock();
        let name = format!("{REPLY_PREFIX}embedded.{}", state.next_id());
        state.reply_addresses.insert(name.clone(), to);
        name
    }

    pub(super) fn remove_reply_address(&self, name: &str) {
        self.lock().reply_addresses.remove(name);
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for queue in state.queues.values_mut() {
            queue.remove_all_readers();
        }
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, Closed> {
        let state = self.lock();
        match state.closed {
            true => Err(Closed),
            false => Ok(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}
