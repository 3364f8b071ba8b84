//! Cases of the rule, one by one. The card: WAN (45 s to load, 52 s a clip) and a language model (10 s, 20 s a story).

use super::*;
use crate::tap::choose::{Plan, View, choose};

const POLICY: SwapPolicy = SwapPolicy {
    patience: secs(2),
    kappa: 2,
    wait_bound: secs(180),
    batch_loads: 3,
};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const WAN: Times = Times {
    load: secs(45),
    run: secs(52),
};
const LLM: Times = Times {
    load: secs(10),
    run: secs(20),
};

/// What waits: that many queued, that many running, the oldest for so long.
fn waits(queued: u32, running: u32, oldest: u64) -> Option<Waits> {
    Some(Waits {
        queued,
        running,
        oldest: secs(oldest),
    })
}

/// A queue of stories, cold, for which WAN has to leave.
fn stories(waits: Option<Waits>) -> Candidate {
    Candidate {
        warm: false,
        beside: false,
        times: LLM,
        price: secs(57),
        class: 0,
        waits,
    }
}

/// WAN at work, with four scenes in its queue: there for so long, and that many jobs begun.
fn wan_at_work(stay: u64, served: u32) -> CardView {
    CardView {
        present: Some(Present {
            name: "wan".to_owned(),
            stay: secs(stay),
            served,
            times: WAN,
            waits: waits(4, 1, 90),
        }),
        quiet: None,
        spoken_for: false,
    }
}

/// WAN loaded, with nothing to do for that long.
fn wan_idle(quiet: u64) -> CardView {
    let mut card = wan_at_work(1000, 8);
    card.quiet = Some(secs(quiet));
    card.present.as_mut().unwrap().waits = waits(0, 0, 0);
    card
}

fn empty(quiet: Option<u64>) -> CardView {
    CardView {
        quiet: quiet.map(secs),
        ..CardView::default()
    }
}

fn stands(candidate: &Candidate, card: &CardView) -> Stand {
    stand(candidate, card, &POLICY)
}

fn rent() -> Stand {
    Stand::Shut(Why::Rent {
        present: "wan".to_owned(),
        price: secs(57),
        after: secs(114),
    })
}

fn batch() -> Stand {
    Stand::Shut(Why::Batch {
        present: "wan".to_owned(),
        least: 3,
        bound: secs(180),
    })
}

const DUE: Stand = Stand::Open(Turn::Due);
const COLD: Stand = Stand::Open(Turn::Cold);
const PATIENCE: Stand = Stand::Shut(Why::Patience);

#[test]
fn the_other_kind_has_its_turn_when_its_wait_has_paid_for_the_swap() {
    let card = wan_at_work(1000, 8);
    assert_eq!(stands(&stories(waits(1, 0, 113)), &card), rent());
    assert_eq!(stands(&stories(waits(1, 0, 114)), &card), DUE);
}

#[test]
fn only_the_wait_since_the_loaded_model_came_is_rent() {
    let old = stories(waits(1, 0, 5000));
    assert_eq!(stands(&old, &wan_at_work(113, 8)), rent());
    assert_eq!(stands(&old, &wan_at_work(114, 8)), DUE);
}

#[test]
fn a_model_that_was_just_loaded_serves_its_batch_first() {
    let paid = stories(waits(1, 0, 150));
    assert_eq!(stands(&paid, &wan_at_work(150, 2)), batch());
    assert_eq!(stands(&paid, &wan_at_work(150, 3)), DUE);
}

#[test]
fn the_batch_ends_where_the_other_kind_has_waited_to_the_bound() {
    assert_eq!(
        stands(&stories(waits(1, 0, 179)), &wan_at_work(179, 2)),
        batch()
    );
    assert_eq!(
        stands(&stories(waits(1, 0, 180)), &wan_at_work(180, 1)),
        DUE
    );
}

#[test]
fn a_swap_that_is_dearer_than_the_bound_is_done_at_the_bound() {
    let dear = |oldest| Candidate {
        price: secs(600),
        ..stories(waits(1, 0, oldest))
    };
    assert_eq!(stands(&dear(180), &wan_at_work(1000, 8)), DUE);
    assert!(matches!(
        stands(&dear(179), &wan_at_work(1000, 8)),
        Stand::Shut(Why::Rent { after, .. }) if after == secs(180)
    ));
}

#[test]
fn a_loaded_model_without_work_gives_way_after_a_short_patience() {
    let one = stories(waits(1, 0, 3));
    assert_eq!(stands(&one, &wan_idle(1)), PATIENCE);
    assert_eq!(stands(&one, &wan_idle(2)), COLD);
}

