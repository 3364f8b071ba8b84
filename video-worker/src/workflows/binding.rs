//! Which inputs of a graph take what a job says.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One input of one node, as `sampler.steps`, or a part of the value, as `sampler.start_at_step` with `/ 2`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Binding {
    /// The node.
    pub node: String,
    /// Its input.
    pub input: String,
    /// What a number is divided by before it is put there; the result is rounded up.
    pub divisor: u32,
}

impl FromStr for Binding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` names no input; write it as \"NODE.INPUT\", or \"NODE.INPUT / 2\" for a half"
            )
        };
        let (place, divisor) = match text.split_once(" / ") {
            None => (text, 1),
            Some((place, divisor)) => (place, divisor.trim().parse().map_err(|_| wrong())?),
        };
        // Names of inputs can hold dots, ids of nodes had better not.
        let (node, input) = place.trim().split_once('.').ok_or_else(wrong)?;
        if node.is_empty() || input.is_empty() || divisor == 0 {
            return Err(wrong());
        }
        Ok(Self {
            node: node.to_owned(),
            input: input.to_owned(),
            divisor,
        })
    }
}

impl TryFrom<String> for Binding {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Binding> for String {
    fn from(binding: Binding) -> Self {
        binding.to_string()
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.input)?;
        match self.divisor {
            1 => Ok(()),
            divisor => write!(f, " / {divisor}"),
        }
    }
}

/// The inputs that one field goes to: none, one or several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OneOrMany", into = "Vec<Binding>")]
pub struct Places(Vec<Binding>);

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an input is written as \"NODE.INPUT\", or \"NODE.INPUT / 2\" for a half; several stand in a list"
)]
enum OneOrMany {
    One(Binding),
    Many(Vec<Binding>),
}

impl From<OneOrMany> for Places {
    fn from(given: OneOrMany) -> Self {
        match given {
            OneOrMany::One(one) => Self(vec![one]),
            OneOrMany::Many(many) => Self(many),
        }
    }
}

impl From<Places> for Vec<Binding> {
    fn from(places: Places) -> Self {
        places.0
    }
}

impl JsonSchema for Places {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Places".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
    }
}

/// What a job says that a graph can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// What is to be seen.
    Prompt,
    /// What is not to be seen.
    NegativePrompt,
    /// The image that a clip begins with.
    StartImage,
    /// Width in pixels.
    Width,
    /// Height in pixels.
    Height,
    /// Number of frames.
    Frames,
    /// Frames per second.
    Fps,
    /// Seed of the take.
    Seed,
    /// Steps of the sampler.
    Steps,
    /// What the names of the files that it writes begin with.
    FilenamePrefix,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 10] = [
        Self::Prompt,
        Self::NegativePrompt,
        Self::StartImage,
        Self::Width,
        Self::Height,
        Self::Frames,
        Self::Fps,
        Self::Seed,
        Self::Steps,
        Self::FilenamePrefix,
    ];

    /// Its key in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::NegativePrompt => "negative_prompt",
            Self::StartImage => "start_image",
            Self::Width => "width",
            Self::Height => "height",
            Self::Frames => "frames",
            Self::Fps => "fps",
            Self::Seed => "seed",
            Self::Steps => "steps",
            Self::FilenamePrefix => "filename_prefix",
        }
    }

    /// Whether its value is a text; the others are whole numbers.
    pub const fn is_text(self) -> bool {
        match self {
            Self::Prompt | Self::NegativePrompt | Self::StartImage | Self::FilenamePrefix => true,
            Self::Width | Self::Height | Self::Frames | Self::Fps | Self::Seed | Self::Steps => {
                false
            }
        }
    }
}

/// Section `[inputs]`: where each field goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bindings {
    /// The scene's prompt: that of the image for a keyframe, that of the movement for a clip.
    pub prompt: Places,
    /// What must not be seen. The text that stands in the graph is kept behind it.
    pub negative_prompt: Places,
    /// The name of the uploaded image that a clip begins with. Only for clips, and there it is needed.
    pub start_image: Places,
    /// Width in pixels.
    pub width: Places,
    /// Height in pixels.
    pub height: Places,
    /// Number of frames. Only for clips, and there it is needed.
    pub frames: Places,
    /// Frames per second. Only for clips.
    pub fps: Places,
    /// The seed of the take.
    pub seed: Places,
    /// Steps of the sampler.
    pub steps: Places,
    /// What the names of the files that it writes begin with. Always needed: by it a file is found again.
    pub filename_prefix: Places,
}

impl Bindings {
    /// Where a field goes.
    pub fn of(&self, field: Field) -> &[Binding] {
        let places = match field {
            Field::Prompt => &self.prompt,
            Field::NegativePrompt => &self.negative_prompt,
            Field::StartImage => &self.start_image,
            Field::Width => &self.width,
            Field::Height => &self.height,
            Field::Frames => &self.frames,
            Field::Fps => &self.fps,
            Field::Seed => &self.seed,
            Field::Steps => &self.steps,
            Field::FilenamePrefix => &self.filename_prefix,
        };
        &places.0
    }

    /// Whether a field goes anywhere.
    pub fn has(&self, field: Field) -> bool {
        !self.of(field).is_empty()
    }

    /// Every field with each input that it goes to.
    pub fn all(&self) -> impl Iterator<Item = (Field, &Binding)> {
        let of = |field| self.of(field).iter().map(move |binding| (field, binding));
        Field::ALL.into_iter().flat_map(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_written_in_one_word() {
        let binding: Binding = "sampler_high.end_at_step / 2".parse().unwrap();
        assert_eq!(
            (
                binding.node.as_str(),
                binding.input.as_str(),
                binding.divisor
            ),
            ("sampler_high", "end_at_step", 2)
        );
        assert_eq!(binding.to_string(), "sampler_high.end_at_step / 2");
        let dotted: Binding = "batch.images.image0".parse().unwrap();
        assert_eq!(
            (dotted.node.as_str(), dotted.input.as_str()),
            ("batch", "images.image0")
        );
        for wrong in [
            "",
            "sampler",
            ".x",
            "x.",
            "x.y / 0",
            "x.y / two",
            "x.y / -1",
        ] {
            let error = wrong.parse::<Binding>().unwrap_err();
            assert!(error.contains("NODE.INPUT"), "{wrong}: {error}");
        }
    }

    #[test]
    fn one_input_or_a_list_of_them() {
        let bindings: Bindings =
            toml::from_str("seed = \"a.seed\"\nsteps = [\"a.steps\", \"b.steps / 2\"]").unwrap();
        assert_eq!(bindings.of(Field::Seed).len(), 1);
        assert_eq!(bindings.of(Field::Steps)[1].divisor, 2);
        assert!(!bindings.has(Field::Prompt));
        let error = toml::from_str::<Bindings>("seed = 1").unwrap_err();
        assert!(error.message().contains("NODE.INPUT"), "{error}");
        let error = toml::from_str::<Bindings>("sed = \"a.seed\"").unwrap_err();
        assert!(error.message().contains("unknown field `sed`"), "{error}");
    }
}
