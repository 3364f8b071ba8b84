//! What a film-maker asks for, and every mistake that can be in it. The body of `POST /v1/films` and of a submission
//! over AMQP.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::ProfileName;
use crate::script::{self, Script};

/// Longest premise, in characters.
pub const PREMISE_MAX: usize = 8_000;
/// Longest title, in characters.
pub const TITLE_MAX: usize = 200;
/// Fewest and most scenes that a story is written with.
pub const SCENES: std::ops::RangeInclusive<u32> = 3..=24;
/// Shortest and longest scene, in seconds.
pub const SECONDS: std::ops::RangeInclusive<f64> = 0.5..=60.0;
/// Frames per second that can be asked for.
pub const FPS: std::ops::RangeInclusive<u32> = 1..=60;
/// Smallest and largest width and height, in pixels.
pub const SIDE: std::ops::RangeInclusive<u32> = 64..=4_096;
/// Largest seed: larger integers do not survive JSON readers that know only doubles.
pub const SEED_MAX: u64 = (1 << 53) - 1;

/// A film as it is asked for. `premise` or `script` is needed, the rest has defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilmRequest {
    /// What the film is about, in a sentence or a page; at most 8,000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub premise: Option<String>,
    /// A finished script instead of a premise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// Title; the story's own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How many scenes to write from a premise: 3 to 24, 6 if absent. A script brings its own number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3, max = 24))]
    pub scenes: Option<u32>,
    /// Length of each scene in seconds: 0.5 to 60, 4 if absent. A script may say otherwise scene by scene.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.5, max = 60.0))]
    pub seconds: Option<f64>,
    /// Size in pixels as `WIDTHxHEIGHT`, both even, 64 to 4096; `854x480` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Frames per second: 1 to 60, 24 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub fps: Option<u32>,
    /// The same seed and premise give the same film with built-in backends; drawn at random if absent. At most 2^53 - 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    pub seed: Option<u64>,
    /// How well keyframes and clips are made, where a profile can tell the difference; `final` if absent.
    #[serde(skip_serializing_if = "Quality::is_final")]
    pub quality: Quality,
    /// Profiles to use; those of the coordinator's settings if absent.
    #[serde(skip_serializing_if = "Profiles::is_empty")]
    pub profiles: Profiles,
    /// How far to go.
    #[serde(skip_serializing_if = "Until::is_film")]
    pub until: Until,
}

/// How far a film is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// Write the story and stop: one job.
    Story,
    /// Make the whole film.
    #[default]
    Film,
}

impl Until {
    const fn is_film(&self) -> bool {
        matches!(self, Self::Film)
    }
}

/// How well something is made. Built-in backends make no difference.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// To look at: fewer steps, less time.
    Draft,
    /// For the film.
    #[default]
    Final,
}

impl Quality {
    /// Its name in requests, messages and manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Final => "final",
        }
    }

    /// Whether it is the usual one.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Final)
    }
}

/// Which profile does each kind of job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Profiles {
    /// For the story.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub story: Option<ProfileName>,
    /// For keyframes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyframe: Option<ProfileName>,
    /// For clips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scene: Option<ProfileName>,
    /// For the assembly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assembly: Option<ProfileName>,
}

impl Profiles {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Width and height in pixels. Written as `854x480`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Size {
    /// The size of a film for which none was asked: 480 lines, 16:9.
    pub const DEFAULT: Self = Self {
        width: 854,
        height: 480,
    };
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Size({self})")
    }
}

/// A text that is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a size is written as WIDTHxHEIGHT in pixels, as in 854x480")]
pub struct InvalidSize;

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let (width, height) = text.split_once('x').ok_or(InvalidSize)?;
        match (width.parse(), height.parse()) {
            (Ok(width), Ok(height)) => Ok(Self { width, height }),
            _ => Err(InvalidSize),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-9]+x[0-9]+$",
            "description": "Width and height in pixels, as in 854x480; both even, 64 to 4096."
        })
    }
}

