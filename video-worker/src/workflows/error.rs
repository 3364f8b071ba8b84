//! Why files make no workflow.

use std::path::PathBuf;

use shared::film::Mistake;

/// Why two files make no workflow. Messages name the file, and what to change in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkflowError {
    /// The name cannot be one.
    #[error("`{name}` cannot name a workflow: {reason}; rename its two files")]
    Name {
        /// The name.
        name: String,
        /// Why.
        reason: String,
    },
    /// One of the two files is not there.
    #[error("{file} is missing: a workflow is NAME.json beside NAME.toml")]
    Missing {
        /// The missing one.
        file: String,
    },
    /// A file cannot be read.
    #[error("cannot read {file}: {reason}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// The graph is none.
    #[error("{file}: {reason}")]
    Graph {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The manifest is none.
    #[error("{file}, line {line}: {reason}")]
    Manifest {
        /// The file.
        file: String,
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Graph and manifest are each well formed, and something in them cannot be so.
    #[error("{}", listed(.0))]
    Mistakes(Vec<Mistake>),
}

fn listed(mistakes: &[Mistake]) -> String {
    let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Why there are no workflows at all.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The folder that the settings name cannot be read.
    #[error("cannot read the folder of workflows {folder} (comfyui.workflows)", folder = .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
