//! Why the server does not run a graph, in its own words and in ours. Pure.

use std::fmt;

use serde_json::Value;

use super::error::shorten;

/// A graph that was turned down before it ran.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The server's name for it, as `prompt_outputs_failed_validation`.
    pub kind: String,
    /// What it says.
    pub message: String,
    /// What is wrong with which node.
    pub problems: Vec<Problem>,
}

/// What is wrong with a node of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The node's id.
    pub node: String,
    /// Its class.
    pub class: String,
    /// Its input, if it is about one.
    pub input: Option<String>,
    /// The server's name for it, as `value_not_in_list`.
    pub kind: String,
    /// What the server says.
    pub message: String,
}

/// What a refusal comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacks {
    /// Model files are missing at this server; another one may have them.
    Models(Vec<String>),
    /// A sort of node is not installed at this server; another one may have it.
    Node(String),
    /// The graph itself is wrong, and is so everywhere.
    Nothing,
}

/// What the names of model files end with.
const MODEL_ENDINGS: [&str; 7] = [
    ".safetensors",
    ".sft",
    ".gguf",
    ".ckpt",
    ".pt",
    ".pth",
    ".bin",
];

impl Refusal {
    /// Reads the body of a 400, or of a 200 that dropped a part of the graph; `None` if it says no such thing.
    pub fn of(body: &Value) -> Option<Self> {
        let problems: Vec<_> = body["node_errors"].as_object().map_or(Vec::new(), |nodes| {
            nodes
                .iter()
                .flat_map(|(id, node)| of_node(id, node))
                .collect()
        });
        let error = &body["error"];
        if !error.is_object() {
            return (!problems.is_empty()).then(|| Self {
                kind: "partial".to_owned(),
                message: "a part of the graph was dropped".to_owned(),
                problems,
            });
        }
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        let message = match (text("message"), text("details")) {
            (message, details) if details.is_empty() || details == message => message,
            (message, details) => format!("{message} ({details})"),
        };
        Some(Self {
            kind: text("type"),
            message: shorten(&message),
            problems,
        })
    }

    /// What this server lacks for the graph.
    pub fn lacks(&self) -> Lacks {
        if self.kind == "missing_node_type" || self.message.contains("does not exist") {
            return Lacks::Node(self.message.clone());
        }
        let names = self.problems.iter().filter_map(Problem::missing_model);
        let names: Vec<_> = names.collect();
        // Any other problem is there at every server.
        match !names.is_empty() && names.len() == self.problems.len() {
            true => Lacks::Models(names),
            false => Lacks::Nothing,
        }
    }
}

impl Problem {
    /// The model file that it is about, if it is about one that is not there.
    fn missing_model(&self) -> Option<String> {
        if self.kind != "value_not_in_list" {
            return None;
        }
        let quoted = self.message.split('\'').nth(1)?;
        let lower = quoted.to_lowercase();
        MODEL_ENDINGS
            .iter()
            .any(|ending| lower.ends_with(ending))
            .then(|| quoted.to_owned())
    }
}

fn of_node<'a>(id: &'a str, node: &'a Value) -> impl Iterator<Item = Problem> + 'a {
    let errors = node["errors"].as_array().into_iter().flatten();
    errors.map(move |error| {
        let text = |key: &str| error[key].as_str().unwrap_or_default();
        let message = match text("details") {
            "" => text("message").to_owned(),
            details => format!("{} ({details})", text("message")),
        };
        Problem {
            node: id.to_owned(),
            class: node["class_type"].as_str().unwrap_or_default().to_owned(),
            input: error["extra_info"]["input_name"]
                .as_str()
                .map(ToOwned::to_owned),
            kind: text("type").to_owned(),
            message: shorten(&message),
        }
    })
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComfyUI does not run this graph: ")?;
        if self.problems.is_empty() {
            return write!(f, "{}", self.message);
        }
        for (place, problem) in self.problems.iter().take(3).enumerate() {
            let comma = if place > 0 { "; " } else { "" };
            write!(f, "{comma}{problem}")?;
        }
        match self.problems.len().saturating_sub(3) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node `{}` ({})", self.node, self.class)?;
        if let Some(input) = &self.input {
            write!(f, ", input `{input}`")?;
        }
        write!(f, ": {}", self.message)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_node(kind: &str, details: &str, input: &str) -> Value {
        let error = json!({"type": kind, "message": "Value not in list", "details": details, "extra_info": {"input_name": input}});
        json!({
            "error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": "", "extra_info": {}},
            "node_errors": {"unet": {"errors": [error], "dependent_outputs": ["save"], "class_type": "UNETLoader"}},
        })
    }

    #[test]
    fn a_missing_model_is_told_by_node_input_and_file_and_another_server_may_have_it() {
        let body = with_node(
            "value_not_in_list",
            "unet_name: 'wan.safetensors' not in []",
            "unet_name",
        );
        let refusal = Refusal::of(&body).unwrap();
        assert_eq!(
            refusal.lacks(),
            Lacks::Models(vec!["wan.safetensors".to_owned()])
        );
        assert_eq!(
            refusal.to_string(),
            "ComfyUI does not run this graph: node `unet` (UNETLoader), input `unet_name`: Value not in list (unet_name: \
             'wan.safetensors' not in [])"
        );
    }

    #[test]
    fn a_wrong_choice_is_wrong_everywhere() {
        let body = with_node(
            "value_not_in_list",
            "sampler_name: 'nope' not in ['euler']",
            "sampler_name",
        );
        assert_eq!(Refusal::of(&body).unwrap().lacks(), Lacks::Nothing);
    }

    #[test]
    fn a_node_that_is_not_installed_is_told_in_the_words_of_both_versions() {
        let new = json!({"error": {"type": "missing_node_type", "message": "Node 'Wan' not found.", "details": "Node ID '#2'", "extra_info": {}}, "node_errors": {}});
        let old = json!({"error": {"type": "invalid_prompt", "message": "Cannot execute because node Wan does not exist.", "details": "Node ID '#2'", "extra_info": {}}, "node_errors": {}});
        for body in [new, old] {
            let refusal = Refusal::of(&body).unwrap();
            assert!(
                matches!(refusal.lacks(), Lacks::Node(said) if said.contains("Wan")),
                "{refusal}"
            );
        }
    }

    #[test]
    fn a_part_that_was_dropped_is_a_refusal_and_an_acceptance_is_none() {
        let mut body = with_node("required_input_missing", "width", "width");
        body["error"] = Value::Null;
        assert_eq!(Refusal::of(&body).unwrap().kind, "partial");
        assert_eq!(
            Refusal::of(&json!({"prompt_id": "x", "number": 1.0, "node_errors": {}})),
            None
        );
    }
}