/// Something in a request that cannot be so, and what would do instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mistake {
    /// Where, as `scenes` or `script.scenes[3].camera`; empty for the request as a whole.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl Mistake {
    /// A mistake in that field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.is_empty() {
            true => f.write_str(&self.problem),
            false => write!(f, "{}: {}", self.field, self.problem),
        }
    }
}

impl FilmRequest {
    /// Reads and checks the JSON form.
    ///
    /// # Errors
    /// Every mistake in it; only the first one where the JSON itself does not fit.
    pub fn parse(json: &[u8]) -> Result<Self, Vec<Mistake>> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let request: Self = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            vec![Mistake::new(
                if path == "." { String::new() } else { path },
                error.into_inner().to_string(),
            )]
        })?;
        reader
            .end()
            .map_err(|error| vec![Mistake::new("", error.to_string())])?;
        let mistakes = request.mistakes();
        if mistakes.is_empty() {
            Ok(request)
        } else {
            Err(mistakes)
        }
    }

    /// Everything that cannot be so; empty for a request that can be accepted.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        match (&self.premise, &self.script) {
            (None, None) => found.push(Mistake::new(
                "premise",
                "say what the film is about, or give a script",
            )),
            (Some(_), Some(_)) => {
                found.push(Mistake::new(
                    "premise",
                    "give either a premise or a script, not both",
                ));
            }
            (Some(premise), None) => check_text("premise", premise, PREMISE_MAX, &mut found),
            (None, Some(script)) => {
                found.extend(script::mistakes(script).into_iter().map(|mistake| Mistake {
                    field: if mistake.field.is_empty() {
                        "script".to_owned()
                    } else {
                        format!("script.{}", mistake.field)
                    },
                    ..mistake
                }));
                if self
                    .scenes
                    .is_some_and(|scenes| scenes as usize != script.scenes.len())
                {
                    let problem = format!(
                        "the script has {} scenes; leave `scenes` out",
                        script.scenes.len()
                    );
                    found.push(Mistake::new("scenes", problem));
                }
            }
        }
        if let Some(title) = &self.title {
            check_text("title", title, TITLE_MAX, &mut found);
        }
        if self.script.is_none() && !SCENES.contains(&self.scene_count()) {
            let problem = format!(
                "{} scenes cannot be written; ask for {} to {}",
                self.scene_count(),
                SCENES.start(),
                SCENES.end()
            );
            found.push(Mistake::new("scenes", problem));
        }
        check_seconds("seconds", self.scene_seconds(), &mut found);
        check_size(self.frame_size(), &mut found);
        if !FPS.contains(&self.frame_rate()) {
            let problem = format!(
                "{} frames per second; ask for {} to {}",
                self.frame_rate(),
                FPS.start(),
                FPS.end()
            );
            found.push(Mistake::new("fps", problem));
        }
        if self.seed.is_some_and(|seed| seed > SEED_MAX) {
            found.push(Mistake::new(
                "seed",
                format!("larger than {SEED_MAX}; choose a smaller one"),
            ));
        }
        found
    }

    /// How many scenes the film has.
    pub fn scene_count(&self) -> u32 {
        match &self.script {
            Some(script) => u32::try_from(script.scenes.len()).unwrap_or(u32::MAX),
            None => self.scenes.unwrap_or(6),
        }
    }

    /// Length of a scene in seconds, where the script says nothing else.
    pub fn scene_seconds(&self) -> f64 {
        self.seconds.unwrap_or(4.0)
    }

    /// Size of the film.
    pub fn frame_size(&self) -> Size {
        self.size.unwrap_or(Size::DEFAULT)
    }

    /// Frames per second of the film.
    pub fn frame_rate(&self) -> u32 {
        self.fps.unwrap_or(24)
    }
}

