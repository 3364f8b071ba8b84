//! What a prompt that has ended comes to, whatever its status says. Pure.

use super::trouble::Trouble;
use crate::comfyui::client::{Ending, Entry, NodeFailure, OutputFile};
use crate::comfyui::graph::Output;
use crate::comfyui::tag::Tag;

/// What to do about a prompt that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// That is the file.
    File(OutputFile),
    /// Somebody stopped it.
    Stopped,
    /// It ran out of memory.
    OutOfMemory(NodeFailure),
    /// It says success and there is nothing new: worth one more try under another name.
    Nothing(&'static str),
    /// It failed for good.
    Failed(Trouble),
}

pub(super) fn judge(entry: &Entry, output: &Output, tag: &Tag) -> Verdict {
    match &entry.ending {
        Ending::Interrupted => return Verdict::Stopped,
        Ending::Failed(failure) if failure.is_out_of_memory() => {
            return Verdict::OutOfMemory(failure.clone());
        }
        // Even where the status says success: that may be the status of the job before it.
        Ending::Failed(failure) => return Verdict::Failed(Trouble::Node(failure.clone())),
        Ending::Well if !entry.says_success => {
            return Verdict::Nothing("its status is an error without a message");
        }
        Ending::Well => {}
    }
    let files = || entry.of(&output.node, output.key.as_deref());
    // A node may list what it only shows beside what it keeps.
    let saved = files()
        .find(|saved| saved.kind == "output")
        .or_else(|| files().next());
    let Some(saved) = saved else {
        return Verdict::Nothing("the node that saves lists no file");
    };
    let file = match saved.file() {
        Ok(file) => file,
        Err(error) => return Verdict::Failed(Trouble::Unfetchable(error.to_string())),
    };
    let is_ours = file.name.starts_with(&format!("{}_", tag.stem()));
    if entry.cached.contains(&output.node) || !is_ours {
        return Verdict::Nothing("it is the file of an earlier render, out of its cache");
    }
    Verdict::File(file)
}

#[cfg(test)]
mod tests {
    use shared::ids::{JobId, Take};

    use super::*;
    use crate::comfyui::client::Saved;

    fn tag() -> Tag {
        Tag::first(JobId::from_u128(1), Take::FIRST)
    }

    fn entry(name: &str) -> Entry {
        Entry {
            says_success: true,
            ending: Ending::Well,
            cached: Vec::new(),
            outputs: vec![Saved {
                node: "save".to_owned(),
                key: "images".to_owned(),
                name: name.to_owned(),
                subfolder: "callsheet".to_owned(),
                kind: "output".to_owned(),
            }],
        }
    }

    fn judged(entry: &Entry) -> Verdict {
        let output = Output {
            node: "save".to_owned(),
            key: None,
        };
        judge(entry, &output, &tag())
    }

    fn failed(exception: &str) -> Ending {
        Ending::Failed(NodeFailure {
            node: "s".to_owned(),
            class: "KSampler".to_owned(),
            exception: exception.to_owned(),
            message: "no".to_owned(),
        })
    }

    #[test]
    fn only_a_new_file_of_this_take_is_a_result() {
        let name = format!("{}_00001_.mp4", tag().stem());
        let good = entry(&name);
        assert!(matches!(judged(&good), Verdict::File(file) if file.name == name));
        let cached = Entry {
            cached: vec!["save".to_owned()],
            ..good.clone()
        };
        let nothing = Entry {
            outputs: Vec::new(),
            ..good.clone()
        };
        let silent = Entry {
            says_success: false,
            ..good.clone()
        };
        for lie in [cached, nothing, silent, entry("other_00001_.mp4")] {
            assert!(matches!(judged(&lie), Verdict::Nothing(_)), "{lie:?}");
        }
        let mut temporary = good;
        temporary.outputs[0].kind = "temp".to_owned();
        assert!(matches!(
            judged(&temporary),
            Verdict::Failed(Trouble::Unfetchable(_))
        ));
    }

    #[test]
    fn a_success_with_an_error_among_its_messages_is_a_failure() {
        let good = entry(&format!("{}_00001_.mp4", tag().stem()));
        let with = |ending| Entry {
            ending,
            ..good.clone()
        };
        assert_eq!(judged(&with(Ending::Interrupted)), Verdict::Stopped);
        let verdict = judged(&with(failed("graph.DependencyCycleError")));
        assert!(matches!(verdict, Verdict::Failed(Trouble::Node(_))));
        let verdict = judged(&with(failed("torch.OutOfMemoryError")));
        assert!(matches!(verdict, Verdict::OutOfMemory(_)));
    }
}
