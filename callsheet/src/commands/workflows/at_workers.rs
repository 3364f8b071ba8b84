//! `callsheet workflows check --coordinator URL`: which worker takes jobs for which workflow, as they say themselves.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::api::WorkerView;
use shared::ids::ProfileName;
use shared::job::JobKind;
use shared::protocol::Waiting;

use super::check::unknown;
use crate::client::Client;
use crate::error::CommandError;
use crate::table::table;
use crate::term;

/// What profiles of workflows call their backend.
const BACKEND: &str = "comfyui";

/// What a worker says of a workflow.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stand<'a> {
    /// It takes its jobs.
    Takes,
    /// It does not, at least now.
    Waits(&'a Waiting),
    /// It does not know it.
    Unknown,
}

/// Asks the coordinator and tells what its workers have said.
pub(super) async fn run(
    coordinator: &Client,
    names: &[String],
    as_json: bool,
) -> Result<(), CommandError> {
    let list = coordinator.workers().await?;
    let workers: Vec<_> = list.workers.iter().filter(|worker| worker.online).collect();
    let workflows = chosen(known(&workers), names)?;
    match as_json {
        true => term::say_json(&json_of(&workflows, &workers)),
        false => term::say(&text(&workflows, &workers)),
    }
    verdict(&workflows, &workers, !names.is_empty())
}

/// The workflows that any of these workers knows.
fn known(workers: &[&WorkerView]) -> BTreeMap<ProfileName, JobKind> {
    let profiles = workers.iter().flat_map(|worker| &worker.state.profiles);
    let workflows = profiles.filter(|profile| profile.backend == BACKEND);
    workflows
        .map(|profile| (profile.name.clone(), profile.kind))
        .collect()
}

/// Those of these names; all if there are none.
fn chosen(
    known: BTreeMap<ProfileName, JobKind>,
    names: &[String],
) -> Result<Vec<(ProfileName, JobKind)>, CommandError> {
    if known.is_empty() {
        let hint = "none of its workers renders on ComfyUI; set comfyui.url in the settings of a video-worker";
        return Err(CommandError::Usage(hint.to_owned()));
    }
    let is_there = |name: &String| known.keys().any(|known| known.as_str() == name);
    if let Some(name) = names.iter().find(|name| !is_there(name)) {
        return Err(unknown(name, known.keys().map(ProfileName::as_str)));
    }
    let is_chosen =
        |name: &ProfileName| names.is_empty() || names.iter().any(|chosen| chosen == name.as_str());
    Ok(known
        .into_iter()
        .filter(|(name, _)| is_chosen(name))
        .collect())
}

fn stand<'a>(worker: &'a WorkerView, name: &ProfileName, kind: JobKind) -> Stand<'a> {
    let state = &worker.state;
    let mut profiles = state.profiles.iter();
    if !profiles.any(|profile| profile.kind == kind && profile.name == *name) {
        return Stand::Unknown;
    }
    let mut waiting = state.waiting.iter();
    match waiting.find(|waiting| waiting.kind == kind && waiting.profile == *name) {
        Some(waiting) => Stand::Waits(waiting),
        None => Stand::Takes,
    }
}

fn verdict(
    workflows: &[(ProfileName, JobKind)],
    workers: &[&WorkerView],
    is_named: bool,
) -> Result<(), CommandError> {
    let is_taken = |(name, kind): &(ProfileName, JobKind)| {
        let mut stands = workers.iter().map(|worker| stand(worker, name, *kind));
        stands.any(|stand| stand == Stand::Takes)
    };
    let idle = workflows.iter().filter(|workflow| !is_taken(workflow));
    let idle: Vec<_> = idle.map(|(name, _)| name.to_string()).collect();
    let is_bad = match is_named {
        true => !idle.is_empty(),
        false => idle.len() == workflows.len(),
    };
    match is_bad {
        true => Err(CommandError::NobodyTakes(idle)),
        false => Ok(()),
    }
}

fn text(workflows: &[(ProfileName, JobKind)], workers: &[&WorkerView]) -> String {
    let is_meant = |worker: &&&WorkerView| {
        let mut profiles = worker.state.profiles.iter();
        profiles.any(|profile| profile.backend == BACKEND)
    };
    let workers: Vec<_> = workers.iter().filter(is_meant).collect();
    let head = ["WORKFLOW", "KIND"].map(str::to_owned).into_iter();
    let names = workers
        .iter()
        .map(|worker| worker.state.worker.worker.to_string());
    let mut rows = vec![head.chain(names).collect::<Vec<_>>()];
    let mut told = Vec::new();
    for (name, kind) in workflows {
        let mut row = vec![name.to_string(), kind.to_string()];
        for worker in &workers {
            let stand = stand(worker, name, *kind);
            row.push(stand.brief().to_owned());
            if let Stand::Waits(waiting) = stand {
                let worker = &worker.state.worker.worker;
                told.push(format!(
                    "{name} at {worker}:\n  {}",
                    term::plain(&waiting.reason)
                ));
            }
        }
        rows.push(row);
    }
    let parts = [table(&rows), told.join("\n")];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n\n")
}