/// A text that a person wrote: not empty, not endless, nothing in it that a terminal or a player would obey.
pub(crate) fn check_text(field: &str, text: &str, longest: usize, found: &mut Vec<Mistake>) {
    if text.trim().is_empty() {
        found.push(Mistake::new(
            field,
            "it is empty; write a sentence or leave it out",
        ));
        return;
    }
    let length = text.chars().count();
    if length > longest {
        found.push(Mistake::new(
            field,
            format!("{length} characters; at most {longest} fit"),
        ));
    }
    let odd = text
        .chars()
        .enumerate()
        .find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    if let Some((index, c)) = odd {
        let problem = format!(
            "control character U+{:04X} at character {}; remove it",
            u32::from(c),
            index + 1
        );
        found.push(Mistake::new(field, problem));
    }
}

pub(crate) fn check_seconds(field: &str, seconds: f64, found: &mut Vec<Mistake>) {
    if !SECONDS.contains(&seconds) {
        let problem = format!(
            "a scene of {seconds} s; ask for {} to {} s",
            SECONDS.start(),
            SECONDS.end()
        );
        found.push(Mistake::new(field, problem));
    }
}

fn check_size(size: Size, found: &mut Vec<Mistake>) {
    if !SIDE.contains(&size.width) || !SIDE.contains(&size.height) {
        let problem = format!(
            "{size} cannot be made; each side must have {} to {} pixels",
            SIDE.start(),
            SIDE.end()
        );
        found.push(Mistake::new("size", problem));
    } else if size.width % 2 == 1 || size.height % 2 == 1 {
        let even = Size {
            width: size.width & !1,
            height: size.height & !1,
        };
        found.push(Mistake::new(
            "size",
            format!("{size} has an odd side, which H.264 cannot hold; try {even}"),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Vec<String> {
        FilmRequest::parse(json.as_bytes())
            .unwrap_err()
            .into_iter()
            .map(|mistake| mistake.field)
            .collect()
    }

    #[test]
    fn a_premise_is_enough() {
        let request =
            FilmRequest::parse(br#"{"premise": "A \"quoted\" 100% true: story\nin two lines"}"#)
                .unwrap();
        assert_eq!(
            (
                request.scene_count(),
                request.scene_seconds(),
                request.frame_size(),
                request.frame_rate()
            ),
            (6, 4.0, Size::DEFAULT, 24)
        );
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_its_field() {
        let json = r#"{"premise": " ", "title": "", "scenes": 0, "seconds": 0, "size": "855x480", "fps": 0,
                       "seed": 9007199254740992}"#;
        assert_eq!(
            fields(json),
            [
                "premise", "title", "scenes", "seconds", "size", "fps", "seed"
            ]
        );
    }

    #[test]
    fn what_is_not_a_request_names_the_place() {
        assert_eq!(fields(r#"{"premise": "x", "scnees": 3}"#), ["scnees"]);
        assert_eq!(fields(r#"{"premise": "x", "size": "big"}"#), ["size"]);
        assert_eq!(fields(r#"{"premise": "x", "scenes": "six"}"#), ["scenes"]);
        assert_eq!(fields("not json"), [""]);
        assert_eq!(fields(r#"{"premise": "x"} {}"#), [""]);
    }

    #[test]
    fn impossible_numbers_are_refused() {
        for (field, value) in [
            ("scenes", "10000"),
            ("scenes", "2"),
            ("seconds", "61"),
            ("seconds", "1e300"),
            ("size", "\"32x480\""),
            ("size", "\"99999x480\""),
            ("fps", "1000"),
        ] {
            assert_eq!(
                fields(&format!(r#"{{"premise": "x", "{field}": {value}}}"#)),
                [field],
                "{field} {value}"
            );
        }
    }

    #[test]
    fn a_megabyte_of_premise_and_control_characters_are_refused_with_the_reason() {
        let mistakes = FilmRequest {
            premise: Some("x".repeat(1 << 20)),
            ..FilmRequest::default()
        }
        .mistakes();
        assert_eq!(
            mistakes[0].to_string(),
            "premise: 1048576 characters; at most 8000 fit"
        );
        let mistakes = FilmRequest {
            premise: Some("a\u{7}b".to_owned()),
            ..FilmRequest::default()
        }
        .mistakes();
        assert_eq!(
            mistakes[0].to_string(),
            "premise: control character U+0007 at character 2; remove it"
        );
    }
}
