//! A story in the making: what to ask next, and what to make of the answer.

use shared::failure::{Failure, FailureKind};
use shared::story::Story;

use super::bible::{self, Bible};
use super::order::{Order, tokens};
use super::scenes::{self, Shot, Shots};
use super::{checks, judge, story};
use crate::provider::{Ask, Turn};
use crate::schema::Schema;

/// Longest piece of an answer that is shown as evidence, in characters.
const EVIDENCE_MAX: usize = 120;

/// A story in the making.
#[derive(Debug, Clone)]
pub struct Draft {
    order: Order,
    bible: Option<Bible>,
    shots: Vec<Shot>,
    again: Option<Again>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Ask the model this.
    Ask(Box<Ask>),
    /// It is written.
    Done(Box<Story>),
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A whole answer.
    Whole(String),
    /// An answer that ran into the limit.
    Cut,
}

/// Why the current step is asked a second time. There is no third.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Again {
    /// The answer had mistakes.
    Repair { said: String, mistakes: Vec<String> },
    /// The answer was cut.
    Longer,
}

impl Draft {
    /// Begins a story.
    pub const fn new(order: Order) -> Self {
        Self {
            order,
            bible: None,
            shots: Vec::new(),
            again: None,
        }
    }

    /// How many scenes are written.
    pub fn written(&self) -> u32 {
        u32::try_from(self.shots.len()).unwrap_or(u32::MAX)
    }

