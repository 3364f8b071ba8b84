use std::collections::BTreeMap;
use std::time::Duration;

use shared::failure::FailureKind;
use shared::ids::{JobId, Take};
use shared::time::Timestamp;
use tokio::time::Instant;

use super::*;
use crate::comfyui::client::{Ending, NodeFailure, Saved};
use crate::comfyui::graph::{Limits, Output};

/// A render with a clock of its own.
struct Scene {
    render: Render,
    now: Instant,
}

const LIMITS: Limits = Limits {
    time: Duration::from_secs(600),
    stall: Duration::from_secs(60),
    silence: Duration::from_secs(400),
    silence_of: BTreeMap::new(),
};

fn tag() -> Tag {
    Tag::first(JobId::from_u128(1), Take::FIRST)
}

impl Scene {
    fn begin(noted: Option<Tag>) -> (Self, Do) {
        Self::begin_with(LIMITS, noted)
    }

    fn begin_with(limits: Limits, noted: Option<Tag>) -> (Self, Do) {
        let output = Output {
            node: "save".to_owned(),
            key: None,
        };
        let policy = Policy {
            patience: Duration::from_secs(120),
            can_restart: true,
        };
        let mut scene = Self {
            render: Render::new(output, limits, policy, tag(), noted),
            now: Instant::now(),
        };
        let first = scene.see(Seen::Begin);
        (scene, first)
    }

    /// One that was sent and runs.
    fn running() -> Self {
        Self::with(LIMITS)
    }

    /// The same with other limits.
    fn with(limits: Limits) -> Self {
        let (mut scene, _) = Self::begin_with(limits, None);
        assert_eq!(scene.see(nowhere()), Do::Find);
        assert_eq!(scene.see(Seen::File(None)), Do::Submit(tag()));
        scene.see(Seen::Submitted(Submitted::Taken));
        scene.see(Seen::Word(Word::Node("sampler".to_owned())));
        scene
    }

    fn see(&mut self, seen: Seen) -> Do {
        self.render.next(seen, self.now)
    }

    fn after(&mut self, seconds: u64, seen: Seen) -> Do {
        self.now += Duration::from_secs(seconds);
        self.see(seen)
    }
}

fn picture(ours: Place, runs: bool, pending: usize) -> Seen {
    Seen::Picture(Picture {
        ours,
        runs,
        pending,
    })
}

fn nowhere() -> Seen {
    picture(Place::Nowhere, false, 0)
}

fn found(submission: u32) -> Found {
    Found {
        submission,
        client: None,
        sent_at: None,
        ran_for: Duration::ZERO,
    }
}

fn entry(submission: u32, ending: Ending) -> Entry {
    Entry {
        says_success: ending == Ending::Well,
        ending,
        cached: Vec::new(),
        outputs: vec![Saved {
            node: "save".to_owned(),
            key: "images".to_owned(),
            name: format!("{}_00001_.mp4", tag().submission(submission).stem()),
            subfolder: "callsheet".to_owned(),
            kind: "output".to_owned(),
        }],
    }
}

fn ended(submission: u32, ending: Ending) -> Seen {
    let entry = entry(submission, ending);
    picture(Place::Ended { submission, entry }, false, 0)
}

fn failure(exception: &str, message: &str) -> Ending {
    Ending::Failed(NodeFailure {
        node: "sampler".to_owned(),
        class: "KSampler".to_owned(),
        exception: exception.to_owned(),
        message: message.to_owned(),
    })
}

fn step(done: u32) -> Seen {
    Seen::Word(Word::Step {
        node: "sampler".to_owned(),
        done,
        of: 20,
    })
}

fn kind(decided: Do) -> FailureKind {
    match decided {
        Do::Fail(trouble) => trouble.kind(),
        other => panic!("{other:?} is no failure"),
    }
}

#[test]
fn a_take_that_nobody_has_heard_of_is_sent_and_collected() {
    let mut scene = Scene::running();
    assert!(matches!(scene.see(step(20)), Do::Listen(_)));
    assert_eq!(scene.render.says(), ("sampler".to_owned(), 20, 20));
    assert_eq!(scene.see(Seen::Word(Word::Ended)), Do::Peek);
    // The word comes before the history is written.
    assert!(
        matches!(scene.see(Seen::Entry(None)), Do::Listen(pause) if pause < Duration::from_millis(100))
    );
    let collect = scene.see(Seen::Entry(Some(entry(0, Ending::Well))));
    assert!(matches!(collect, Do::Collect(_)), "{collect:?}");
    assert!(scene.render.notes().is_empty());
}

