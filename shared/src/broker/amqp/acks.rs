//! Acks that go together. A broker handles each ack by itself, and one of a quorum queue goes through its log; so where several
//! deliveries in a row are done, one ack tells of them all.

use std::collections::{BTreeMap, BTreeSet};

/// The deliveries of one channel, by their tag, which rises: those that are not settled, and those whose ack is still to be sent.
#[derive(Debug)]
pub(super) struct Acks<T> {
    open: BTreeSet<u64>,
    done: BTreeMap<u64, T>,
}

/// One ack to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ack<T> {
    /// What sends it.
    pub(super) by: T,
    /// How many deliveries it settles: more than one are all that came before, too.
    pub(super) count: usize,
}

impl<T> Default for Acks<T> {
    fn default() -> Self {
        Self {
            open: BTreeSet::new(),
            done: BTreeMap::new(),
        }
    }
}

impl<T> Acks<T> {
    /// A delivery was handed over.
    pub(super) fn opened(&mut self, tag: u64) {
        self.open.insert(tag);
    }

    /// It was settled otherwise than by an ack.
    pub(super) fn settled(&mut self, tag: u64) {
        self.open.remove(&tag);
    }

    /// It is done, and `by` can send its ack.
    pub(super) fn done(&mut self, tag: u64, by: T) {
        if self.open.remove(&tag) {
            self.done.insert(tag, by);
        }
    }

    /// The acks to send now, in order. One for all that are done up to the first that is open, and one for each of the others.
    pub(super) fn take(&mut self) -> Vec<Ack<T>> {
        let done = std::mem::take(&mut self.done);
        let first_open = self.open.first().copied().unwrap_or(u64::MAX);
        let mut acks: Vec<Ack<T>> = Vec::new();
        let mut in_a_row = 0;
        for (tag, by) in done {
            if tag < first_open {
                in_a_row += 1;
                acks.clear();
                acks.push(Ack {
                    by,
                    count: in_a_row,
                });
            } else {
                acks.push(Ack { by, count: 1 });
            }
        }
        acks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acks(open: &[u64], done: &[u64]) -> Acks<u64> {
        let mut acks = Acks::default();
        for tag in open.iter().chain(done) {
            acks.opened(*tag);
        }
        for tag in done {
            acks.done(*tag, *tag);
        }
        acks
    }

    fn taken(acks: &mut Acks<u64>) -> Vec<(u64, usize)> {
        acks.take()
            .into_iter()
            .map(|ack| (ack.by, ack.count))
            .collect()
    }

    #[test]
    fn what_is_done_in_a_row_is_one_ack_and_what_comes_after_an_open_one_is_its_own() {
        assert_eq!(taken(&mut acks(&[], &[])), []);
        assert_eq!(taken(&mut acks(&[], &[4])), [(4, 1)]);
        assert_eq!(taken(&mut acks(&[], &[3, 1, 2])), [(3, 3)]);
        assert_eq!(
            taken(&mut acks(&[3], &[1, 2, 4, 6])),
            [(2, 2), (4, 1), (6, 1)]
        );
        assert_eq!(taken(&mut acks(&[1], &[2, 3])), [(2, 1), (3, 1)]);
    }

    #[test]
    fn an_ack_is_sent_once_and_what_was_settled_otherwise_holds_nothing_up() {
        let mut acks = acks(&[1], &[2]);
        assert_eq!(taken(&mut acks), [(2, 1)]);
        assert_eq!(taken(&mut acks), []);
        acks.settled(1);
        acks.opened(3);
        acks.opened(4);
        acks.done(4, 4);
        acks.done(3, 3);
        acks.done(3, 3);
        assert_eq!(taken(&mut acks), [(4, 2)]);
    }

    #[test]
    fn no_ack_ever_settles_a_delivery_that_is_open() {
        // Every order of done and open among six deliveries.
        for open in 0_u32..64 {
            let is_open = |tag: &u64| open & (1 << tag) != 0;
            let (open, done): (Vec<u64>, Vec<u64>) = (0..6).partition(is_open);
            let mut settled = BTreeSet::new();
            for (by, count) in taken(&mut acks(&open, &done)) {
                match count {
                    1 => drop(settled.insert(by)),
                    _ => settled.extend(0..=by),
                }
            }
            assert_eq!(settled, done.into_iter().collect());
        }
    }
}
