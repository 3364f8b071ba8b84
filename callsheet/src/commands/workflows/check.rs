//! `callsheet workflows check`

use std::sync::Arc;

use clap::Args;
use serde_json::json;
use shared::byte_size::ByteSize;
use shared::failure::chain;
use shared::job::JobKind;
use url::Url;
use video_worker::workflows::{Library, Report, Workflow};

use super::at_workers;
use crate::client::Client;
use crate::comfyui::{LookError, Seen, look};
use crate::error::CommandError;
use crate::table::table;
use crate::{Context, term};

/// Check which workflows ComfyUI servers could run, or which of them the workers of a coordinator take, and say what is missing
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The workflows [default: all that are known]
    names: Vec<String>,
    /// A server to ask; may be given several times [default: the one in the settings]
    #[arg(long, value_name = "URL")]
    comfyui: Vec<String>,
    /// Ask the workers of this coordinator instead, each of which knows its own server, card and workflows
    #[arg(long, value_name = "URL", conflicts_with = "comfyui")]
    coordinator: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found at one server.
#[derive(Debug)]
pub(crate) struct AtServer {
    /// The server.
    pub(crate) url: Url,
    /// What it has, or why that is not known.
    pub(crate) seen: Result<Seen, LookError>,
}

/// What was found about one workflow at one server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// Compared with the server's nodes and files.
    report: Report,
    /// What of the server's machine is too small for it.
    too_small: Vec<String>,
}

impl Found {
    /// Compares a workflow with what a server has.
    pub(crate) fn of(workflow: &Workflow, seen: &Seen) -> Self {
        let needs = workflow.profile().needs;
        let mut too_small = Vec::new();
        if let Some(device) = needs.device {
            match seen.card() {
                None => too_small.push(format!(
                    "it needs a card with {}, and the server has none",
                    device.peak
                )),
                Some(card) if card < device.peak => {
                    too_small.push(format!(
                        "it needs {} of the card, which has {card}",
                        device.peak
                    ));
                }
                Some(_) => {}
            }
        }
        if seen.ram > ByteSize::ZERO && seen.ram < needs.ram {
            too_small.push(format!(
                "it needs {} of the host's memory, which has {}",
                needs.ram, seen.ram
            ));
        }
        Self {
            report: video_worker::workflows::check(workflow, &seen.nodes),
            too_small,
        }
    }

    /// Whether the server could run it.
    pub(crate) fn runs(&self) -> bool {
        self.report.runs() && self.too_small.is_empty()
    }

    /// In a few words.
    pub(crate) fn brief(&self) -> String {
        let stops = self
            .report
            .findings
            .iter()
            .filter(|finding| finding.stops())
            .count();
        match (self.report.missing_models(), stops) {
            (0, 0) if self.too_small.is_empty() => "yes".to_owned(),
            (0, 0) => "no: too small".to_owned(),
            (1, 1) => "no: a model is missing".to_owned(),
            (models, stops) if models == stops => format!("no: {models} models are missing"),
            (_, 1) => "no: a mistake".to_owned(),
            (_, stops) => format!("no: {stops} mistakes"),
        }
    }

    /// Line by line.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let findings = self.report.findings.iter().map(ToString::to_string);
        findings.chain(self.too_small.iter().cloned())
    }
}

impl Check {
    /// Checks them.
    pub(super) async fn run(&self, context: &Context) -> Result<(), CommandError> {
        if let Some(coordinator) = &self.coordinator {
            let coordinator = Client::new(coordinator, context.settings.given_token())?;
            return at_workers::run(&coordinator, &self.names, self.json).await;
        }
        let library = context.workflows()?;
        let workflows = chosen(&library, &self.names)?;
        let urls = context.comfyui(&self.comfyui)?;
        if urls.is_empty() {
            let hint = "no ComfyUI server is in the settings (comfyui.url); name one with --comfyui http://127.0.0.1:8188";
            return Err(CommandError::Usage(hint.to_owned()));
        }
        let servers = look_at(urls).await;
        match self.json {
            true => term::say_json(&as_json(&workflows, &servers, &library)),
            false => term::say(&text(&workflows, &servers)),
        }
        self.verdict(&workflows, servers, &library)
    }

    /// How the command ends. What was named must run somewhere; of all together it is enough that any does.
    fn verdict(
        &self,
        workflows: &[Arc<Workflow>],
        servers: Vec<AtServer>,
        library: &Library,
    ) -> Result<(), CommandError> {
        let reached: Vec<&Seen> = servers
            .iter()
            .filter_map(|server| server.seen.as_ref().ok())
            .collect();
        let runs =
            |workflow: &Arc<Workflow>| reached.iter().any(|seen| Found::of(workflow, seen).runs());
        let idle = workflows.iter().filter(|workflow| !runs(workflow));
        let idle: Vec<_> = idle.map(|workflow| workflow.name().to_string()).collect();
        let is_bad = match self.names.is_empty() {
            true => idle.len() == workflows.len(),
            false => !idle.is_empty(),
        };
        if let Some(error) = servers.into_iter().find_map(|server| server.seen.err()) {
            return Err(error.into());
        }
        match library.broken() {
            broken @ [_, ..] if self.names.is_empty() => {
                Err(CommandError::BrokenWorkflows(broken.to_vec()))
            }
            _ if is_bad => Err(CommandError::RunsNowhere(idle)),
            _ => Ok(()),
        }
    }
}

