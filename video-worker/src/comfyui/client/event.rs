//! What the WebSocket tells of a prompt. Pure. None of it decides anything: history does.

use serde_json::Value;

/// A word about a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// The server works on that node.
    Node(String),
    /// A node has made that many steps.
    Step {
        /// The node.
        node: String,
        /// Steps done.
        done: u32,
        /// Steps in all.
        of: u32,
    },
    /// It may have ended: look.
    Ended,
    /// Something about the queue or about others.
    Else,
}

impl Word {
    /// What that text frame says of that prompt.
    pub fn of(text: &str, prompt: &str) -> Self {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return Self::Else;
        };
        let data = &message["data"];
        let kind = message["type"].as_str().unwrap_or_default();
        // A client that connects in mid-run is told the node without the prompt.
        let is_ours = data["prompt_id"].as_str().map(|id| id == prompt);
        if is_ours == Some(false) || (is_ours.is_none() && kind != "executing") {
            return Self::Else;
        }
        match kind {
            "executing" => match data["node"].as_str() {
                Some(node) => Self::Node(node.to_owned()),
                None if is_ours == Some(true) => Self::Ended,
                None => Self::Else,
            },
            "progress" => step(&data["node"], data).unwrap_or(Self::Else),
            "progress_state" => {
                let nodes = data["nodes"].as_object().into_iter().flatten();
                let mut running = nodes.filter(|(_, node)| node["state"] == "running");
                running
                    .find_map(|(_, node)| step(&node["node_id"], node))
                    .unwrap_or(Self::Else)
            }
            "execution_success" | "execution_error" | "execution_interrupted" => Self::Ended,
            _ => Self::Else,
        }
    }
}

/// A step, if there are several to make.
fn step(node: &Value, figures: &Value) -> Option<Word> {
    let whole = |key: &str| {
        let figure = figures[key].as_f64()?;
        // Steps are counted in whole numbers, and are never near the limit.
        (0.0..=f64::from(u32::MAX))
            .contains(&figure)
            .then_some(figure as u32)
    };
    let (done, of) = (whole("value")?, whole("max")?);
    (of > 1).then_some(Word::Step {
        node: node.as_str()?.to_owned(),
        done,
        of,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sorts_of_progress_are_understood_and_those_of_others_are_not_ours() {
        let said = |text: &str| Word::of(text, "p");
        let step = Word::Step {
            node: "sampler".to_owned(),
            done: 1,
            of: 3,
        };
        assert_eq!(
            said(
                r#"{"type": "progress", "data": {"value": 1, "max": 3, "prompt_id": "p", "node": "sampler"}}"#
            ),
            step
        );
        let state = r#"{"type": "progress_state", "data": {"prompt_id": "p", "nodes": {
            "clip": {"value": 1.0, "max": 1.0, "state": "finished", "node_id": "clip"},
            "sampler": {"value": 1.0, "max": 3.0, "state": "running", "node_id": "sampler"}}}}"#;
        assert_eq!(said(state), step);
        assert_eq!(Word::of(state, "q"), Word::Else);
        for odd in [
            "",
            "{",
            "[]",
            "3",
            r#"{"type": "progress", "data": {"prompt_id": "p", "value": -1, "max": "x", "node": 3}}"#,
        ] {
            assert_eq!(said(odd), Word::Else, "{odd}");
        }
    }

    #[test]
    fn the_end_and_the_node_are_told() {
        let said = |text: &str| Word::of(text, "p");
        assert_eq!(
            said(r#"{"type": "executing", "data": {"node": null, "prompt_id": "p"}}"#),
            Word::Ended
        );
        assert_eq!(
            said(r#"{"type": "executing", "data": {"node": "decode"}}"#),
            Word::Node("decode".to_owned())
        );
        assert_eq!(
            said(r#"{"type": "execution_error", "data": {"prompt_id": "p"}}"#),
            Word::Ended
        );
        assert_eq!(
            said(
                r#"{"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "p"}}"#
            ),
            Word::Else
        );
    }
}