#[test]
fn the_end_is_seen_without_a_word_over_the_socket() {
    let (mut scene, _) = Scene::begin(None);
    scene.see(nowhere());
    scene.see(Seen::File(None));
    let Do::Listen(pause) = scene.see(Seen::Submitted(Submitted::Taken)) else {
        panic!()
    };
    assert!(pause <= Duration::from_millis(500));
    assert_eq!(scene.see(Seen::Time), Do::Look);
    let listen = scene.see(picture(Place::Running(found(0)), true, 0));
    assert!(matches!(listen, Do::Listen(_)), "{listen:?}");
    assert_eq!(scene.see(Seen::Time), Do::Peek);
    let collect = scene.see(Seen::Entry(Some(entry(0, Ending::Well))));
    assert!(matches!(collect, Do::Collect(_)), "{collect:?}");
}

#[test]
fn what_runs_is_attached_to_what_is_finished_is_collected_and_nothing_is_sent() {
    for noted in [None, Some(tag())] {
        let (mut scene, first) = Scene::begin(noted);
        assert_eq!(first, Do::Look);
        let attached = scene.see(picture(Place::Running(found(0)), true, 0));
        assert!(matches!(attached, Do::Listen(_)));
        let (mut scene, _) = Scene::begin(noted);
        assert!(matches!(scene.see(ended(0, Ending::Well)), Do::Collect(_)));
        let (mut scene, _) = Scene::begin(noted);
        scene.see(nowhere());
        let file = OutputFile {
            name: "x".to_owned(),
            subfolder: String::new(),
        };
        assert_eq!(scene.see(Seen::File(Some(file.clone()))), Do::Collect(file));
    }
}

#[test]
fn a_render_that_was_written_down_is_looked_for_twice_before_it_is_sent_again() {
    let (mut scene, _) = Scene::begin(Some(tag()));
    assert_eq!(scene.see(nowhere()), Do::Find);
    assert!(matches!(scene.see(Seen::File(None)), Do::Listen(_)));
    assert_eq!(scene.see(Seen::Time), Do::Look);
    assert_eq!(scene.see(nowhere()), Do::Find);
    assert_eq!(scene.see(Seen::File(None)), Do::Submit(tag()));
    assert_eq!(scene.render.notes().len(), 1);
}

#[test]
fn an_answer_that_was_lost_does_not_send_it_twice() {
    let (mut scene, _) = Scene::begin(None);
    scene.see(nowhere());
    scene.see(Seen::File(None));
    assert!(matches!(
        scene.see(Seen::Submitted(Submitted::Unclear)),
        Do::Listen(_)
    ));
    assert_eq!(scene.see(Seen::Time), Do::Look);
    assert!(matches!(
        scene.see(picture(Place::Pending(found(0)), true, 1)),
        Do::Listen(_)
    ));
    assert!(scene.render.notes().is_empty());
}

#[test]
fn half_a_file_of_a_server_that_was_killed_is_not_taken_and_the_take_is_sent_under_another_name() {
    let (mut scene, _) = Scene::begin(Some(tag()));
    scene.see(nowhere());
    let file = OutputFile {
        name: "x".to_owned(),
        subfolder: String::new(),
    };
    scene.see(Seen::File(Some(file)));
    let rejected = Failure::new(FailureKind::RejectedContent, "half");
    assert_eq!(
        scene.see(Seen::NotCollected(NotCollected::Rejected(rejected))),
        Do::Look
    );
    assert_eq!(scene.see(nowhere()), Do::Submit(tag().submission(1)));
}

#[test]
fn a_blank_clip_is_a_failure() {
    let (mut scene, _) = Scene::begin(None);
    scene.see(ended(0, Ending::Well));
    let rejected = Failure::new(FailureKind::RejectedContent, "blank");
    let failed = scene.see(Seen::NotCollected(NotCollected::Rejected(rejected)));
    assert_eq!(kind(failed), FailureKind::RejectedContent);
}

