//! Identities: newtypes, never bare integers or strings.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not the identity it was given for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: {rule}")]
pub struct InvalidId {
    what: &'static str,
    text: String,
    rule: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new one; ids made later sort later (UUID version 7).
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// The same identity from its 128 bits.
            pub const fn from_u128(bits: u128) -> Self {
                Self(Uuid::from_u128(bits))
            }

            /// Its 128 bits.
            pub const fn as_u128(&self) -> u128 {
                self.0.as_u128()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let rule = "a UUID is expected, as in 0199c1a4-7a3e-7b52-8d5f-3f6f2c7b9a10";
                Uuid::parse_str(text)
                    .map(Self)
                    .map_err(|_| InvalidId { what: $what, text: text.to_owned(), rule })
            }
        }
    };
}

uuid_id!(
    /// A film: what was asked for and everything that follows from it.
    FilmId,
    "film id"
);
uuid_id!(
    /// A job: one unit of work of a film; a row that the coordinator owns.
    JobId,
    "job id"
);
uuid_id!(
    /// One worker's try to run one attempt. Together with the attempt's number it fences late reports.
    RunId,
    "run id"
);
uuid_id!(
    /// One life of a worker process. A new one is drawn at each start.
    BootId,
    "boot id"
);
uuid_id!(
    /// One message. A repeat of the same message carries the same id.
    MessageId,
    "message id"
);
uuid_id!(
    /// One coordinator store. Messages of another store are nobody's business here.
    StoreId,
    "store id"
);

/// The name of a worker, chosen by whoever runs it and kept over restarts.
///
/// 1 to 64 characters out of `a-z`, `0-9` and `-`: the name becomes part of a queue's name and of folder names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct WorkerId(String);

impl WorkerId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for WorkerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match is_name(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidId {
                what: "worker name",
                text: shorten(text),
                rule: NAME_RULE,
            }),
        }
    }
}

impl<'de> Deserialize<'de> for WorkerId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The name of a profile: a way to do one kind of job, as `animatic` or `wan2.1-i2v-14b-480p`.
///
/// 1 to 64 characters out of `a-z`, `0-9`, `-` and `.`, beginning with a letter or digit: it becomes part of a queue's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct ProfileName(String);

impl ProfileName {
    /// `outline`: writes stories by rule. Every worker of stories has it.
    pub fn outline() -> Self {
        Self("outline".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ProfileName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match is_name(&text.replace('.', "-")) {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidId {
                what: "profile name",
                text: shorten(text),
                rule: PROFILE_RULE,
            }),
        }
    }
}

impl<'de> Deserialize<'de> for ProfileName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

const NAME_RULE: &str = "1 to 64 characters out of a-z, 0-9 and '-', not beginning with '-'";
const PROFILE_RULE: &str =
    "1 to 64 characters out of a-z, 0-9, '-' and '.', not beginning with '-' or '.'";

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// An error must not repeat a megabyte of somebody's input.
fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The number of a try at a job, counted from 1. It never goes down.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Attempt(u32);

impl Attempt {
    /// The first attempt.
    pub const FIRST: Self = Self(1);

    /// The attempt of that number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The attempt after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which rendering of a job this is, counted from 1. It goes up only after a *judged* failure (someone saw the result or
/// the error), so that work which is merely out of sight is found again under the same number.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Take(u32);

impl Take {
    /// The first take.
    pub const FIRST: Self = Self(1);

    /// The take of that number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The take after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Take {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_a_queue_or_a_folder_are_refused() {
        for bad in [
            "",
            "-a",
            "a/b",
            "a b",
            "A",
            "..",
            "a.b",
            "ä",
            &"x".repeat(65),
        ] {
            assert!(bad.parse::<WorkerId>().is_err(), "{bad}");
        }
        assert!("studio-3".parse::<WorkerId>().is_ok());
        for bad in ["", ".a", "a/b", "a*", "#"] {
            assert!(bad.parse::<ProfileName>().is_err(), "{bad}");
        }
        assert!("wan2.1-i2v-14b-480p".parse::<ProfileName>().is_ok());
    }

    #[test]
    fn ids_survive_text_and_json() {
        let id = FilmId::generate();
        assert_eq!(id.to_string().parse::<FilmId>().unwrap(), id);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<FilmId>(&json).unwrap(), id);
    }
}
