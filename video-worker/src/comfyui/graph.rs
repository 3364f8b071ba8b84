//! A graph as ComfyUI runs it, and the checks that keep a sloppy one from its executor.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};

/// A filled graph in ComfyUI's API format, with what is to come of it and how long that may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Its nodes by id: `{"class_type": …, "inputs": {…}}`.
    pub nodes: Map<String, Value>,
    /// What to take of it.
    pub output: Output,
    /// How long it may take.
    pub limits: Limits,
}

/// The file that a graph is run for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The node that saves it.
    pub node: String,
    /// The name of its list among that node's outputs, as `images`; any list that holds files if absent.
    pub key: Option<String>,
}

/// How long a run of a graph may take, counted from when the server begins with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// All of it.
    pub time: Duration,
    /// From one step to the next of the same node.
    pub stall: Duration,
    /// Any other silence: before a node's first step (a model loads), after its last one, and in nodes without steps (a VAE decodes).
    pub silence: Duration,
    /// That of single nodes, where it is another.
    pub silence_of: BTreeMap<String, Duration>,
}

impl Limits {
    /// That time for each of them.
    pub const fn within(time: Duration) -> Self {
        Self {
            time,
            stall: time,
            silence: time,
            silence_of: BTreeMap::new(),
        }
    }

    /// Longest silence of that node beside the time between two of its steps.
    pub fn silence_of(&self, node: &str) -> Duration {
        self.silence_of.get(node).copied().unwrap_or(self.silence)
    }
}

/// Why a graph is not sent: ComfyUI would drop a part of it silently, or lose its executor over it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// There is no such node to take the output from.
    #[error("the graph has no node `{0}` to take the result from")]
    NoOutput(String),
    /// A node says not what it is.
    #[error("node `{0}` of the graph has no class_type")]
    NoClass(String),
    /// A node without inputs ends ComfyUI's executor for good.
    #[error("node `{0}` of the graph has no inputs; write {{}} if it takes none")]
    NoInputs(String),
    /// A link to nowhere.
    #[error("input `{input}` of node `{node}` takes from node `{from}`, which is not in the graph")]
    Dangling {
        /// The node.
        node: String,
        /// Its input.
        input: String,
        /// Where that links to.
        from: String,
    },
    /// A node depends on itself.
    #[error("node `{0}` of the graph depends on itself")]
    Cycle(String),
}

impl Graph {
    /// The graph with nothing in it but what its output needs.
    ///
    /// # Errors
    /// If one of those nodes cannot be run safely.
    pub fn pruned(&self) -> Result<Self, GraphError> {
        let mut needed = BTreeSet::new();
        self.visit(&self.output.node, &mut needed, &mut Vec::new())?;
        let nodes = self.nodes.iter();
        let nodes = nodes.filter(|(id, _)| needed.contains(id.as_str()));
        Ok(Self {
            nodes: nodes.map(|(id, node)| (id.clone(), node.clone())).collect(),
            ..self.clone()
        })
    }

    fn visit<'a>(
        &'a self,
        id: &'a str,
        done: &mut BTreeSet<&'a str>,
        path: &mut Vec<&'a str>,
    ) -> Result<(), GraphError> {
        if path.contains(&id) {
            return Err(GraphError::Cycle(id.to_owned()));
        }
        if done.contains(id) {
            return Ok(());
        }
        let Some(node) = self.nodes.get(id) else {
            return Err(GraphError::NoOutput(id.to_owned()));
        };
        if !node["class_type"].is_string() {
            return Err(GraphError::NoClass(id.to_owned()));
        }
        let inputs = node["inputs"].as_object();
        let inputs = inputs.ok_or_else(|| GraphError::NoInputs(id.to_owned()))?;
        path.push(id);
        for (input, value) in inputs {
            let Some(from) = link(value) else { continue };
            if !self.nodes.contains_key(from) {
                return Err(GraphError::Dangling {
                    node: id.to_owned(),
                    input: input.clone(),
                    from: from.to_owned(),
                });
            }
            self.visit(from, done, path)?;
        }
        path.pop();
        done.insert(id);
        Ok(())
    }
}

/// The node that an input takes from, if it is a link: `[id, slot]`.
fn link(value: &Value) -> Option<&str> {
    match value.as_array()?.as_slice() {
        [Value::String(id), Value::Number(_)] => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn graph(nodes: Value) -> Graph {
        let Value::Object(nodes) = nodes else {
            panic!("nodes are an object")
        };
        Graph {
            nodes,
            output: Output {
                node: "save".to_owned(),
                key: None,
            },
            limits: Limits::within(Duration::from_secs(1)),
        }
    }

    fn node(inputs: &Value) -> Value {
        json!({"class_type": "X", "inputs": inputs})
    }

    #[test]
    fn what_the_output_does_not_need_is_left_out_even_if_it_would_end_the_executor() {
        let graph = graph(json!({
            "image": node(&json!({"width": 64})),
            "save": node(&json!({"images": ["image", 0], "size": [1, 2], "choices": ["a", "b"]})),
            "poison": {"class_type": "X"},
        }));
        let pruned = graph.pruned().unwrap();
        let left: Vec<_> = pruned.nodes.keys().map(String::as_str).collect();
        assert_eq!(left, ["image", "save"]);
    }

    #[test]
    fn a_graph_that_would_end_the_executor_is_not_sent() {
        let refused = |nodes| graph(nodes).pruned().unwrap_err().to_string();
        let save = node(&json!({"images": ["image", 0]}));
        for (nodes, expected) in [
            (json!({}), "no node `save`"),
            (
                json!({"save": save, "image": {"class_type": "X"}}),
                "`image` of the graph has no inputs",
            ),
            (
                json!({"save": save, "image": {"inputs": {}}}),
                "`image` of the graph has no class_type",
            ),
            (json!({"save": save}), "takes from node `image`"),
            (
                json!({"save": save, "image": node(&json!({"x": ["save", 0]}))}),
                "depends on itself",
            ),
        ] {
            let told = refused(nodes);
            assert!(told.contains(expected), "{told}");
        }
    }
}