fn json_of(workflows: &[(ProfileName, JobKind)], workers: &[&WorkerView]) -> Value {
    let workflow = |(name, kind): &(ProfileName, JobKind)| {
        let at = workers.iter().filter_map(|worker| {
            let (takes, waiting) = match stand(worker, name, *kind) {
                Stand::Takes => (true, None),
                Stand::Waits(waiting) => (false, Some(waiting)),
                Stand::Unknown => return None,
            };
            Some(json!({
                "worker": worker.state.worker.worker,
                "host": worker.state.host,
                "takes": takes,
                "never": waiting.is_some_and(|waiting| waiting.never),
                "reason": waiting.map(|waiting| &waiting.reason),
            }))
        });
        json!({"name": name, "kind": kind, "workers": at.collect::<Vec<_>>()})
    };
    json!({"workflows": workflows.iter().map(workflow).collect::<Vec<_>>()})
}

impl Stand<'_> {
    fn brief(self) -> &'static str {
        match self {
            Self::Takes => "yes",
            Self::Waits(waiting) if waiting.never => "no",
            Self::Waits(_) => "not now",
            Self::Unknown => "-",
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::api::WorkerList;

    use super::*;

    fn worker(name: &str, profiles: &[(&str, &str)], waiting: &[(&str, bool)]) -> Value {
        let profile = |(name, backend): &(&str, &str)| json!({"name": name, "kind": "scene", "backend": backend, "needs": {}});
        let waits = |(name, never): &(&str, bool)| json!({"kind": "scene", "profile": name, "never": never, "reason": format!("{name} is not for us")});
        json!({
            "worker": name, "boot": "0199c1a4-7a3e-7b52-8d5f-3f6f2c7b9a10", "host": "studio", "program_version": "0", "slots": 1,
            "profiles": profiles.iter().map(profile).collect::<Vec<_>>(), "waiting": waiting.iter().map(waits).collect::<Vec<_>>(),
            "paused": false, "draining": false, "seen_at": "2026-11-30T00:00:00Z", "online": true, "pause_wanted": false,
        })
    }

    fn list() -> WorkerList {
        let smoke = ("smoke", "comfyui");
        let wan = ("wan", "comfyui");
        let mut gone = worker("gone", &[("old", "comfyui")], &[]);
        gone["online"] = json!(false);
        let workers = [
            worker("big", &[smoke, wan], &[]),
            worker("small", &[smoke, wan], &[("wan", true), ("smoke", false)]),
            worker("plain", &[smoke], &[]),
            worker("drawing", &[("animatic", "animatic")], &[]),
            gone,
        ];
        serde_json::from_value(json!({"workers": workers})).unwrap()
    }

    fn told(list: &WorkerList, names: &[&str]) -> Result<(String, Value), CommandError> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let workers: Vec<_> = list.workers.iter().filter(|it| it.online).collect();
        let workflows = chosen(known(&workers), &names)?;
        verdict(&workflows, &workers, !names.is_empty())?;
        Ok((text(&workflows, &workers), json_of(&workflows, &workers)))
    }

    #[test]
    fn it_says_which_worker_takes_which_workflow_and_why_others_do_not() {
        let (text, json) = told(&list(), &[]).unwrap();
        assert_eq!(
            text,
            "WORKFLOW  KIND   big  small    plain\n\
             smoke     scene  yes  not now  yes\n\
             wan       scene  yes  no       -\n\n\
             smoke at small:\n  smoke is not for us\n\
             wan at small:\n  wan is not for us"
        );
        let at_small = &json["workflows"][1]["workers"][1];
        assert_eq!(
            (&at_small["takes"], &at_small["never"]),
            (&json!(false), &json!(true))
        );
    }

    #[test]
    fn what_was_named_must_be_known_and_taken() {
        let mut list = list();
        assert!(told(&list, &["wan"]).is_ok());
        list.workers.remove(0);
        let nobody = told(&list, &["wan"]).unwrap_err();
        assert!(matches!(nobody, CommandError::NobodyTakes(_)), "{nobody}");
        assert!(told(&list, &[]).is_ok(), "any will do where none is named");
        let unknown = told(&list, &["old"]).unwrap_err();
        assert_eq!(unknown.code(), 2, "{unknown}");
        list.workers
            .retain(|it| it.state.worker.worker.as_str() == "drawing");
        let none = told(&list, &[]).unwrap_err().to_string();
        assert!(none.contains("comfyui.url"), "{none}");
    }
}
