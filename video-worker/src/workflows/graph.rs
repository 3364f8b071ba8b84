//! A graph of ComfyUI in API format: what is posted to `/prompt`.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::film::Mistake;

/// The nodes by their ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Graph {
    /// The nodes. Sorted, so that equal graphs read and hash alike.
    pub nodes: BTreeMap<String, Node>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The class that does its work, as `KSampler`.
    pub class_type: String,
    /// What it is given: values, or links to outputs of other nodes.
    pub inputs: BTreeMap<String, Value>,
    /// What the web page of ComfyUI keeps with a node. It does nothing, and is left out when the graph is sent.
    #[serde(default, skip_serializing, rename = "_meta")]
    _meta: serde::de::IgnoredAny,
}

/// An input that comes from another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// The node that it comes from.
    pub node: &'a str,
    /// Which of its outputs, from 0.
    pub slot: u64,
}

impl<'a> Link<'a> {
    /// Reads an input as a link: a list of a node's id and the number of one of its outputs.
    pub fn of(input: &'a Value) -> Option<Self> {
        match input.as_array().map(Vec::as_slice) {
            Some([Value::String(node), slot]) => Some(Self {
                node,
                slot: slot.as_u64()?,
            }),
            _ => None,
        }
    }
}

impl Graph {
    /// Reads the text of a graph.
    ///
    /// # Errors
    /// What is wrong with it, with the line where there is one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if value.get("nodes").is_some_and(Value::is_array) {
            return Err(
                "this is the file that ComfyUI's page saves; export it for the API (Workflow, Export (API)) and use that"
                    .to_owned(),
            );
        }
        // Posted as a whole, the graph stands under this key.
        let inside = value.get("prompt").filter(|inside| inside.is_object());
        if inside.is_some_and(|inside| inside.get("class_type").is_none()) {
            return Err(
                "the graph stands inside `prompt`; leave only what is inside it".to_owned(),
            );
        }
        serde_path_to_error::deserialize(value)
            .map_err(|error| format!("{}: {}", error.path(), error.inner()))
    }

    /// Everything in it that a server would choke on, some of it for good: links to nodes that are not there, nodes that the
    /// output does not depend on, circles.
    pub fn mistakes(&self, output: &str) -> Vec<Mistake> {
        let mut found = Vec::new();
        for (id, node) in &self.nodes {
            for (input, value) in &node.inputs {
                let field = || format!("{id}.inputs.{input}");
                match Link::of(value) {
                    Some(link) if !self.nodes.contains_key(link.node) => {
                        let problem =
                            format!("it links to the node `{}`, which is not there", link.node);
                        found.push(Mistake::new(field(), problem));
                    }
                    None if value.is_array() => {
                        let problem =
                            "a list is a link here: write it as [\"NODE\", OUTPUT NUMBER]";
                        found.push(Mistake::new(field(), problem));
                    }
                    Some(_) | None => {}
                }
            }
        }
        if !found.is_empty() || !self.nodes.contains_key(output) {
            return found;
        }
        let used = self.ancestors(output);
        for id in self.nodes.keys().filter(|id| !used.contains(id.as_str())) {
            let problem = format!("the output `{output}` does not depend on this node; remove it");
            found.push(Mistake::new(id.clone(), problem));
        }
        if let Some(id) = self.circle() {
            found.push(Mistake::new(
                id,
                "this node depends on itself; break the circle",
            ));
        }
        found
    }

    /// That node and all that it depends on.
    fn ancestors<'a>(&'a self, output: &'a str) -> BTreeSet<&'a str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![output];
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.sources(id));
            }
        }
        seen
    }

    /// The nodes that a node is linked to.
    fn sources(&self, id: &str) -> impl Iterator<Item = &str> {
        let inputs = self.nodes.get(id).into_iter();
        let inputs = inputs.flat_map(|node| node.inputs.values());
        inputs.filter_map(|value| Link::of(value).map(|link| link.node))
    }

    /// A node that depends on itself.
    fn circle(&self) -> Option<&str> {
        let mut left: BTreeSet<&str> = self.nodes.keys().map(String::as_str).collect();
        loop {
            let done: Vec<&str> = left
                .iter()
                .copied()
                .filter(|id| !self.sources(id).any(|source| left.contains(source)))
                .collect();
            if done.is_empty() {
                return left.first().copied();
            }
            for id in done {
                left.remove(id);
            }
        }
    }

    /// The classes of its nodes.
    pub fn classes(&self) -> BTreeSet<&str> {
        self.nodes
            .values()
            .map(|node| node.class_type.as_str())
            .collect()
    }

    /// The value of an input, if there is that node and input.
    pub fn input(&self, node: &str, input: &str) -> Option<&Value> {
        self.nodes.get(node)?.inputs.get(input)
    }

    /// Where that text stands as a value: node and input. A path separator may be the other one.
    pub fn places_of<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.nodes.iter().flat_map(move |(id, node)| {
            let is_it =
                move |value: &Value| value.as_str().is_some_and(|found| same_path(found, text));
            let inputs = node.inputs.iter().filter(move |(_, value)| is_it(value));
            inputs.map(move |(input, _)| (id.as_str(), input.as_str()))
        })
    }

    /// As JSON, the way it is posted.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("a graph consists of strings and JSON values")
    }
}