/// Asks all servers at once.
pub(crate) async fn look_at(urls: Vec<Url>) -> Vec<AtServer> {
    let look_at = |url: Url| async {
        let seen = look(&url).await;
        AtServer { url, seen }
    };
    futures::future::join_all(urls.into_iter().map(look_at)).await
}

/// The workflows of these names; all if there are none.
fn chosen(library: &Library, names: &[String]) -> Result<Vec<Arc<Workflow>>, CommandError> {
    if names.is_empty() {
        return Ok(library
            .all()
            .map(|(workflow, _)| Arc::clone(workflow))
            .collect());
    }
    let find = |name: &String| match library.get(name) {
        Some(workflow) => Ok(Arc::clone(workflow)),
        // It may be there, and broken.
        None if !library.broken().is_empty() => {
            Err(CommandError::BrokenWorkflows(library.broken().to_vec()))
        }
        None => Err(unknown(
            name,
            library.all().map(|(workflow, _)| workflow.name().as_str()),
        )),
    };
    names.iter().map(find).collect()
}

/// Nothing is called so.
pub(super) fn unknown<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> CommandError {
    let names: Vec<_> = names.collect();
    CommandError::Usage(format!(
        "there is no workflow `{name}`; there are {}",
        names.join(", ")
    ))
}

fn text(workflows: &[Arc<Workflow>], servers: &[AtServer]) -> String {
    let mut parts = Vec::new();
    let server = |server: &AtServer| match &server.seen {
        Ok(seen) => format!("{}  {}", server.url, seen.line()),
        Err(error) => format!("{}  {}", server.url, chain(error)),
    };
    let lines: Vec<_> = servers.iter().map(server).collect();
    parts.push(lines.join("\n"));

    let reached: Vec<(&Url, &Seen)> = servers
        .iter()
        .filter_map(|server| Some((&server.url, server.seen.as_ref().ok()?)))
        .collect();
    if reached.is_empty() {
        return parts.concat();
    }
    let head = ["WORKFLOW", "KIND"].map(str::to_owned).into_iter();
    let head = head.chain(reached.iter().map(|(url, _)| url.to_string()));
    let mut rows = vec![head.collect::<Vec<_>>()];
    let mut told = Vec::new();
    for workflow in workflows {
        let found: Vec<_> = reached
            .iter()
            .map(|(url, seen)| (url, Found::of(workflow, seen)))
            .collect();
        let kind = JobKind::from(workflow.manifest().kind).to_string();
        let row = [workflow.name().to_string(), kind].into_iter();
        rows.push(
            row.chain(found.iter().map(|(_, found)| found.brief()))
                .collect(),
        );
        for (url, found) in found {
            let lines: String = found.lines().map(|line| format!("\n  {line}")).collect();
            if !lines.is_empty() {
                told.push(format!("{} at {url}:{lines}", workflow.name()));
            }
        }
    }
    parts.push(table(&rows));
    if !told.is_empty() {
        parts.push(told.join("\n"));
    }
    // Names of nodes, files and devices come from outside.
    let parts: Vec<_> = parts
        .iter()
        .map(|part| part.lines().map(term::plain).collect::<Vec<_>>().join("\n"))
        .collect();
    parts.join("\n\n")
}

fn as_json(
    workflows: &[Arc<Workflow>],
    servers: &[AtServer],
    library: &Library,
) -> serde_json::Value {
    let server = |server: &AtServer| match &server.seen {
        Ok(seen) => json!({"url": server.url.as_str(), "version": seen.version, "reached": true}),
        Err(error) => json!({"url": server.url.as_str(), "error": chain(error), "reached": false}),
    };
    let workflow = |workflow: &Arc<Workflow>| {
        let at = servers.iter().filter_map(|server| {
            let found = Found::of(workflow, server.seen.as_ref().ok()?);
            let lines: Vec<_> = found.lines().collect();
            Some(json!({"url": server.url.as_str(), "runs": found.runs(), "findings": lines}))
        });
        json!({
            "name": workflow.name(),
            "kind": JobKind::from(workflow.manifest().kind),
            "hash": workflow.hash(),
            "servers": at.collect::<Vec<_>>(),
        })
    };
    json!({
        "servers": servers.iter().map(server).collect::<Vec<_>>(),
        "workflows": workflows.iter().map(workflow).collect::<Vec<_>>(),
        "broken": library.broken().iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
