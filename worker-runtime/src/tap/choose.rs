//! Which queues to open now, and which to close. Pure.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

/// Lines that are open on one queue with nothing in hand, at most: enough to take hundreds of short attempts a second.
const IDLE_LINES: u32 = 8;

/// What the choice goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// Free slots.
    pub(crate) free: u32,
    /// Enough time has passed since the last line was opened for its delivery to have come.
    pub(crate) settled: bool,
    /// The queues, one for each offer.
    pub(crate) queues: Vec<QueueView>,
}

/// One queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QueueView {
    /// Whether it may be read at all now.
    pub(crate) admitted: bool,
    /// Lines that are open, or being opened, with nothing in hand.
    pub(crate) idle: u32,
    /// Its place in the order, the smallest first: grows with the time of its last delivery, and with whatever else puts it off.
    pub(crate) served: u64,
}

/// What is to be done. Queues are named by their place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Close that many idle lines of that queue.
    pub(crate) close: Vec<(usize, u32)>,
    /// Open one line of each of these.
    pub(crate) open: Vec<usize>,
    /// There is more to open once things have settled.
    pub(crate) more: bool,
}

/// Which lines to close and to open.
///
/// A line that is open with nothing in hand is an offer to take one delivery. With no free slot there is none. As long as
/// there are no more offers than free slots, every delivery that comes finds its slot. Beyond that (several profiles, few slots)
/// two may come for one slot, and one goes back; so those lines are opened one after another, each after the last one had
/// time to bring what waits, and the queue that was served longest ago comes first: when much waits everywhere, the queues
/// take turns and hardly a delivery goes back.
pub(crate) fn choose(view: &View) -> Plan {
    let mut plan = Plan::default();
    let mut idle = Vec::new();
    for (place, queue) in view.queues.iter().enumerate() {
        let allowed = if queue.admitted { view.free } else { 0 };
        let surplus = queue.idle.saturating_sub(allowed);
        if surplus > 0 {
            plan.close.push((place, surplus));
        }
        idle.push(queue.idle - surplus);
    }
    let wanted = lines_per_queue(view);
    loop {
        let next = (0..view.queues.len())
            .filter(|place| view.queues[*place].admitted && idle[*place] < wanted)
            .min_by_key(|place| (idle[*place], view.queues[*place].served));
        let Some(place) = next else {
            return plan;
        };
        let has_its_slot = idle.iter().sum::<u32>() < view.free;
        if !has_its_slot && (!view.settled || !plan.open.is_empty()) {
            plan.more = true;
            return plan;
        }
        plan.open.push(place);
        idle[place] += 1;
    }
}

fn lines_per_queue(view: &View) -> u32 {
    let admitted = view.queues.iter().filter(|queue| queue.admitted).count();
    let share = view
        .free
        .div_ceil(u32::try_from(admitted).unwrap_or(u32::MAX).max(1));
    share.min(IDLE_LINES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue that may be read, with that many idle lines, served at that time.
    fn queue(idle: u32, served: u64) -> QueueView {
        QueueView {
            admitted: true,
            idle,
            served,
        }
    }

    fn shut(idle: u32) -> QueueView {
        QueueView {
            idle,
            ..QueueView::default()
        }
    }

    fn plan(free: u32, settled: bool, queues: &[QueueView]) -> Plan {
        choose(&View {
            free,
            settled,
            queues: queues.to_vec(),
        })
    }

    fn open(places: &[usize]) -> Plan {
        Plan {
            open: places.to_vec(),
            ..Plan::default()
        }
    }

    fn close(places: &[(usize, u32)]) -> Plan {
        Plan {
            close: places.to_vec(),
            ..Plan::default()
        }
    }

    #[test]
    fn with_no_free_slot_everything_idle_is_closed_and_nothing_opened() {
        assert_eq!(
            plan(0, true, &[queue(1, 0), queue(0, 0), queue(2, 0)]),
            close(&[(0, 1), (2, 2)])
        );
        assert_eq!(plan(0, true, &[queue(0, 0)]), Plan::default());
    }

    #[test]
    fn a_queue_that_may_not_be_read_is_closed_and_not_opened() {
        assert_eq!(
            plan(2, true, &[shut(1), queue(1, 0)]),
            Plan {
                close: vec![(0, 1)],
                open: vec![1],
                more: false
            }
        );
    }

    #[test]
    fn one_slot_and_one_queue_is_one_line() {
        assert_eq!(plan(1, false, &[queue(0, 0)]), open(&[0]));
        assert_eq!(plan(1, true, &[queue(1, 0)]), Plan::default());
    }

    #[test]
    fn many_slots_and_one_queue_are_several_lines_at_once() {
        assert_eq!(plan(32, false, &[queue(0, 0)]), open(&[0; 8]));
        assert_eq!(plan(3, false, &[queue(1, 0)]), open(&[0; 2]));
    }

    #[test]
    fn several_queues_share_one_slot_one_after_another() {
        let queues = |a, b, c| [queue(a, 0), queue(b, 0), queue(c, 0)];
        let then_more = |place| Plan {
            more: true,
            ..open(&[place])
        };
        assert_eq!(plan(1, false, &queues(0, 0, 0)), then_more(0));
        let wait = Plan {
            more: true,
            ..Plan::default()
        };
        assert_eq!(plan(1, false, &queues(1, 0, 0)), wait);
        assert_eq!(plan(1, true, &queues(1, 0, 0)), then_more(1));
        assert_eq!(plan(1, true, &queues(1, 1, 0)), open(&[2]));
        assert_eq!(plan(1, true, &queues(1, 1, 1)), Plan::default());
    }

    #[test]
    fn the_queue_served_longest_ago_comes_first() {
        let queues = [queue(0, 7), queue(0, 3), queue(0, 5)];
        assert_eq!(plan(1, false, &queues).open, [1]);
        assert_eq!(plan(2, false, &queues).open, [1, 2]);
    }

    #[test]
    fn lines_beyond_the_free_slots_are_closed() {
        assert_eq!(plan(1, true, &[queue(3, 0)]), close(&[(0, 2)]));
    }

    #[test]
    fn each_queue_keeps_a_line_while_a_slot_is_free() {
        for free in 1..40 {
            let mut queues = [queue(0, 0), queue(0, 1), shut(0)];
            loop {
                let plan = plan(free, true, &queues);
                assert_eq!(plan.close, []);
                if plan.open.is_empty() {
                    break;
                }
                for place in plan.open {
                    queues[place].idle += 1;
                }
            }
            assert!(queues[0].idle >= 1 && queues[1].idle >= 1 && queues[2].idle == 0);
            assert!(queues.iter().all(|queue| queue.idle <= free));
        }
    }
}
