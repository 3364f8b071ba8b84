//! A job's parameters are put into a known graph.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use shared::film::Size;
use shared::ids::ProfileName;

use super::binding::{Binding, Field};
use super::graph::Graph;
use super::manifest::{Limits, Output, WorkflowKind};
use super::parameters::{ClipLength, Parameters};
use super::workflow::{Workflow, WorkflowHash};

/// A graph that is ready to be sent, and what to expect of it. Only [`Workflow::fill`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    workflow: ProfileName,
    hash: WorkflowHash,
    graph: Graph,
    output: Output,
    size: Size,
    clip: Option<ClipLength>,
    time_limit: Duration,
    limits: Limits,
    adjustments: Vec<Adjustment>,
}

/// Something that is not as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// The size.
    Size {
        /// What was asked for.
        asked: Size,
        /// What is made.
        made: Size,
    },
    /// The number of frames or their rate.
    Length {
        /// What was asked for.
        asked: ClipLength,
        /// What is made.
        made: ClipLength,
    },
    /// The workflow does not read this at all.
    Unread(Field),
}

impl fmt::Display for Adjustment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { asked, made } => write!(f, "made in {made} instead of {asked}"),
            Self::Length { asked, made } => write!(
                f,
                "made of {} frames at {} frames a second instead of {} at {}",
                made.frames, made.fps, asked.frames, asked.fps
            ),
            Self::Unread(field) => {
                let words = field.name().replace('_', " ");
                write!(f, "the workflow does not read the {words}")
            }
        }
    }
}

/// Why parameters cannot be put into a graph. Another try with the same ones fails in the same way.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FillError {
    /// The workflow makes something else.
    #[error("the workflow `{workflow}` makes {makes}, and was given {given}")]
    Kind {
        /// The workflow.
        workflow: ProfileName,
        /// What it makes.
        makes: &'static str,
        /// What it was given.
        given: &'static str,
    },
    /// The clip is longer than any that can be made.
    #[error(
        "a clip of {asked:.1} s is too long for the workflow `{workflow}`, which makes {longest:.1} s at most; ask for shorter scenes, or for another profile"
    )]
    TooLong {
        /// The workflow.
        workflow: ProfileName,
        /// What is asked for, in seconds.
        asked: f64,
        /// The longest, in seconds.
        longest: f64,
    },
    /// The names of files cannot begin so.
    #[error(
        "files cannot be called `{0}`: only letters of ASCII, digits, `-`, `_`, `.` and `/` between parts may stand there"
    )]
    Prefix(String),
    /// The server's name for the start image leads out of its folder.
    #[error("the server calls the start image `{0}`, which leads out of its folder of inputs")]
    StartImage(String),
}

impl Filled {
    /// The workflow that it was made from.
    pub const fn workflow(&self) -> &ProfileName {
        &self.workflow
    }

    /// What that workflow is known by.
    pub const fn hash(&self) -> &WorkflowHash {
        &self.hash
    }

    /// The graph, to be sent as it is.
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Where the file comes out.
    pub const fn output(&self) -> &Output {
        &self.output
    }

    /// Size in pixels of what is made.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Length of the clip that is made; none for a keyframe.
    pub const fn clip(&self) -> Option<ClipLength> {
        self.clip
    }

    /// Longest run, from the moment the server begins with it.
    pub const fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// How long it may be silent.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Everything that is not as it was asked for.
    pub fn adjustments(&self) -> &[Adjustment] {
        &self.adjustments
    }

    /// The same with the names of models spelled as that server does. See [`super::localise`].
    #[must_use]
    pub fn localised(mut self, info: &super::ObjectInfo) -> Self {
        super::localise(&mut self.graph, info);
        self
    }
}

