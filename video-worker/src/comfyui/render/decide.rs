//! What to do next for a take. Pure.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use tokio::time::Instant;

use super::follow::Follow;
use super::judge::{Verdict, judge};
use super::pace::{
    AWAY_PAUSE, DOUBT, LOOK_EVERY, LOOK_WAITING, PEEK_EVERY, PEEK_SOON, RESTART_AFTER, SOON,
    STOP_AGAIN, STOP_WITHIN, STUCK_AFTER, TRIES,
};
use super::picture::{Found, Picture, Place};
use super::trouble::Trouble;
use super::{Do, NotCollected, Policy, Seen, Submitted};
use crate::comfyui::client::{Entry, NodeFailure, OutputFile, Word};
use crate::comfyui::graph::{Limits, Output};
use crate::comfyui::tag::Tag;

/// One take at a server.
#[derive(Debug)]
pub struct Render {
    output: Output,
    limits: Limits,
    policy: Policy,
    /// The submission that counts.
    tag: Tag,
    /// Whether an earlier run wrote down that it sent this take.
    noted: bool,
    phase: Phase,
    /// Whether nothing runs or waits at the server, as it was seen last.
    is_free: bool,
    away_since: Option<Instant>,
    stuck_since: Option<Instant>,
    restarted: bool,
    sent: u32,
    stops: u32,
    nothings: u32,
    out_of_memory: Option<NodeFailure>,
    notes: Vec<String>,
}

#[derive(Debug)]
enum Phase {
    /// Is it there already?
    Searching {
        again: bool,
    },
    /// Is its file there? `again`: asked for the second time.
    Finding {
        again: bool,
    },
    /// Somebody else's work comes first.
    Waiting,
    Submitting,
    Following(Follow),
    Stopping {
        why: Trouble,
        since: Instant,
        told_at: Instant,
    },
    /// What comes after the server has freed its memory: a failure, or another try.
    Freeing(Option<Trouble>),
    Collecting {
        by_name: bool,
    },
}

impl Render {
    /// A take; `noted` is the submission that an earlier run at this worker wrote down.
    pub fn new(
        output: Output,
        limits: Limits,
        policy: Policy,
        tag: Tag,
        noted: Option<Tag>,
    ) -> Self {
        let noted = noted.filter(|noted| noted.is_same_take(&tag));
        Self {
            output,
            limits,
            policy,
            tag: noted.unwrap_or(tag),
            noted: noted.is_some(),
            phase: Phase::Searching { again: false },
            is_free: false,
            away_since: None,
            stuck_since: None,
            restarted: false,
            sent: 0,
            stops: 0,
            nothings: 0,
            out_of_memory: None,
            notes: Vec::new(),
        }
    }

    /// The submission that counts now.
    pub const fn tag(&self) -> &Tag {
        &self.tag
    }

    /// What the film-maker should know of how it came about.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What it is doing, with steps done and in all (0 while unknown).
    pub fn says(&self) -> (String, u32, u32) {
        let plain = |text: &str| (text.to_owned(), 0, 0);
        if self.away_since.is_some() {
            return plain("waiting for ComfyUI to come back");
        }
        match &self.phase {
            Phase::Searching { .. } | Phase::Finding { .. } => plain("looking for earlier work"),
            Phase::Waiting => plain("waiting for others at ComfyUI"),
            Phase::Submitting => plain("sending to ComfyUI"),
            Phase::Following(follow) if follow.running_since.is_none() => {
                plain("in line at ComfyUI")
            }
            Phase::Following(follow) => {
                let (done, of) = follow.steps();
                (
                    follow
                        .node
                        .clone()
                        .unwrap_or_else(|| "rendering".to_owned()),
                    done,
                    of,
                )
            }
            Phase::Stopping { .. } => plain("stopping"),
            Phase::Freeing(_) => plain("freeing memory"),
            Phase::Collecting { .. } => plain("collecting"),
        }
    }

