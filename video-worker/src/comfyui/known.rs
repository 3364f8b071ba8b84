//! A workflow of the library as the backend uses it.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use shared::job::{Payload, ScenePayload};
use shared::profile::Profile;

use super::graph::{Graph, Limits, Output};
use super::template::{Expects, Filled, Template};
use crate::content_check::Expected;
use crate::workflows::{Library, ObjectInfo, Workflow, check};

/// A known workflow, and what the server said of its nodes last.
#[derive(Debug)]
pub struct KnownWorkflow {
    workflow: Arc<Workflow>,
    seen: Mutex<Option<ObjectInfo>>,
}

/// All workflows of a library, for one server.
pub fn templates(library: &Library) -> Vec<Box<dyn Template>> {
    let template = |workflow: &Arc<Workflow>| -> Box<dyn Template> {
        Box::new(KnownWorkflow::new(Arc::clone(workflow)))
    };
    library
        .all()
        .map(|(workflow, _)| template(workflow))
        .collect()
}

impl KnownWorkflow {
    /// That workflow, on a server that was not seen yet.
    pub fn new(workflow: Arc<Workflow>) -> Self {
        Self {
            workflow,
            seen: Mutex::default(),
        }
    }
}

impl Template for KnownWorkflow {
    fn profile(&self) -> Profile {
        self.workflow.profile()
    }

    fn classes(&self) -> Vec<String> {
        let classes = self.workflow.graph().classes();
        classes.into_iter().map(str::to_owned).collect()
    }

    fn missing(&self, object_info: &Map<String, Value>) -> Vec<String> {
        let info = match ObjectInfo::parse(&Value::Object(object_info.clone())) {
            Ok(info) => info,
            Err(error) => return vec![error.to_string()],
        };
        let report = check(&self.workflow, &info);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(info);
        let stops = report.findings.iter().filter(|finding| finding.stops());
        stops.map(ToString::to_string).collect()
    }

    fn fill(
        &self,
        payload: &Payload,
        prefix: &str,
        start_image: Option<&str>,
    ) -> Result<Filled, String> {
        let filled = self
            .workflow
            .fill_job(payload, start_image, prefix.to_owned())
            .map_err(|error| error.to_string())?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = match &*seen {
            Some(info) => filled.localised(info),
            None => filled,
        };
        let Value::Object(nodes) = filled.graph().to_json() else {
            return Err("the graph of the workflow is no object".to_owned());
        };
        let output = filled.output();
        let graph = Graph {
            nodes,
            output: Output {
                node: output.node.clone(),
                key: output.key.clone(),
            },
            limits: Limits {
                time: filled.time_limit(),
                stall: filled.limits().stall(),
                silence: filled.limits().silence(),
                silence_of: filled.limits().silences().collect(),
            },
        };
        Ok(Filled {
            graph,
            expects: match (filled.expected(), payload) {
                (Some(made), Payload::Scene(scene)) => Expects::Clip {
                    made,
                    wanted: wanted(scene),
                },
                (_, _) => Expects::Still(filled.size()),
            },
            notes: filled
                .adjustments()
                .iter()
                .map(ToString::to_string)
                .collect(),
        })
    }
}

/// The clip that a scene asks for.
fn wanted(scene: &ScenePayload) -> Expected {
    Expected {
        frames: scene.frames,
        fps: scene.fps,
        size: scene.size,
        still_is_fine: false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::job::JobKind;

    use super::*;

    fn payload(kind: JobKind) -> Payload {
        let scene = json!({
            "number": 1, "title": "Harbour", "action": "A ship leaves.", "image_prompt": "a ship \"at sea\", 50 %",
            "motion_prompt": "it moves off", "negative_prompt": "", "camera": "static", "seconds": 2.0
        });
        let sha = "ab".repeat(32);
        let given = match kind {
            JobKind::Scene => json!({
                "kind": "scene", "scene": scene, "size": "640x360", "fps": 24, "frames": 48, "seed": 7,
                "keyframe": {"sha256": sha, "size": 1, "media_type": "image/png"}
            }),
            _ => json!({
                "kind": "keyframe", "title": "T", "look": "oil", "scene": scene, "scenes": 3, "size": "640x360", "seed": 7
            }),
        };
        serde_json::from_value(given).unwrap()
    }

    #[test]
    fn all_of_every_shipped_workflow_is_sent_with_the_files_and_limits_that_it_names() {
        for template in templates(&Library::shipped()) {
            let Profile { name, kind, .. } = template.profile();
            let start = (kind == JobKind::Scene).then_some("callsheet/start.png");
            let filled = template
                .fill(&payload(kind), "callsheet/job-take1-0", start)
                .unwrap();
            let sent = filled.graph.pruned().unwrap();
            assert_eq!(sent.nodes, filled.graph.nodes, "{name}");
            let text = json!(sent.nodes).to_string();
            assert!(text.contains("callsheet/job-take1-0"), "{name}");
            assert!(start.is_none_or(|start| text.contains(start)), "{name}");
            assert_eq!(
                kind == JobKind::Scene,
                matches!(filled.expects, Expects::Clip { .. }),
                "{name}"
            );
            assert!(sent.limits.stall < sent.limits.time, "{name}");
            assert!(sent.limits.silence < sent.limits.time, "{name}");
        }
    }

    #[test]
    fn a_server_without_a_workflows_nodes_is_told_apart_from_one_that_has_them() {
        let library = Library::shipped();
        let smoke = KnownWorkflow::new(Arc::clone(library.get("smoke").unwrap()));
        let all = include_str!("../workflows/check/object_info.json");
        let mut all: Map<String, Value> = serde_json::from_str(all).unwrap();
        assert_eq!(smoke.missing(&all), [""; 0]);
        all.remove("SaveVideo");
        let [missing] = &smoke.missing(&all)[..] else {
            panic!("one node is missing")
        };
        assert!(missing.contains("SaveVideo"), "{missing}");
    }
}