impl Workflow {
    /// Puts parameters into the graph. Texts go in as JSON strings and are never read as anything else.
    ///
    /// # Errors
    /// If what is asked for cannot be made by it.
    pub fn fill(&self, parameters: &Parameters) -> Result<Filled, FillError> {
        self.is_for(parameters)?;
        check_prefix(&parameters.filename_prefix)?;
        let manifest = self.manifest();
        let mut adjustments = Vec::new();

        let (asked, made) = (parameters.size, manifest.size.fit(parameters.size));
        if asked != made {
            adjustments.push(Adjustment::Size { asked, made });
        }
        let size = made;
        let clip = self.length(parameters)?;
        if let (Some(asked), Some(made)) = (parameters.clip, clip)
            && asked != made
        {
            adjustments.push(Adjustment::Length { asked, made });
        }
        let quality = manifest.quality(parameters.quality);

        let mut graph = self.graph().clone();
        for field in Field::ALL {
            let number = |number: Option<u32>| number.map(|number| Put::Number(number.into()));
            let put = match field {
                Field::Prompt => Some(Put::Text(parameters.prompt.clone())),
                Field::NegativePrompt => {
                    let said = parameters.negative_prompt.trim();
                    (!said.is_empty()).then(|| Put::Before(said.to_owned()))
                }
                Field::StartImage => parameters.start_image.clone().map(Put::Text),
                Field::Width => number(Some(size.width)),
                Field::Height => number(Some(size.height)),
                Field::Frames => number(clip.map(|clip| clip.frames)),
                Field::Fps => number(clip.map(|clip| clip.fps)),
                Field::Seed => Some(Put::Number(parameters.seed)),
                Field::Steps => number(quality.steps),
                Field::FilenamePrefix => Some(Put::Text(parameters.filename_prefix.clone())),
            };
            let Some(put) = put else { continue };
            let places = manifest.inputs.of(field);
            if places.is_empty() && tells_if_unread(field) {
                adjustments.push(Adjustment::Unread(field));
            }
            for place in places {
                put.at(&mut graph, place);
            }
        }
        Ok(Filled {
            workflow: self.name().clone(),
            hash: self.hash().clone(),
            graph,
            output: manifest.output.clone(),
            size,
            clip,
            time_limit: Duration::from_secs(quality.time_limit_s.into()),
            limits: manifest.limits.clone(),
            adjustments,
        })
    }

    fn is_for(&self, parameters: &Parameters) -> Result<(), FillError> {
        let has = (parameters.start_image.as_deref(), parameters.clip);
        let (makes, given) = match (self.manifest().kind, has) {
            (WorkflowKind::Keyframe, (None, None)) => return Ok(()),
            (WorkflowKind::Scene, (Some(image), Some(_))) => return check_start_image(image),
            (WorkflowKind::Keyframe, _) => ("keyframes", "a clip to make"),
            (WorkflowKind::Scene, (None, _)) => ("clips", "no image to begin with"),
            (WorkflowKind::Scene, (Some(_), None)) => ("clips", "no length"),
        };
        Err(FillError::Kind {
            workflow: self.name().clone(),
            makes,
            given,
        })
    }

    fn length(&self, parameters: &Parameters) -> Result<Option<ClipLength>, FillError> {
        let (Some(asked), Some(rule)) = (parameters.clip, &self.manifest().clip) else {
            return Ok(None);
        };
        match rule.fit(asked) {
            Some(made) => Ok(Some(made)),
            None => Err(FillError::TooLong {
                workflow: self.name().clone(),
                asked: f64::from(asked.frames) / f64::from(asked.fps.max(1)),
                longest: rule.longest_seconds(asked.fps),
            }),
        }
    }
}

/// Whether a film-maker wants to know that this makes no difference.
const fn tells_if_unread(field: Field) -> bool {
    match field {
        Field::Prompt | Field::NegativePrompt | Field::Seed => true,
        Field::StartImage
        | Field::Width
        | Field::Height
        | Field::Frames
        | Field::Fps
        | Field::Steps
        | Field::FilenamePrefix => false,
    }
}

/// What is put into an input.
enum Put {
    Text(String),
    /// In front of the text that is there.
    Before(String),
    Number(u64),
}

impl Put {
    fn at(&self, graph: &mut Graph, place: &Binding) {
        let input = graph
            .nodes
            .get_mut(&place.node)
            .and_then(|node| node.inputs.get_mut(&place.input))
            .expect("a workflow is only made of bindings that lead somewhere");
        *input = match self {
            Self::Text(text) => Value::from(text.as_str()),
            Self::Before(text) => match input.as_str().map(str::trim) {
                None | Some("") => Value::from(text.as_str()),
                Some(own) => Value::from(format!("{text}, {own}")),
            },
            Self::Number(number) => {
                let number = number.div_ceil(place.divisor.into());
                // A rate that the graph writes as 16.0 stays a number with a point.
                match input.is_f64() {
                    #[expect(clippy::cast_precision_loss, reason = "rates and the like are small")]
                    true => Value::from(number as f64),
                    false => Value::from(number),
                }
            }
        };
    }
}

/// The server expands `%`, and makes folders for `/`; it must not be led out of its folder of outputs.
fn check_prefix(prefix: &str) -> Result<(), FillError> {
    let is_part = |part: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(is_plain)
    };
    match prefix.split('/').all(is_part) {
        true => Ok(()),
        false => Err(FillError::Prefix(prefix.chars().take(80).collect())),
    }
}

/// Older servers open whatever path they are given.
fn check_start_image(name: &str) -> Result<(), FillError> {
    let is_inside = !name.is_empty()
        && !name.starts_with(['/', '\\'])
        && !name.contains(':')
        && !name.contains(char::is_control)
        && !name.split(['/', '\\']).any(|part| part == "..");
    match is_inside {
        true => Ok(()),
        false => Err(FillError::StartImage(name.chars().take(80).collect())),
    }
}

#[cfg(test)]
mod tests;