#[test]
fn a_person_at_the_same_server_is_waited_for() {
    let (mut scene, _) = Scene::begin(None);
    assert_eq!(scene.see(picture(Place::Nowhere, true, 2)), Do::Find);
    assert!(matches!(scene.see(Seen::File(None)), Do::Listen(_)));
    for _ in 0..1_000 {
        assert_eq!(scene.after(1, Seen::Time), Do::Look);
        let waits = scene.see(picture(Place::Nowhere, true, 1));
        assert!(matches!(waits, Do::Listen(_)), "{waits:?}");
    }
    assert!(scene.render.says().0.contains("waiting for others"));
    scene.see(Seen::Time);
    assert_eq!(scene.see(nowhere()), Do::Submit(tag()));
}

#[test]
fn a_dead_executor_is_noticed_within_a_minute() {
    // Before anything is sent.
    let (mut scene, _) = Scene::begin(None);
    scene.see(picture(Place::Nowhere, false, 1));
    scene.see(Seen::File(None));
    let failed = scene.after(11, picture(Place::Nowhere, false, 1));
    assert!(
        matches!(failed, Do::Fail(Trouble::DeadExecutor(_))),
        "{failed:?}"
    );
    // With ours in line.
    let (mut scene, _) = Scene::begin(None);
    scene.see(nowhere());
    scene.see(Seen::File(None));
    scene.see(Seen::Submitted(Submitted::Taken));
    scene.see(picture(Place::Pending(found(0)), false, 1));
    let stop = scene.after(11, picture(Place::Pending(found(0)), false, 1));
    assert_eq!(stop, Do::Stop(tag()));
    assert_eq!(kind(scene.see(nowhere())), FailureKind::Lost);
}

#[test]
fn silence_while_a_model_loads_or_a_vae_decodes_is_no_stall() {
    let mut scene = Scene::running();
    assert!(matches!(scene.after(300, Seen::Entry(None)), Do::Listen(_)));
    scene.see(step(1));
    scene.after(59, step(20));
    assert!(matches!(scene.after(61, Seen::Entry(None)), Do::Listen(_)));
    scene.see(Seen::Word(Word::Node("decode".to_owned())));
    assert!(matches!(scene.after(100, Seen::Entry(None)), Do::Listen(_)));
}

#[test]
fn a_step_that_does_not_come_is_a_stall_which_is_stopped_freed_and_told() {
    let mut scene = Scene::running();
    scene.see(step(7));
    // The same step in its other form is no news.
    assert!(matches!(scene.after(40, step(7)), Do::Listen(_)));
    assert_eq!(scene.after(21, Seen::Entry(None)), Do::Stop(tag()));
    assert!(matches!(
        scene.see(picture(Place::Running(found(0)), true, 0)),
        Do::Listen(_)
    ));
    assert_eq!(scene.see(ended(0, Ending::Interrupted)), Do::Free);
    let Do::Fail(trouble) = scene.see(Seen::Freed(true)) else {
        panic!()
    };
    assert_eq!(trouble.kind(), FailureKind::Stalled);
    assert!(trouble.to_string().contains("step 7 of 20"), "{trouble}");
}

#[test]
fn a_node_that_says_nothing_for_longer_than_its_limit_is_stopped_freed_and_told() {
    let mut scene = Scene::running();
    assert!(matches!(scene.after(400, Seen::Entry(None)), Do::Listen(_)));
    assert_eq!(scene.after(1, Seen::Entry(None)), Do::Stop(tag()));
    assert_eq!(scene.see(ended(0, Ending::Interrupted)), Do::Free);
    let Do::Fail(trouble) = scene.see(Seen::Freed(true)) else {
        panic!()
    };
    assert_eq!(trouble.kind(), FailureKind::Stalled);
    assert!(trouble.to_string().contains("node `sampler`"), "{trouble}");

    // Each node has its own limit, and a word begins it anew.
    let mut scene = Scene::with(Limits {
        silence_of: [("decode".to_owned(), Duration::from_secs(30))].into(),
        ..LIMITS
    });
    scene.after(390, Seen::Word(Word::Node("decode".to_owned())));
    assert!(matches!(scene.after(30, Seen::Entry(None)), Do::Listen(_)));
    assert_eq!(scene.after(1, Seen::Entry(None)), Do::Stop(tag()));

    // A server that has never said a word may be deaf, and is judged by its time alone.
    let (mut scene, _) = Scene::begin(None);
    scene.see(nowhere());
    scene.see(Seen::File(None));
    scene.see(Seen::Submitted(Submitted::Taken));
    scene.see(picture(Place::Running(found(0)), true, 0));
    assert!(matches!(scene.after(500, Seen::Entry(None)), Do::Listen(_)));
}