/// Whether two names of files are the same but for the path separator: Windows has its own.
pub(super) fn same_path(one: &str, other: &str) -> bool {
    let slashed = |c: char| if c == '\\' { '/' } else { c };
    one.chars().map(slashed).eq(other.chars().map(slashed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn graph(value: &Value) -> Graph {
        Graph::parse(&value.to_string()).unwrap()
    }

    fn mistakes(value: &Value) -> Vec<String> {
        let mistakes = graph(value).mistakes("save");
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_graph_of_the_page_and_a_whole_request_are_told_apart_from_a_graph() {
        let error = Graph::parse(r#"{"nodes": [], "links": []}"#).unwrap_err();
        assert!(error.contains("Export (API)"), "{error}");
        let error = Graph::parse(r#"{"prompt": {"a": {}}, "client_id": "x"}"#).unwrap_err();
        assert!(error.contains("inside `prompt`"), "{error}");
        // A node may well be called so.
        graph(&json!({"prompt": {"class_type": "CLIPTextEncode", "inputs": {}}}));
    }

    #[test]
    fn what_is_no_node_is_told_with_its_place() {
        let error = Graph::parse(r#"{"a": {"class_type": "X"}}"#).unwrap_err();
        assert!(error.starts_with("a: missing field `inputs`"), "{error}");
        let error =
            Graph::parse(r#"{"a": {"class_type": "X", "inputs": {}, "mode": 4}}"#).unwrap_err();
        assert!(error.starts_with("a.mode: unknown field"), "{error}");
    }

    #[test]
    fn what_the_page_keeps_with_a_node_is_not_sent() {
        let read = graph(
            &json!({"a": {"class_type": "X", "inputs": {"n": 1}, "_meta": {"title": "mine"}}}),
        );
        assert_eq!(
            read.to_json(),
            json!({"a": {"class_type": "X", "inputs": {"n": 1}}})
        );
    }

    #[test]
    fn what_a_server_would_choke_on_is_found() {
        let fine = json!({
            "load": {"class_type": "LoadImage", "inputs": {"image": "x"}},
            "save": {"class_type": "SaveImage", "inputs": {"images": ["load", 0]}}
        });
        assert_eq!(mistakes(&fine), [""; 0]);
        let with = |id: &str, node: Value| {
            let mut graph = fine.clone();
            graph[id] = node;
            mistakes(&graph)
        };
        assert_eq!(
            with(
                "save",
                json!({"class_type": "SaveImage", "inputs": {"images": ["lod", 0]}})
            ),
            ["save.inputs.images: it links to the node `lod`, which is not there"]
        );
        assert_eq!(
            with(
                "load",
                json!({"class_type": "LoadImage", "inputs": {"image": [1, 2]}})
            ),
            ["load.inputs.image: a list is a link here: write it as [\"NODE\", OUTPUT NUMBER]"]
        );
        assert_eq!(
            with(
                "more",
                json!({"class_type": "LoadImage", "inputs": {"image": "y"}})
            ),
            ["more: the output `save` does not depend on this node; remove it"]
        );
        assert_eq!(
            with(
                "load",
                json!({"class_type": "LoadImage", "inputs": {"image": ["save", 0]}})
            ),
            ["load: this node depends on itself; break the circle"]
        );
    }

    #[test]
    fn names_of_files_are_found_with_either_separator() {
        let read =
            graph(&json!({"a": {"class_type": "X", "inputs": {"name": "wan\\x.safetensors"}}}));
        let places: Vec<_> = read.places_of("wan/x.safetensors").collect();
        assert_eq!(places, [("a", "name")]);
    }
}