    /// What to do next.
    pub fn next(&mut self, seen: Seen, now: Instant) -> Do {
        if !matches!(
            seen,
            Seen::Away(_) | Seen::Time | Seen::Word(_) | Seen::Deaf | Seen::Unwanted
        ) {
            self.away_since = None;
        }
        match seen {
            Seen::Begin => Do::Look,
            Seen::Picture(picture) => self.on_picture(picture, now),
            Seen::Entry(Some(entry)) => self.on_ended(&entry),
            Seen::Entry(None) => self.on_quiet(now),
            Seen::File(file) => self.on_file(file),
            Seen::Submitted(submitted) => self.on_submitted(submitted),
            Seen::Word(word) => self.on_word(word, now),
            Seen::Deaf => {
                if let Phase::Following(follow) = &mut self.phase {
                    follow.hears = false;
                }
                self.on_quiet(now)
            }
            Seen::Time => self.on_time(now),
            Seen::Away(reason) => self.on_away(reason, now),
            Seen::Freed(freed) => self.on_freed(freed),
            Seen::Restarted => Do::Listen(AWAY_PAUSE),
            Seen::NotCollected(why) => self.on_not_collected(why),
            Seen::Unwanted => self.stop(Trouble::Unwanted, now),
        }
    }

    fn on_picture(&mut self, picture: Picture, now: Instant) -> Do {
        self.is_free = !picture.runs && picture.pending == 0;
        if picture.runs || picture.pending == 0 {
            self.stuck_since = None;
        }
        let stuck = !picture.runs && picture.pending > 0;
        let stuck = stuck && self.is_longer_than(STUCK_AFTER, now);
        match picture.ours {
            // What ended before this submission was judged before it.
            Place::Ended { submission, entry } if submission >= self.tag.submission => {
                self.tag.submission = submission;
                self.on_ended(&entry)
            }
            Place::Running(found) => self.on_found(&found, true, now),
            Place::Pending(found) => {
                let next = self.on_found(&found, false, now);
                match stuck && !matches!(self.phase, Phase::Stopping { .. }) {
                    true => self.stop(dead(), now),
                    false => next,
                }
            }
            Place::Ended { .. } | Place::Nowhere
                if stuck && !matches!(self.phase, Phase::Stopping { .. }) =>
            {
                Do::Fail(dead())
            }
            Place::Ended { .. } | Place::Nowhere => self.on_nowhere(),
        }
    }

    /// Whether the server has been stuck for so long.
    fn is_longer_than(&mut self, limit: Duration, now: Instant) -> bool {
        let since = *self.stuck_since.get_or_insert(now);
        now.duration_since(since) > limit
    }

    fn on_found(&mut self, found: &Found, runs: bool, now: Instant) -> Do {
        let since = now.checked_sub(found.ran_for).unwrap_or(now);
        let is_another = self.tag.submission != found.submission;
        self.tag.submission = found.submission;
        match &mut self.phase {
            Phase::Stopping { since, told_at, .. } => {
                if now.duration_since(*since) > STOP_WITHIN {
                    return Do::Fail(Trouble::DeadExecutor(
                        "a prompt that was interrupted goes on",
                    ));
                }
                if is_another || now.duration_since(*told_at) > STOP_AGAIN {
                    *told_at = now;
                    return Do::Stop(self.tag);
                }
                Do::Listen(PEEK_EVERY)
            }
            Phase::Following(follow) => {
                follow.misses = 0;
                follow.looked_at = Some(now);
                if runs {
                    follow.running_since.get_or_insert(since);
                }
                self.on_quiet(now)
            }
            Phase::Searching { .. }
            | Phase::Finding { .. }
            | Phase::Waiting
            | Phase::Submitting
            | Phase::Freeing(_)
            | Phase::Collecting { .. } => {
                let mut follow = Follow::new(false);
                follow.looked_at = Some(now);
                follow.running_since = runs.then_some(since);
                self.phase = Phase::Following(follow);
                Do::Listen(PEEK_EVERY)
            }
        }
    }