#[test]
fn the_time_of_a_render_that_was_found_counts_from_when_it_began() {
    let ran = |seconds| Found {
        ran_for: Duration::from_secs(seconds),
        ..found(0)
    };
    let (mut scene, _) = Scene::begin(Some(tag()));
    scene.see(picture(Place::Running(ran(500)), true, 0));
    assert!(matches!(scene.after(100, Seen::Entry(None)), Do::Listen(_)));
    assert_eq!(scene.after(1, Seen::Entry(None)), Do::Stop(tag()));
    // What waited in line when it was found has its time from when it runs.
    let (mut scene, _) = Scene::begin(Some(tag()));
    scene.see(picture(Place::Pending(found(0)), true, 1));
    scene.after(550, picture(Place::Running(ran(1)), true, 0));
    assert!(matches!(scene.after(590, Seen::Entry(None)), Do::Listen(_)));
}

#[test]
fn a_render_begins_when_it_is_sent_or_when_the_one_before_it_has_ended() {
    let at = Timestamp::from_millis;
    let ran_for = |sent_at, last_end| {
        let found = Found {
            sent_at,
            ..found(0)
        };
        found.begun_after(last_end, at(10_000)).ran_for.as_millis()
    };
    assert_eq!(ran_for(Some(at(4_000)), None), 6_000);
    assert_eq!(ran_for(Some(at(4_000)), Some(at(1_000))), 6_000);
    assert_eq!(ran_for(Some(at(4_000)), Some(at(9_000))), 1_000);
    // Of an older worker's prompt nothing is known, and clocks may differ.
    assert_eq!(ran_for(None, Some(at(9_000))), 0);
    assert_eq!(ran_for(Some(at(12_000)), None), 0);
}

#[test]
fn where_steps_may_not_be_heard_of_their_absence_says_nothing() {
    let mut scene = Scene::running();
    scene.see(step(7));
    scene.see(Seen::Deaf);
    assert!(matches!(scene.after(500, Seen::Entry(None)), Do::Listen(_)));
    assert_eq!(scene.after(101, Seen::Entry(None)), Do::Stop(tag()));
}

#[test]
fn at_the_time_limit_it_is_stopped_and_waited_for_until_it_has_stopped() {
    let mut scene = Scene::running();
    assert_eq!(scene.after(601, Seen::Entry(None)), Do::Stop(tag()));
    for _ in 0..5 {
        let waits = scene.after(10, picture(Place::Running(found(0)), true, 0));
        assert!(matches!(waits, Do::Listen(_) | Do::Stop(_)), "{waits:?}");
    }
    assert_eq!(
        kind(scene.see(ended(0, Ending::Interrupted))),
        FailureKind::TimedOut
    );
}

#[test]
fn a_prompt_that_cannot_be_stopped_tells_of_a_dead_executor() {
    let mut scene = Scene::running();
    scene.after(601, Seen::Entry(None));
    let failed = scene.after(61, picture(Place::Running(found(0)), true, 0));
    assert!(
        matches!(failed, Do::Fail(Trouble::DeadExecutor(_))),
        "{failed:?}"
    );
}

#[test]
fn an_interrupt_that_comes_too_late_gives_the_clip() {
    let mut scene = Scene::running();
    assert_eq!(scene.see(Seen::Unwanted), Do::Stop(tag()));
    assert!(matches!(scene.see(ended(0, Ending::Well)), Do::Collect(_)));
}

