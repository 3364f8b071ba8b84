//! What the server remembers of a prompt that has ended. Pure.

use serde_json::Value;
use shared::time::Timestamp;

use super::error::{ComfyError, shorten};

/// The longest name of a file that is asked for.
const NAME_MAX: usize = 255;

/// A prompt that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whether the server calls it a success. It has been wrong about that: see [`Entry::ending`].
    pub says_success: bool,
    /// How its messages say it ended.
    pub ending: Ending,
    /// The nodes that it did not run, as it had their results.
    pub cached: Vec<String>,
    /// What its nodes have saved or shown.
    pub outputs: Vec<Saved>,
}

/// How a prompt ended, by its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Nothing bad is said.
    Well,
    /// A node failed.
    Failed(NodeFailure),
    /// Somebody stopped it.
    Interrupted,
}

/// A node that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFailure {
    /// The node's id.
    pub node: String,
    /// Its class.
    pub class: String,
    /// Python's name for the failure, as `torch.OutOfMemoryError`.
    pub exception: String,
    /// The beginning of what it says.
    pub message: String,
}

/// A file that a node lists among its outputs, as the server names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The node's id.
    pub node: String,
    /// The name of the list, as `images`.
    pub key: String,
    /// The file's name.
    pub name: String,
    /// Its folder below that of its type.
    pub subfolder: String,
    /// `output`, `temp` or `input`.
    pub kind: String,
}

/// A file in the server's output folder, whose name is safe to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Its name.
    pub name: String,
    /// Its folder, with `/` between parts; empty for none.
    pub subfolder: String,
}

impl Entry {
    /// Reads the answer about one prompt: `None` if it has not ended, or was never there.
    ///
    /// # Errors
    /// If it is no such answer.
    pub fn read(body: &Value, prompt: &str) -> Result<Option<Self>, ComfyError> {
        let unreadable = |why: &str| ComfyError::Unreadable {
            what: "history",
            why: why.to_owned(),
        };
        let Some(all) = body.as_object() else {
            return Err(unreadable("it is no object"));
        };
        let Some(entry) = all.get(prompt) else {
            return Ok(None);
        };
        let status = &entry["status"];
        let outputs = entry["outputs"].as_object();
        let outputs = outputs.ok_or_else(|| unreadable("it has no outputs"))?;
        let messages = status["messages"].as_array();
        let messages = messages.map(Vec::as_slice).unwrap_or_default();
        let said = |name: &str| {
            let mut all = messages.iter();
            all.find(|message| message[0] == name)
                .map(|message| &message[1])
        };
        let ending = match (said("execution_interrupted"), said("execution_error")) {
            (Some(_), _) => Ending::Interrupted,
            (_, Some(error)) => Ending::Failed(NodeFailure::read(error)),
            _ => Ending::Well,
        };
        let cached = said("execution_cached").and_then(|said| said["nodes"].as_array());
        let cached = cached.into_iter().flatten().filter_map(Value::as_str);
        Ok(Some(Self {
            says_success: status["status_str"] == "success"
                && status["completed"].as_bool() == Some(true),
            ending,
            cached: cached.map(ToOwned::to_owned).collect(),
            outputs: outputs.iter().flat_map(of_node).collect(),
        }))
    }

    /// The files of a node's list, or of any of its lists.
    pub fn of<'a>(
        &'a self,
        node: &'a str,
        key: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Saved> {
        let outputs = self.outputs.iter();
        outputs.filter(move |it| it.node == node && key.is_none_or(|key| it.key == key))
    }
}

/// The latest time that any message in a history carries.
pub(super) fn last_end(body: &Value) -> Option<Timestamp> {
    let entries = body.as_object().into_iter().flatten();
    let messages = entries.flat_map(|(_, entry)| entry["status"]["messages"].as_array());
    let times = messages
        .flatten()
        .filter_map(|message| message[1]["timestamp"].as_i64());
    times.max().map(Timestamp::from_millis)
}

/// Every list of things that have a file name and a type, whatever it is called.
fn of_node((node, lists): (&String, &Value)) -> Vec<Saved> {
    let mut found = Vec::new();
    for (key, list) in lists.as_object().into_iter().flatten() {
        for item in list.as_array().into_iter().flatten() {
            let text = |key: &str| item[key].as_str().map(ToOwned::to_owned);
            if let (Some(name), Some(kind)) = (text("filename"), text("type")) {
                found.push(Saved {
                    node: node.clone(),
                    key: key.clone(),
                    name,
                    subfolder: text("subfolder").unwrap_or_default(),
                    kind,
                });
            }
        }
    }
    found
}

