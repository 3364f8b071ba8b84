//! One workflow: a graph and a manifest that fit together.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use shared::ids::ProfileName;
use shared::profile::Profile;

use super::error::WorkflowError;
use super::graph::Graph;
use super::manifest::Manifest;

mod mistakes;

/// The backend that does it, as profiles name it.
const BACKEND: &str = "comfyui";

/// A graph and its manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    name: ProfileName,
    graph: Graph,
    manifest: Manifest,
    hash: WorkflowHash,
}

/// What a workflow is known by: the SHA-256 of graph and manifest, whatever their layout, order of keys and comments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct WorkflowHash(String);

impl WorkflowHash {
    /// As 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(graph: &Graph, manifest: &Manifest) -> Self {
        let manifest = serde_json::to_value(manifest)
            .expect("a manifest consists of texts, numbers and tables with texts as keys");
        let mut hash = Sha256::new();
        for part in [&graph.to_json(), &manifest] {
            hash.update(canonical(part));
            hash.update(b"\n");
        }
        let mut digits = String::with_capacity(64);
        for byte in hash.finalize() {
            write!(digits, "{byte:02x}").expect("a String takes everything");
        }
        Self(digits)
    }
}

impl fmt::Display for WorkflowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// JSON with sorted keys and no spaces, whatever order the parser kept.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entry = |(key, value): (&String, &Value)| {
                format!("{}:{}", Value::from(key.as_str()), canonical(value))
            };
            let entries: Vec<_> = entries.into_iter().map(entry).collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

impl Workflow {
    /// Reads the two files of a workflow.
    ///
    /// # Errors
    /// What is wrong, with file and place: everything at once, as soon as each file by itself can be read.
    pub fn parse(name: &str, json: &str, toml: &str) -> Result<Self, WorkflowError> {
        let profile: ProfileName =
            name.parse()
                .map_err(|error: shared::ids::InvalidId| WorkflowError::Name {
                    name: name.to_owned(),
                    reason: error.to_string(),
                })?;
        let graph = Graph::parse(json).map_err(|reason| WorkflowError::Graph {
            file: format!("{name}.json"),
            reason,
        })?;
        let manifest: Manifest = toml::from_str(toml).map_err(|error| WorkflowError::Manifest {
            file: format!("{name}.toml"),
            line: error
                .span()
                .map_or(1, |span| toml[..span.start].matches('\n').count() + 1),
            reason: error.message().to_owned(),
        })?;
        let mistakes = mistakes::mistakes(name, &graph, &manifest);
        if !mistakes.is_empty() {
            return Err(WorkflowError::Mistakes(mistakes));
        }
        Ok(Self {
            hash: WorkflowHash::of(&graph, &manifest),
            name: profile,
            graph,
            manifest,
        })
    }

    /// What films call it: the name of its files.
    pub const fn name(&self) -> &ProfileName {
        &self.name
    }

    /// What it makes, takes and needs.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its graph as it stands in the file.
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What it is known by.
    pub const fn hash(&self) -> &WorkflowHash {
        &self.hash
    }

    /// It as a profile of a worker, with what it needs as declared.
    pub fn profile(&self) -> Profile {
        Profile {
            name: self.name.clone(),
            kind: self.manifest.kind.into(),
            backend: BACKEND.to_owned(),
            needs: self.manifest.memory.needs(),
        }
    }
}

#[cfg(test)]
mod tests;
