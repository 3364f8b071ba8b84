//! `callsheet workflows list`

use clap::Args;
use serde_json::json;
use shared::byte_size::ByteSize;
use shared::job::JobKind;
use video_worker::workflows::{Library, Origin, Workflow};

use crate::error::CommandError;
use crate::table::table;
use crate::{Context, term};

/// List the workflows that are known here, and what each needs
#[derive(Debug, Args)]
pub(super) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    /// Lists them.
    pub(super) fn run(&self, context: &Context) -> Result<(), CommandError> {
        let library = context.workflows()?;
        if self.json {
            let all = library
                .all()
                .map(|(workflow, origin)| as_json(workflow, origin));
            let broken = library.broken().iter().map(ToString::to_string);
            term::say_json(
                &json!({"workflows": all.collect::<Vec<_>>(), "broken": broken.collect::<Vec<_>>()}),
            );
        } else {
            term::say(&text(&library));
        }
        match library.broken() {
            [] => Ok(()),
            broken => Err(CommandError::BrokenWorkflows(broken.to_vec())),
        }
    }
}

fn text(library: &Library) -> String {
    let head = ["NAME", "KIND", "FILES", "CARD", "HOST", "FROM", "TITLE"].map(str::to_owned);
    let rows = library
        .all()
        .map(|(workflow, origin)| row(workflow, origin));
    table(
        &std::iter::once(head.to_vec())
            .chain(rows)
            .collect::<Vec<_>>(),
    )
}

fn row(workflow: &Workflow, origin: &Origin) -> Vec<String> {
    let manifest = workflow.manifest();
    let needs = workflow.profile().needs;
    let files: u32 = manifest.models.iter().filter_map(|model| model.mib).sum();
    let or_none = |amount: ByteSize| match amount {
        ByteSize::ZERO => "-".to_owned(),
        amount => amount.to_string(),
    };
    vec![
        workflow.name().to_string(),
        JobKind::from(manifest.kind).to_string(),
        or_none(ByteSize::mib(files.into())),
        or_none(needs.device.map_or(ByteSize::ZERO, |device| device.peak)),
        needs.ram.to_string(),
        from(origin),
        term::plain(&manifest.title),
    ]
}

fn from(origin: &Origin) -> String {
    match origin {
        Origin::Shipped => "callsheet".to_owned(),
        Origin::Folder(folder) => term::plain(&folder.display().to_string()),
    }
}

fn as_json(workflow: &Workflow, origin: &Origin) -> serde_json::Value {
    json!({
        "name": workflow.name(),
        "kind": JobKind::from(workflow.manifest().kind),
        "title": workflow.manifest().title,
        "hash": workflow.hash(),
        "from": from(origin),
        "needs": workflow.profile().needs,
        "models": workflow.manifest().models,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_there_is_to_download_and_what_must_be_free() {
        let text = text(&Library::shipped());
        let line = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            line("wan2.2-i2v-a14b"),
            "wan2.2-i2v-a14b scene 33.1 GiB 20.2 GiB 34.6 GiB callsheet WAN 2.2 image to video, A14B (high and low noise)"
        );
        assert_eq!(
            line("smoke-keyframe"),
            "smoke-keyframe keyframe - - 1000.0 MiB callsheet Spots of colour; no model"
        );
    }
}
