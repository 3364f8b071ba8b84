//! What `callsheet doctor` looks at: each thing by itself, with a verdict and what to do. A new thing to look at is one more
//! function that answers with a [`Check`].

mod artifacts;
mod broker;
mod card;
mod certificate;
mod comfyui;
mod coordinator;
mod data_dir;
mod disk;
mod ffmpeg;
mod host;
mod models;
mod settings;
mod store;
mod token;
mod workflows;

pub(crate) use self::artifacts::{artifacts, folder_of, is_with_a_coordinator};
pub(crate) use self::broker::broker;
pub(crate) use self::card::{card, ledger};
pub(crate) use self::certificate::certificate;
pub(crate) use self::comfyui::{comfyui, no_comfyui};
pub(crate) use self::coordinator::coordinator;
pub(crate) use self::data_dir::data_dir;
pub(crate) use self::disk::disk;
pub(crate) use self::ffmpeg::ffmpeg;
pub(crate) use self::host::Host;
pub(crate) use self::models::models;
pub(crate) use self::settings::settings;
pub(crate) use self::store::store;
pub(crate) use self::token::token;
pub(crate) use self::workflows::workflows;

use serde::Serialize;

use crate::term;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What was looked at, as `ffmpeg`.
    pub(crate) what: String,
    /// How it is.
    pub(crate) verdict: Verdict,
    /// In a line: what was found, or what is wrong and what to do.
    pub(crate) told: String,
    /// More lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) more: Vec<String>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// As it should be.
    Well,
    /// Films can be made without it, or it will do for some of them.
    Note,
    /// Someone must do something.
    Bad,
}

/// What somebody may have overlooked who looks after a service: it gets its secrets by its environment, and the doctor has another.
fn given_by_environment(variables: &[&str]) -> String {
    format!(
        "what a service gets from its environment must be given to the doctor, too: {} (with systemd `callsheet-doctor` does)",
        variables.join(", ")
    )
}

impl Check {
    fn new(what: impl Into<String>, verdict: Verdict, told: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            verdict,
            told: told.into(),
            more: Vec::new(),
        }
    }

    fn with(mut self, more: Vec<String>) -> Self {
        self.more = more;
        self
    }

    /// As lines for a person; `width` is that of the longest name.
    pub(crate) fn text(&self, width: usize) -> String {
        let mark = match self.verdict {
            Verdict::Well => "ok",
            Verdict::Note => "--",
            Verdict::Bad => "!!",
        };
        let mut lines = vec![format!("{mark}  {:width$}  {}", self.what, self.told)];
        // A reason can have lines of its own.
        let more = self.more.iter().flat_map(|more| more.lines());
        lines.extend(more.map(|line| format!("    {:width$}  {line}", "")));
        lines
            .iter()
            .map(|line| term::plain(line))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_below_each_other_and_a_terminal_obeys_none_of_it() {
        let check =
            Check::new("x", Verdict::Bad, "no\u{1b}[2J").with(vec!["first\nsecond".to_owned()]);
        assert_eq!(
            check.text(3),
            "!!  x    no\u{fffd}[2J\n         first\n         second"
        );
    }
}