#[test]
fn out_of_memory_is_tried_once_more_after_everything_was_freed_and_told_in_the_take() {
    let oom = || failure("torch.OutOfMemoryError", "Allocation on device ");
    let mut scene = Scene::running();
    assert_eq!(scene.see(Seen::Entry(Some(entry(0, oom())))), Do::Free);
    assert_eq!(scene.see(Seen::Freed(true)), Do::Look);
    assert_eq!(scene.see(nowhere()), Do::Submit(tag().submission(1)));
    assert!(scene.render.notes()[0].contains("out of memory in node `sampler`"));
    scene.see(Seen::Submitted(Submitted::Taken));
    assert_eq!(scene.see(Seen::Entry(Some(entry(1, oom())))), Do::Free);
    assert_eq!(kind(scene.see(Seen::Freed(true))), FailureKind::OutOfMemory);
    // Where freeing frees nothing, it is not tried again.
    let mut scene = Scene::running();
    scene.see(Seen::Entry(Some(entry(0, oom()))));
    assert_eq!(
        kind(scene.see(Seen::Freed(false))),
        FailureKind::OutOfMemory
    );
}

#[test]
fn a_node_that_fails_fails_the_job_even_if_the_status_says_success() {
    let mut scene = Scene::running();
    let mut lie = entry(0, failure("graph.DependencyCycleError", "cycle"));
    lie.says_success = true;
    assert_eq!(
        kind(scene.see(Seen::Entry(Some(lie)))),
        FailureKind::Permanent
    );
    let mut scene = Scene::running();
    let broken = failure(
        "RuntimeError",
        "CUDA error: an illegal memory access was encountered",
    );
    let Do::Fail(trouble) = scene.see(Seen::Entry(Some(entry(0, broken)))) else {
        panic!()
    };
    assert!(trouble.wants_a_restart() && trouble.kind() == FailureKind::Transient);
}

#[test]
fn a_cached_file_is_never_a_new_take() {
    let mut scene = Scene::running();
    let mut cached = entry(0, Ending::Well);
    cached.cached = vec!["save".to_owned()];
    assert_eq!(scene.see(Seen::Entry(Some(cached.clone()))), Do::Look);
    assert_eq!(scene.see(nowhere()), Do::Submit(tag().submission(1)));
    scene.see(Seen::Submitted(Submitted::Taken));
    assert_eq!(
        kind(scene.see(Seen::Entry(Some(cached)))),
        FailureKind::RejectedContent
    );
    // The same where its file is gone.
    let mut scene = Scene::running();
    scene.see(Seen::Entry(Some(entry(0, Ending::Well))));
    assert_eq!(
        scene.see(Seen::NotCollected(NotCollected::Missing)),
        Do::Look
    );
}

#[test]
fn what_a_person_stopped_is_begun_again_but_not_for_ever() {
    let mut scene = Scene::running();
    for submission in 0..2 {
        assert_eq!(
            scene.see(Seen::Entry(Some(entry(submission, Ending::Interrupted)))),
            Do::Look
        );
        let sent = scene.see(ended(submission, Ending::Interrupted));
        assert_eq!(sent, Do::Submit(tag().submission(submission + 1)));
        scene.see(Seen::Submitted(Submitted::Taken));
    }
    let failed = scene.see(Seen::Entry(Some(entry(2, Ending::Interrupted))));
    assert_eq!(kind(failed), FailureKind::Cancelled);
}

#[test]
fn a_server_that_goes_away_is_waited_for_started_anew_and_given_up_after_its_limit() {
    let away = || Seen::Away("refused".to_owned());
    let mut scene = Scene::running();
    assert!(matches!(scene.see(away()), Do::Listen(_)));
    assert_eq!(scene.see(Seen::Time), Do::Look);
    assert_eq!(scene.after(11, away()), Do::Restart);
    assert!(matches!(scene.see(Seen::Restarted), Do::Listen(_)));
    assert!(matches!(scene.after(100, away()), Do::Listen(_)));
    // It is back and has forgotten everything, but the clip is there.
    scene.see(Seen::Time);
    assert!(matches!(scene.see(nowhere()), Do::Listen(_)));
    scene.see(Seen::Time);
    assert_eq!(scene.see(nowhere()), Do::Find);

    let mut scene = Scene::running();
    scene.see(away());
    scene.after(11, away());
    let failed = scene.after(121, away());
    assert!(
        matches!(failed, Do::Fail(Trouble::Gone { .. })),
        "{failed:?}"
    );
    assert_eq!(kind(failed), FailureKind::Lost);
}
