//! What was found when a workflow was compared with a server, and how it is told.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::fmt;

use super::manifest::ModelFile;

/// What was found about one workflow at one server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Everything that is not as the workflow has it, the gravest first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether the server could run it.
    pub fn runs(&self) -> bool {
        !self.findings.iter().any(Finding::stops)
    }

    /// How many files of models are missing.
    pub fn missing_models(&self) -> usize {
        let is_model = |finding: &&Finding| matches!(finding, Finding::MissingModel(_));
        self.findings.iter().filter(is_model).count()
    }
}

/// Something that is not as the workflow has it. Its text says what to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// The server has no such node class.
    MissingNode {
        /// The class.
        class: String,
        /// Where it comes from, if the manifest says so.
        from: Option<String>,
    },
    /// The server has no such file.
    MissingModel(ModelFile),
    /// An input that the class needs is not in the graph.
    MissingInput {
        /// `NODE (CLASS)`.
        node: String,
        /// The input.
        input: String,
    },
    /// An input holds what it does not accept.
    WrongInput {
        /// `NODE (CLASS)`.
        node: String,
        /// The input.
        input: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The class has no such input. The server takes no notice of it.
    UnknownInput {
        /// `NODE (CLASS)`.
        node: String,
        /// The input.
        input: String,
    },
    /// A graph cannot end at that node.
    NoOutput {
        /// `NODE (CLASS)`.
        node: String,
    },
}

impl Finding {
    /// Whether the workflow cannot run for it.
    pub const fn stops(&self) -> bool {
        match self {
            Self::UnknownInput { .. } => false,
            Self::MissingNode { .. }
            | Self::MissingModel(_)
            | Self::MissingInput { .. }
            | Self::WrongInput { .. }
            | Self::NoOutput { .. } => true,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingNode { class, from } => {
                write!(f, "the server has no node class `{class}`; ")?;
                match from {
                    Some(from) => write!(f, "install {from}"),
                    None => f.write_str("update ComfyUI, or install the package that brings it"),
                }
            }
            Self::MissingModel(model) => {
                write!(f, "models/{}/{} is missing", model.folder, model.file)?;
                if let Some(mib) = model.mib {
                    write!(f, " ({:.1} GiB)", f64::from(mib) / 1024.0)?;
                }
                match &model.from {
                    Some(from) => write!(f, "; get it from {from}"),
                    None => f.write_str("; put it there"),
                }
            }
            Self::MissingInput { node, input } => {
                write!(
                    f,
                    "{node} needs the input `{input}`, which the graph does not give"
                )
            }
            Self::WrongInput {
                node,
                input,
                problem,
            } => write!(f, "{node}, input `{input}`: {problem}"),
            Self::UnknownInput { node, input } => {
                write!(
                    f,
                    "{node} has no input `{input}` at this server, which leaves it out"
                )
            }
            Self::NoOutput { node } => {
                write!(
                    f,
                    "{node} writes no file, so that nothing comes out of the graph; name another output.node"
                )
            }
        }
    }
}
