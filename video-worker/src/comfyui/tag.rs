//! How a render is found again: by its job and take, in the id of its prompt, in what goes with it and in the names of its files.

use serde::{Deserialize, Serialize};
use shared::artifact::Sha256;
use shared::ids::{JobId, Take};

/// The folder below ComfyUI's output and input folders where our files are.
pub const FOLDER: &str = "callsheet";
/// The key of our tag in a prompt's `extra_data`.
pub const EXTRA: &str = "callsheet";

/// Beside the tag: when the prompt was sent, in milliseconds since 1970.
pub const SENT_AT: &str = "sent_at_ms";

/// Which work a prompt does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The job.
    pub job: JobId,
    /// The take.
    pub take: Take,
    /// Which try at the take, from 0: a take is submitted anew under another id and file name after it has run out of memory, or
    /// was stopped by somebody.
    pub submission: u32,
}

impl Tag {
    /// The first submission of a take.
    pub const fn first(job: JobId, take: Take) -> Self {
        Self {
            job,
            take,
            submission: 0,
        }
    }

    /// The same take, submitted that often before.
    pub const fn submission(self, submission: u32) -> Self {
        Self { submission, ..self }
    }

    /// Whether both are of the same job and take.
    pub fn is_same_take(&self, other: &Self) -> bool {
        self.job == other.job && self.take == other.take
    }

    /// The id of its prompt: a UUID in the form that all versions accept, and the same whoever works it out, so that a worker
    /// that has no notes finds it, too.
    pub fn prompt(&self) -> String {
        let Self {
            job,
            take,
            submission,
        } = self;
        let text = format!("callsheet prompt {job} {take} {submission}");
        let digits = Sha256::of(text.as_bytes()).to_string();
        // Version 8: made by a rule of one's own.
        let (a, b, c) = (&digits[..8], &digits[8..12], &digits[13..16]);
        let (d, e) = (&digits[17..20], &digits[20..32]);
        format!("{a}-{b}-8{c}-a{d}-{e}")
    }

    /// What the names of its output files begin with, the folder included.
    pub fn prefix(&self) -> String {
        format!("{FOLDER}/{}", self.stem())
    }

    /// What the names of its output files begin with.
    pub fn stem(&self) -> String {
        let Self {
            job,
            take,
            submission,
        } = self;
        format!("{job}-take{take}-{submission}")
    }

    /// The name of its start image at the server.
    pub fn start_image(&self, hash: &Sha256) -> String {
        let hash = hash.to_string();
        format!("{}-{}.png", self.job, &hash[..16])
    }

    /// Reads it from a note.
    pub fn from_note(note: &str) -> Option<Self> {
        serde_json::from_str(note).ok()
    }

    /// Writes it as a note.
    pub fn to_note(&self) -> String {
        serde_json::to_string(self).expect("ids and numbers are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_submission_has_an_id_and_a_name_of_its_own_and_the_same_one_always() {
        let tag = Tag::first(JobId::from_u128(7), Take::FIRST);
        assert_eq!(tag.prompt(), tag.prompt());
        let others = [
            tag.submission(1),
            Tag::first(JobId::from_u128(7), Take::new(2)),
            Tag::first(JobId::from_u128(8), Take::FIRST),
        ];
        for other in others {
            assert_ne!(other.prompt(), tag.prompt());
            assert!(!other.stem().starts_with(&format!("{}_", tag.stem())));
        }
        assert_eq!(Tag::from_note(&tag.to_note()), Some(tag));
        assert_eq!(Tag::from_note("of another program"), None);
    }

    #[test]
    fn the_id_is_a_uuid_in_canonical_form() {
        let id = Tag::first(JobId::from_u128(1), Take::FIRST).prompt();
        // A job's id is a UUID, and is written in that form.
        assert_eq!(id.parse::<JobId>().unwrap().to_string(), id);
    }
}