    fn on_nowhere(&mut self) -> Do {
        match &mut self.phase {
            Phase::Searching { again } => {
                self.phase = Phase::Finding { again: *again };
                Do::Find
            }
            Phase::Following(follow) => {
                follow.misses += 1;
                follow.looked_at = None;
                if follow.misses < 2 {
                    return Do::Listen(DOUBT);
                }
                self.phase = Phase::Finding { again: true };
                Do::Find
            }
            Phase::Stopping { why, .. } => {
                let why = why.clone();
                self.stopped(why)
            }
            Phase::Finding { .. }
            | Phase::Waiting
            | Phase::Submitting
            | Phase::Freeing(_)
            | Phase::Collecting { .. } => self.wait_or_send(),
        }
    }

    fn on_file(&mut self, file: Option<OutputFile>) -> Do {
        let Phase::Finding { again } = self.phase else {
            return Do::Look;
        };
        if let Some(file) = file {
            self.phase = Phase::Collecting { by_name: true };
            return Do::Collect(file);
        }
        let was_sent = self.noted || self.sent > 0;
        if was_sent && !again {
            self.phase = Phase::Searching { again: true };
            return Do::Listen(DOUBT);
        }
        if was_sent {
            self.notes
                .push("ComfyUI lost the render, and it was begun again".to_owned());
        }
        self.wait_or_send()
    }

    fn wait_or_send(&mut self) -> Do {
        self.phase = Phase::Waiting;
        match self.is_free {
            true => self.send(),
            false => Do::Listen(LOOK_WAITING),
        }
    }

    fn send(&mut self) -> Do {
        if self.sent >= 2 * TRIES {
            return Do::Fail(Trouble::Lost(self.sent));
        }
        self.sent += 1;
        self.phase = Phase::Submitting;
        Do::Submit(self.tag)
    }

    /// Another try at the same take, under another id and name.
    fn send_anew(&mut self) -> Do {
        self.tag.submission += 1;
        self.phase = Phase::Waiting;
        Do::Look
    }

    fn on_submitted(&mut self, submitted: Submitted) -> Do {
        match submitted {
            Submitted::Taken => {
                self.phase = Phase::Following(Follow::new(true));
                Do::Listen(PEEK_EVERY)
            }
            Submitted::Unclear => {
                self.phase = Phase::Searching { again: false };
                Do::Listen(DOUBT)
            }
            Submitted::Refused(trouble) => Do::Fail(trouble),
        }
    }

    fn on_word(&mut self, word: Word, now: Instant) -> Do {
        let Phase::Following(follow) = &mut self.phase else {
            return Do::Listen(PEEK_EVERY);
        };
        let ended = word == Word::Ended && follow.ended_at.is_none();
        follow.hear(word, now);
        match ended {
            true => Do::Peek,
            false => self.on_quiet(now),
        }
    }

    /// Nothing has ended: go on listening, unless that is for too long already.
    fn on_quiet(&mut self, now: Instant) -> Do {
        let Phase::Following(follow) = &mut self.phase else {
            return Do::Listen(PEEK_EVERY);
        };
        if let Some(trouble) = follow.overdue(&self.limits, now) {
            return self.stop(trouble, now);
        }
        let is_soon = |at: Instant| now.duration_since(at) < SOON;
        match follow.ended_at {
            Some(at) if is_soon(at) => Do::Listen(PEEK_SOON),
            _ => Do::Listen(PEEK_EVERY),
        }
    }

    fn on_time(&mut self, now: Instant) -> Do {
        let Phase::Following(follow) = &mut self.phase else {
            return Do::Look;
        };
        let pause = match follow.running_since {
            Some(_) => LOOK_EVERY,
            None => LOOK_WAITING,
        };
        let is_due = |at: Instant| now.duration_since(at) >= pause;
        match self.away_since.is_some() || follow.looked_at.is_none_or(is_due) {
            true => Do::Look,
            false => Do::Peek,
        }
    }

