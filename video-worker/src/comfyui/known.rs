//! A workflow of the library as the backend uses it.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use shared::job::Payload;
use shared::profile::Profile;

use super::graph::{Graph, Limits, Output};
use super::template::{Expects, Filled, Template};
use crate::workflows::{Library, ObjectInfo, Quality, Workflow, check};

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
            .fill_job(payload, start_image, Quality::Final, prefix.to_owned())
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
            },
        };
        Ok(Filled {
            graph,
            expects: filled
                .expected()
                .map_or(Expects::Still(filled.size()), Expects::Clip),
            notes: filled.adjustments().iter().map(ToString::to_string).collect(),
        })
    }
}