#[test]
fn a_loaded_model_with_work_does_not_give_way_because_the_card_is_quiet_for_a_moment() {
    let mut card = wan_at_work(1000, 8);
    card.quiet = Some(secs(5));
    assert_eq!(stands(&stories(waits(1, 0, 3)), &card), rent());
}

#[test]
fn a_little_work_that_others_are_at_is_left_to_them() {
    let cold = |queued, running| stands(&stories(waits(queued, running, 3)), &wan_idle(9));
    // Two stories of 20 s with one worker at it: 40 s, against 10 s to load and 20 s to run.
    assert_eq!(cold(2, 1), COLD);
    assert_eq!(cold(1, 1), Stand::Shut(Why::DoesNotPay { running: 1 }));
    assert_eq!(cold(4, 3), Stand::Shut(Why::DoesNotPay { running: 3 }));
    assert_eq!(cold(6, 3), COLD);
}

#[test]
fn an_idle_card_offers_itself_for_work_of_which_nobody_has_heard_yet() {
    assert_eq!(stands(&stories(waits(0, 0, 0)), &wan_idle(9)), COLD);
    assert_eq!(stands(&stories(waits(0, 0, 0)), &empty(Some(9))), COLD);
    assert_eq!(
        stands(&stories(waits(0, 1, 0)), &wan_idle(9)),
        Stand::Shut(Why::DoesNotPay { running: 1 })
    );
}

#[test]
fn an_empty_card_waits_for_no_batch() {
    assert_eq!(stands(&stories(waits(1, 0, 3)), &empty(None)), PATIENCE);
    assert_eq!(stands(&stories(waits(1, 0, 3)), &empty(Some(2))), COLD);
    assert_eq!(stands(&stories(waits(1, 0, 114)), &empty(None)), DUE);
}

#[test]
fn what_fits_beside_the_loaded_model_needs_neither_a_batch_nor_a_quiet_card() {
    let beside = |queued, running, oldest| Candidate {
        beside: true,
        price: secs(10),
        ..stories(waits(queued, running, oldest))
    };
    let card = wan_at_work(5, 1);
    assert_eq!(stands(&beside(1, 0, 0), &card), COLD);
    assert_eq!(
        stands(&beside(1, 1, 0), &card),
        Stand::Shut(Why::DoesNotPay { running: 1 })
    );
    assert_eq!(stands(&beside(1, 1, 20), &card), DUE);
}

#[test]
fn the_loaded_model_s_queue_is_open_whatever_waits_elsewhere() {
    let warm = |waits| Candidate {
        warm: true,
        ..stories(waits)
    };
    for waits in [None, waits(0, 0, 0), waits(9, 1, 500)] {
        for card in [wan_at_work(5, 1), wan_idle(9), empty(None)] {
            assert_eq!(stands(&warm(waits), &card), Stand::Open(Turn::Warm));
        }
    }
}

#[test]
fn a_job_of_another_worker_that_waits_for_the_card_revokes_every_offer() {
    for (warm, waits) in [
        (true, waits(5, 1, 500)),
        (false, waits(5, 0, 500)),
        (false, None),
    ] {
        let candidate = Candidate {
            warm,
            ..stories(waits)
        };
        let card = CardView {
            spoken_for: true,
            ..wan_idle(9)
        };
        assert_eq!(stands(&candidate, &card), Stand::Shut(Why::SpokenFor));
    }
}

#[test]
fn without_hints_the_loaded_model_comes_first_but_not_for_ever() {
    let unknown = stories(None);
    assert_eq!(stands(&unknown, &wan_at_work(179, 3)), PATIENCE);
    assert_eq!(stands(&unknown, &wan_at_work(180, 3)), DUE);
    assert_eq!(stands(&unknown, &wan_idle(1)), DUE);
    let mut young = wan_idle(2);
    young.present.as_mut().unwrap().stay = secs(10);
    assert_eq!(stands(&unknown, &young), COLD);
    assert_eq!(stands(&unknown, &empty(None)), PATIENCE);
    assert_eq!(stands(&unknown, &empty(Some(2))), COLD);
}

#[test]
fn a_backlog_of_the_loaded_model_that_nobody_knows_counts_as_work() {
    let mut card = wan_idle(9);
    card.present.as_mut().unwrap().waits = None;
    assert_eq!(stands(&stories(waits(1, 0, 3)), &card), rent());
}

#[test]
fn the_least_batch_is_three_loadings_of_work() {
    assert_eq!(least_batch(WAN, &POLICY), 3);
    assert_eq!(least_batch(LLM, &POLICY), 2);
    let quick = Times {
        load: secs(20),
        run: secs(4),
    };
    assert_eq!(least_batch(quick, &POLICY), 15);
    let unknown = Times {
        load: secs(20),
        run: secs(0),
    };
    assert_eq!(least_batch(unknown, &POLICY), 60_000);
    let no_loading = Times {
        load: secs(0),
        run: secs(4),
    };
    assert_eq!(least_batch(no_loading, &POLICY), 1);
}