impl NodeFailure {
    fn read(error: &Value) -> Self {
        let text = |key: &str| match &error[key] {
            Value::String(text) => shorten(text),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        Self {
            node: text("node_id"),
            class: text("node_type"),
            exception: text("exception_type"),
            message: text("exception_message"),
        }
    }

    /// Whether device or host ran out of memory.
    pub fn is_out_of_memory(&self) -> bool {
        self.exception.ends_with("OutOfMemoryError")
            || [
                "CUDA error: out of memory",
                "CUDA out of memory",
                "Allocation on device",
                "can't allocate memory",
                "not enough memory",
            ]
            .iter()
            .any(|sign| self.message.contains(sign))
    }

    /// Whether no later job of that server's process can succeed.
    pub fn breaks_the_server(&self) -> bool {
        self.message.contains("CUDA error") && !self.is_out_of_memory()
    }
}

impl Saved {
    /// The file to fetch.
    ///
    /// # Errors
    /// If it is not in the output folder, or its name would lead out of it.
    pub fn file(&self) -> Result<OutputFile, ComfyError> {
        if self.kind != "output" {
            return Err(ComfyError::NotAnOutput {
                name: shorten(&self.name),
                kind: shorten(&self.kind),
            });
        }
        // Windows has its own separator.
        let subfolder = self.subfolder.replace('\\', "/");
        let is_plain = |part: &str| {
            !part.is_empty()
                && part.len() <= NAME_MAX
                && part != "."
                && part != ".."
                && !part.contains(['/', '\\', ':', '\0'])
                && !part.chars().any(char::is_control)
        };
        let parts_are_plain = subfolder.is_empty() || subfolder.split('/').all(is_plain);
        match is_plain(&self.name) && parts_are_plain {
            true => Ok(OutputFile {
                name: self.name.clone(),
                subfolder,
            }),
            false => Err(ComfyError::UnsafeName {
                name: shorten(&self.name),
                subfolder: shorten(&self.subfolder),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(status: &str, messages: &Value, outputs: &Value) -> Entry {
        let body = json!({"p": {"status": {"status_str": status, "completed": status == "success", "messages": messages}, "outputs": outputs}});
        Entry::read(&body, "p").unwrap().unwrap()
    }

    #[test]
    fn a_video_is_found_under_images_and_under_whatever_other_nodes_call_it() {
        let file = |kind: &str| json!({"filename": "a_00001_.mp4", "subfolder": "callsheet", "type": kind});
        let outputs = json!({
            "save": {"images": [file("output")], "animated": [true]},
            "other": {"gifs": [file("output")]},
            "text": {"text": ["said"]},
        });
        let entry = entry("success", &json!([]), &outputs);
        assert_eq!(entry.of("save", None).count(), 1);
        assert_eq!(entry.of("save", Some("gifs")).count(), 0);
        assert_eq!(entry.of("other", Some("gifs")).count(), 1);
        assert_eq!(entry.of("text", None).count(), 0);
    }

    #[test]
    fn what_the_messages_say_counts_more_than_the_status() {
        let error = json!({"node_id": "2", "node_type": "X", "exception_type": "graph.DependencyCycleError", "exception_message": "x ".repeat(40_000)});
        let messages = json!([["execution_start", {}], ["execution_error", error]]);
        let lied = entry("success", &messages, &json!({}));
        assert!(lied.says_success);
        let Ending::Failed(failure) = lied.ending else {
            panic!("{lied:?}")
        };
        assert!(failure.message.len() < 1_000);
        let messages =
            json!([["execution_cached", {"nodes": ["a"]}], ["execution_interrupted", {}]]);
        let stopped = entry("error", &messages, &json!({}));
        assert_eq!(
            (stopped.ending, stopped.cached),
            (Ending::Interrupted, vec!["a".to_owned()])
        );
    }

    #[test]
    fn nothing_is_known_of_a_prompt_that_runs_and_an_odd_answer_is_an_error() {
        assert_eq!(Entry::read(&json!({}), "p").unwrap(), None);
        for odd in [json!([]), json!("x"), json!({"p": {}}), json!({"p": 3})] {
            assert!(Entry::read(&odd, "p").is_err(), "{odd}");
        }
    }

    #[test]
    fn a_name_that_leads_out_of_the_output_folder_is_not_fetched() {
        let saved = |name: &str, subfolder: &str, kind: &str| Saved {
            node: "save".to_owned(),
            key: "images".to_owned(),
            name: name.to_owned(),
            subfolder: subfolder.to_owned(),
            kind: kind.to_owned(),
        };
        for (name, subfolder) in [
            ("../x.mp4", ""),
            ("..", ""),
            ("", ""),
            ("/etc/passwd", ""),
            ("a\\b.mp4", ""),
            ("C:x.mp4", ""),
            ("x.mp4\n", ""),
            ("x.mp4", "../.."),
            ("x.mp4", "/etc"),
            ("x.mp4", "a//b"),
            ("x.mp4", "..\\.."),
            (&"x".repeat(300), ""),
        ] {
            let error = saved(name, subfolder, "output").file().unwrap_err();
            assert!(
                matches!(error, ComfyError::UnsafeName { .. }),
                "{name} {subfolder}"
            );
        }
        let windows = saved("x.mp4", "callsheet\\a", "output").file().unwrap();
        assert_eq!(windows.subfolder, "callsheet/a");
        for kind in ["temp", "input", "", "strange"] {
            let error = saved("x.mp4", "", kind).file().unwrap_err();
            assert!(matches!(error, ComfyError::NotAnOutput { .. }), "{kind}");
        }
    }

    #[test]
    fn memory_that_ran_out_is_told_from_a_broken_card() {
        let failure = |exception: &str, message: &str| NodeFailure {
            node: "s".to_owned(),
            class: "KSampler".to_owned(),
            exception: exception.to_owned(),
            message: message.to_owned(),
        };
        for (exception, message) in [
            ("torch.OutOfMemoryError", "Allocation on device "),
            (
                "torch.cuda.OutOfMemoryError",
                "CUDA out of memory. Tried to allocate 1 GiB",
            ),
            ("torch.AcceleratorError", "CUDA error: out of memory"),
            (
                "RuntimeError",
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes",
            ),
        ] {
            let failure = failure(exception, message);
            assert!(
                failure.is_out_of_memory() && !failure.breaks_the_server(),
                "{failure:?}"
            );
        }
        let broken = failure(
            "RuntimeError",
            "CUDA error: an illegal memory access was encountered",
        );
        assert!(!broken.is_out_of_memory() && broken.breaks_the_server());
    }
}