    /// What is being written, in a few words.
    pub fn phase(&self) -> &'static str {
        match (&self.bible, &self.again) {
            (None, None) => "planning the story",
            (None, Some(_)) => "planning the story again",
            (Some(_), None) => "writing scenes",
            (Some(_), Some(_)) => "writing scenes again",
        }
    }

    /// What to do next.
    ///
    /// # Errors
    /// Permanent, if the premise leaves the context no room for an answer; or the evidence, if the whole is not what its
    /// parts promised.
    pub fn next(&self) -> Result<Next, Failure> {
        let Some(bible) = &self.bible else {
            let ask = self.fitted("bible", &bible::prompt(&self.order), bible::schema());
            return ask.map(Next::Ask).ok_or_else(|| self.no_room());
        };
        let left = self.order.scenes - self.written().min(self.order.scenes);
        if left == 0 {
            let story = story::story(&self.order, bible, &self.shots);
            let mistakes = checks::of_story(&self.order, &story);
            return match mistakes.is_empty() {
                true => Ok(Next::Done(Box::new(story))),
                false => Err(rejected("the story", &mistakes, "")),
            };
        }
        let ask = |count| {
            let prompt = scenes::prompt(&self.order, bible, &self.shots, count);
            self.fitted("scenes", &prompt, scenes::schema(bible, count))
        };
        // As many as the context has room for.
        (1..=self.batch(left))
            .rev()
            .find_map(ask)
            .map(Next::Ask)
            .ok_or_else(|| self.no_room())
    }

    /// Takes in what came of the question that [`Self::next`] told.
    ///
    /// # Errors
    /// The evidence, if the step failed for the second time.
    pub fn answer(&mut self, said: Said) -> Result<(), Failure> {
        let Said::Whole(text) = said else {
            return self.cut();
        };
        match self.take(&text) {
            Ok(()) => {
                self.again = None;
                Ok(())
            }
            Err(mistakes) if self.again.is_none() => {
                self.again = Some(Again::Repair {
                    said: text,
                    mistakes,
                });
                Ok(())
            }
            Err(mistakes) => Err(rejected(self.step(), &mistakes, &text)),
        }
    }

    const fn step(&self) -> &'static str {
        match self.bible {
            None => "the plan of the story",
            Some(_) => "the scenes",
        }
    }

    /// After a cut answer fewer scenes are asked for.
    fn batch(&self, left: u32) -> u32 {
        match self.again {
            Some(Again::Longer) => left.min(scenes::BATCH / 2),
            Some(Again::Repair { .. }) | None => left.min(scenes::BATCH),
        }
    }

    fn take(&mut self, text: &str) -> Result<(), Vec<String>> {
        let ok = |mistakes: Vec<String>| match mistakes.is_empty() {
            true => Ok(()),
            false => Err(mistakes),
        };
        if self.bible.is_none() {
            let bible: Bible = judge::read(text, &bible::schema())?;
            ok(bible.mistakes())?;
            self.bible = Some(bible);
            return Ok(());
        }
        let Ok(Next::Ask(asked)) = self.next() else {
            return Err(vec!["nothing was asked".to_owned()]);
        };
        let Shots { scenes } = judge::read(text, &asked.schema)?;
        let scenes: Vec<Shot> = scenes.into_iter().map(Shot::tidy).collect();
        ok(checks::of_shots(&self.shots, &scenes))?;
        self.shots.extend(scenes);
        Ok(())
    }

    /// A cut answer is neither read nor repaired: once the limit is raised or less is asked for.
    fn cut(&mut self) -> Result<(), Failure> {
        if self.again.is_some() {
            let problem = format!("{} came twice without an end that can be used", self.step());
            return Err(Failure::new(FailureKind::RejectedContent, problem));
        }
        self.again = Some(Again::Longer);
        Ok(())
    }

    /// The question, if it and its answer fit the context.
    fn fitted(&self, name: &'static str, prompt: &str, schema: Schema) -> Option<Box<Ask>> {
        let needed = answer_tokens(&schema);
        let mut turns = vec![Turn::User(prompt.to_owned())];
        if let Some(Again::Repair { said, mistakes }) = &self.again {
            let with_answer = [
                Turn::User(prompt.to_owned()),
                Turn::Model(said.clone()),
                Turn::User(repair(mistakes)),
            ];
            turns = match self.room(&with_answer) >= needed {
                true => with_answer.to_vec(),
                // No room for the answer itself: its mistakes are told all the same.
                false => vec![Turn::User(format!("{prompt}\n\n{}", repair(mistakes)))],
            };
        }
        let room = self.room(&turns);
        let max_tokens = match &self.again {
            Some(Again::Longer) => (needed * 2).min(room),
            Some(Again::Repair { .. }) | None => needed,
        };
        let step = self.written() + u32::from(self.bible.is_some());
        (room >= needed).then(|| {
            Box::new(Ask {
                system: bible::SYSTEM.to_owned(),
                turns,
                name,
                schema,
                max_tokens,
                temperature: self.order.temperature,
                seed: self.order.seed_of(step, self.again.is_some()),
                threads: None,
            })
        })
    }

    /// Tokens that the context has left for an answer. Some are taken by the form that a model's template gives a turn.
    fn room(&self, turns: &[Turn]) -> u32 {
        let said: u32 = turns.iter().map(|turn| tokens(turn.text()) + 16).sum();
        self.order
            .context
            .saturating_sub(said + tokens(bible::SYSTEM) + 16)
    }

    fn no_room(&self) -> Failure {
        let problem = format!(
            "a context of {} tokens has no room for {}; shorten the premise ({} characters) or give the model more context",
            self.order.context,
            self.step(),
            self.order.premise.chars().count()
        );
        Failure::new(FailureKind::Permanent, problem)
    }
}

/// Tokens for the longest answer, and half as many again.
fn answer_tokens(schema: &Schema) -> u32 {
    u32::try_from(schema.longest() / 2).unwrap_or(u32::MAX / 4)
}

fn repair(mistakes: &[String]) -> String {
    format!(
        "That answer cannot be used:\n- {}\nWrite the whole answer again without these mistakes.",
        mistakes.join("\n- ")
    )
}

fn rejected(what: &str, mistakes: &[String], text: &str) -> Failure {
    let said: String = text.chars().take(EVIDENCE_MAX).collect();
    let evidence = match said.is_empty() {
        true => String::new(),
        false => format!("; it began with {said:?}"),
    };
    let mistakes: String = mistakes.join("; ").chars().take(400).collect();
    Failure::new(
        FailureKind::RejectedContent,
        format!("{what} cannot be used, also at the second try: {mistakes}{evidence}"),
    )
}

#[cfg(test)]
mod tests;