#[test]
fn a_model_is_of_the_class_of_the_cards_that_are_too_small_for_it() {
    let classes = [7, 12, 13, 21, 24, 40, 80, 81].map(size_class);
    assert_eq!(classes, [0, 0, 1, 2, 2, 3, 4, 5]);
}

/// The plan for one free slot and these queues, none of them open and all of them settled; a queue without a candidate was
/// served at that time.
fn order(candidates: &[(Option<Candidate>, u64)], card: &CardView) -> Vec<usize> {
    let mut queues: Vec<_> = candidates
        .iter()
        .map(|(_, served)| QueueView {
            admitted: true,
            idle: 0,
            served: *served,
        })
        .collect();
    let candidates: Vec<_> = candidates.iter().map(|(candidate, _)| *candidate).collect();
    arrange(&mut queues, &candidates, card, &POLICY);
    let mut opened = Vec::new();
    loop {
        let plan = choose(&View {
            free: 1,
            settled: true,
            queues: queues.clone(),
        });
        assert_eq!(plan.close, []);
        let Some(place) = plan.open.first() else {
            return opened;
        };
        opened.push(*place);
        queues[*place].idle += 1;
    }
}

#[test]
fn queues_open_in_the_order_due_then_warm_then_cold() {
    let warm = Candidate {
        warm: true,
        ..stories(waits(3, 1, 0))
    };
    let due = stories(waits(1, 0, 200));
    let cold = stories(waits(1, 0, 0));
    let all = [
        (Some(cold), 0),
        (Some(warm), 9),
        (None, 5),
        (None, 3),
        (Some(due), 9),
    ];
    assert_eq!(order(&all, &wan_idle(9)), [4, 3, 2, 1, 0]);
    assert_eq!(order(&all, &wan_at_work(500, 9)), [4, 3, 2, 1]);
}

#[test]
fn of_cold_queues_the_one_that_waited_longest_is_first_and_size_and_price_count() {
    let cold = |oldest, class, price| {
        let candidate = Candidate {
            class,
            price: secs(price),
            ..stories(waits(1, 0, oldest))
        };
        (Some(candidate), 0)
    };
    let card = wan_idle(9);
    assert_eq!(order(&[cold(10, 0, 500), cold(20, 0, 500)], &card), [1, 0]);
    assert_eq!(order(&[cold(10, 1, 500), cold(170, 0, 500)], &card), [0, 1]);
    assert_eq!(order(&[cold(10, 0, 500), cold(50, 0, 530)], &card), [0, 1]);
}

#[test]
fn without_hints_the_largest_cold_queue_is_first() {
    let cold = |class| {
        let candidate = Candidate {
            class,
            ..stories(None)
        };
        (Some(candidate), 0)
    };
    assert_eq!(
        order(&[cold(0), cold(2), cold(1)], &empty(Some(9))),
        [1, 2, 0]
    );
}

#[test]
fn queues_that_need_no_card_are_left_as_they_were() {
    let all: Vec<_> = [7, 3, 5].map(|served| (None, served)).to_vec();
    for card in [wan_at_work(5, 1), wan_idle(9), empty(None)] {
        let card = CardView {
            spoken_for: true,
            ..card
        };
        assert_eq!(order(&all, &card), [1, 2, 0]);
    }
}

#[test]
fn a_queue_that_is_not_admitted_stays_so() {
    let mut queues = [QueueView {
        admitted: false,
        idle: 1,
        served: 0,
    }];
    let warm = Candidate {
        warm: true,
        ..stories(None)
    };
    arrange(&mut queues, &[Some(warm)], &wan_idle(9), &POLICY);
    let plan = choose(&View {
        free: 1,
        settled: true,
        queues: queues.to_vec(),
    });
    let closed = Plan {
        close: vec![(0, 1)],
        ..Plan::default()
    };
    assert_eq!(plan, closed);
}

#[test]
fn the_reasons_name_the_model_and_the_figures() {
    let said = |why: Stand| match why {
        Stand::Shut(why) => why.to_string(),
        Stand::Open(_) => panic!("open"),
    };
    assert_eq!(
        said(rent()),
        "wan is loaded and has work; changing models costs 57 s and is done for a job that has waited 114 s for it"
    );
    assert_eq!(
        said(batch()),
        "wan was loaded a short while ago and serves 3 jobs first, unless a job waits 180 s for it"
    );
}