    fn on_away(&mut self, reason: String, now: Instant) -> Do {
        let since = *self.away_since.get_or_insert(now);
        if let Phase::Stopping {
            why: Trouble::Unwanted,
            ..
        } = self.phase
        {
            return Do::Fail(Trouble::Unwanted);
        }
        match self.phase {
            Phase::Submitting | Phase::Finding { .. } => {
                self.phase = Phase::Searching { again: false };
            }
            Phase::Collecting { .. } => self.phase = Phase::Following(Follow::new(false)),
            Phase::Freeing(Some(_)) => return self.on_freed(false),
            Phase::Freeing(None) => self.phase = Phase::Waiting,
            Phase::Searching { .. }
            | Phase::Waiting
            | Phase::Following(_)
            | Phase::Stopping { .. } => {}
        }
        let away = now.duration_since(since);
        if self.policy.can_restart && !self.restarted && away > RESTART_AFTER {
            self.restarted = true;
            return Do::Restart;
        }
        match away > self.policy.patience {
            true => Do::Fail(Trouble::Gone {
                limit: self.policy.patience,
                reason,
            }),
            false => Do::Listen(AWAY_PAUSE),
        }
    }

    fn on_ended(&mut self, entry: &Entry) -> Do {
        let verdict = judge(entry, &self.output, &self.tag);
        if let Verdict::File(file) = verdict {
            // Paid for, even if it was to be stopped.
            self.phase = Phase::Collecting { by_name: false };
            return Do::Collect(file);
        }
        if let Phase::Stopping { why, .. } = &self.phase {
            let why = why.clone();
            return self.stopped(why);
        }
        match verdict {
            Verdict::File(file) => Do::Collect(file),
            Verdict::Stopped => {
                self.stops += 1;
                match self.stops < TRIES {
                    true => self.send_anew(),
                    false => Do::Fail(Trouble::StoppedByOthers(self.stops)),
                }
            }
            Verdict::OutOfMemory(failure) => self.on_out_of_memory(&failure),
            Verdict::Nothing(why) => self.on_nothing(why),
            Verdict::Failed(trouble) => Do::Fail(trouble),
        }
    }

    fn on_out_of_memory(&mut self, failure: &NodeFailure) -> Do {
        let again = self.out_of_memory.replace(failure.clone()).is_some();
        let then = again.then(|| Trouble::OutOfMemory(failure.clone()));
        if !again {
            let place = format!("node `{}` ({})", failure.node, failure.class);
            self.notes.push(format!(
                "ComfyUI ran out of memory in {place} at the first try; its models were freed and it was tried again"
            ));
        }
        self.phase = Phase::Freeing(then);
        Do::Free
    }

    fn on_nothing(&mut self, why: &'static str) -> Do {
        self.nothings += 1;
        match self.nothings > 1 {
            true => Do::Fail(Trouble::NoResult(why)),
            false => self.send_anew(),
        }
    }

    fn on_freed(&mut self, freed: bool) -> Do {
        let Phase::Freeing(then) = &mut self.phase else {
            return Do::Look;
        };
        match (then.take(), self.out_of_memory.clone()) {
            (Some(trouble), _) => Do::Fail(trouble),
            // What holds the memory is not ComfyUI's to give back.
            (None, Some(failure)) if !freed => Do::Fail(Trouble::OutOfMemory(failure)),
            (None, _) => self.send_anew(),
        }
    }

    fn on_not_collected(&mut self, why: NotCollected) -> Do {
        let by_name = matches!(self.phase, Phase::Collecting { by_name: true });
        match why {
            NotCollected::Missing => self.on_nothing("the file that it names is not there"),
            // Half a file, of a server that was killed while it saved.
            NotCollected::Rejected(_) if by_name => self.send_anew(),
            NotCollected::Rejected(failure) | NotCollected::Failed(failure) => {
                Do::Fail(Trouble::Told(failure))
            }
        }
    }

    /// Has our prompt stopped, wherever it is, and waits until it has.
    fn stop(&mut self, why: Trouble, now: Instant) -> Do {
        self.phase = Phase::Stopping {
            why,
            since: now,
            told_at: now,
        };
        Do::Stop(self.tag)
    }

    fn stopped(&mut self, why: Trouble) -> Do {
        if matches!(why, Trouble::Stalled { .. } | Trouble::Silent { .. }) {
            self.phase = Phase::Freeing(Some(why));
            return Do::Free;
        }
        Do::Fail(why)
    }
}

fn dead() -> Trouble {
    Trouble::DeadExecutor("prompts wait and none runs")
}
