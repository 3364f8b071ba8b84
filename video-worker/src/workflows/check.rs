//! Whether a server could run a workflow.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeSet;

use serde_json::Value;
use shared::film::{FPS, Quality, SEED_MAX, SIDE, Size};

use super::binding::Field;
use super::finding::{Finding, Report};
use super::graph::{Graph, Link, same_path};
use super::object_info::{Accepts, Bounds, Class, ObjectInfo};
use super::workflow::Workflow;

/// Types that only another node can give.
const LINKED: [&str; 16] = [
    "MODEL",
    "CLIP",
    "VAE",
    "CONDITIONING",
    "LATENT",
    "IMAGE",
    "MASK",
    "VIDEO",
    "AUDIO",
    "CLIP_VISION",
    "CLIP_VISION_OUTPUT",
    "CONTROL_NET",
    "NOISE",
    "GUIDER",
    "SAMPLER",
    "SIGMAS",
];
/// Choices that are told when a value is none of them.
const TOLD: usize = 5;

/// Compares a workflow with what a server has.
pub fn check(workflow: &Workflow, info: &ObjectInfo) -> Report {
    let mut check = Check {
        workflow,
        info,
        findings: Vec::new(),
    };
    check.classes();
    check.models();
    check.nodes();
    check.values();
    check.output();
    let mut findings = check.findings;
    findings.sort_by_key(|finding| !finding.stops());
    Report { findings }
}

struct Check<'a> {
    workflow: &'a Workflow,
    info: &'a ObjectInfo,
    findings: Vec<Finding>,
}

impl<'a> Check<'a> {
    fn graph(&self) -> &'a Graph {
        self.workflow.graph()
    }

    fn classes(&mut self) {
        let manifest = self.workflow.manifest();
        for class in self.graph().classes() {
            if self.info.class(class).is_none() {
                self.findings.push(Finding::MissingNode {
                    class: class.to_owned(),
                    from: manifest.nodes.get(class).cloned(),
                });
            }
        }
    }

    /// The files that no choice of the server has.
    fn models(&mut self) {
        for model in &self.workflow.manifest().models {
            let is_offered = |(node, input): (&str, &str)| {
                let class = &self.graph().nodes[node].class_type;
                // Where nothing can be chosen from, or the class is missing, nothing is known of the file.
                let choices = self.info.choices(class, input)?;
                Some(choices.iter().any(|choice| is_file(choice, &model.file)))
            };
            let mut offered = self.graph().places_of(&model.file).filter_map(is_offered);
            if offered.any(|offered| !offered) {
                self.findings.push(Finding::MissingModel(model.clone()));
            }
        }
    }

    fn nodes(&mut self) {
        for (id, node) in &self.graph().nodes {
            let Some(class) = self.info.class(&node.class_type) else {
                continue;
            };
            let name = format!("`{id}` ({})", node.class_type);
            let required = class.inputs.iter().filter(|(_, input)| input.is_required);
            for (input, _) in required.filter(|(input, _)| !node.inputs.contains_key(*input)) {
                self.findings.push(Finding::MissingInput {
                    node: name.clone(),
                    input: input.clone(),
                });
            }
            for (input, value) in &node.inputs {
                match class.inputs.get(input) {
                    Some(known) => {
                        if let Err(problem) = self.accepts(id, input, &known.accepts, value) {
                            self.wrong(&name, input, problem);
                        }
                    }
                    None if is_of_another(class, input) => {}
                    None => self.findings.push(Finding::UnknownInput {
                        node: name.clone(),
                        input: input.clone(),
                    }),
                }
            }
        }
    }

    fn wrong(&mut self, node: &str, input: &str, problem: String) {
        self.findings.push(Finding::WrongInput {
            node: node.to_owned(),
            input: input.to_owned(),
            problem,
        });
    }

    fn accepts(
        &self,
        id: &str,
        input: &str,
        accepts: &Accepts,
        value: &Value,
    ) -> Result<(), String> {
        if let Some(link) = Link::of(value) {
            return self.link(accepts, link);
        }
        match accepts {
            Accepts::Choice(choices)
                if self.is_settled_elsewhere(id, input, value) || choices.contains(value) =>
            {
                Ok(())
            }
            Accepts::Choice(choices) => {
                Err(format!("{value} is none of its choices; {}", told(choices)))
            }
            Accepts::Int(bounds) => in_bounds(
                *bounds,
                number(value).filter(|number| number.fract() == 0.0),
                value,
                "whole number",
            ),
            Accepts::Float(bounds) => in_bounds(*bounds, number(value), value, "number"),
            Accepts::Text if value.is_string() => Ok(()),
            Accepts::Text => Err(format!("{value} is no text")),
            Accepts::Bool if value.is_boolean() => Ok(()),
            Accepts::Bool => Err(format!("{value} is neither true nor false")),
            Accepts::Link(name) if LINKED.contains(&name.as_str()) => {
                Err(format!("{value} stands where a link to a {name} is needed"))
            }
            Accepts::Link(_) | Accepts::Anything => Ok(()),
        }
    }

    /// Whether a choice is not checked here: a file of a model is told as such, the start image comes with the job.
    fn is_settled_elsewhere(&self, id: &str, input: &str, value: &Value) -> bool {
        let manifest = self.workflow.manifest();
        let is_start = manifest
            .inputs
            .of(Field::StartImage)
            .iter()
            .any(|binding| binding.node == id && binding.input == input);
        is_start
            || manifest
                .models
                .iter()
                .any(|model| is_file(value, &model.file))
    }

    fn link(&self, accepts: &Accepts, link: Link<'_>) -> Result<(), String> {
        let source = &self.graph().nodes[link.node].class_type;
        let Some(class) = self.info.class(source) else {
            return Ok(());
        };
        let slot = usize::try_from(link.slot).ok();
        let Some(given) = slot.and_then(|slot| class.outputs.get(slot)) else {
            let (node, slot, count) = (link.node, link.slot, class.outputs.len());
            return Err(format!(
                "it links to output {slot} of `{node}` ({source}), which has {count}, counted from 0"
            ));
        };
        let wanted = match accepts {
            Accepts::Int(_) => "INT",
            Accepts::Float(_) => "FLOAT",
            Accepts::Text => "STRING",
            Accepts::Bool => "BOOLEAN",
            Accepts::Link(name) => name,
            Accepts::Choice(_) | Accepts::Anything => return Ok(()),
        };
        // Either side can be a list of types, or open.
        let is_open = |name: &str| name == "*" || name.starts_with("COMFY_");
        let fits = given.split(',').any(|given| {
            is_open(given)
                || wanted
                    .split(',')
                    .any(|wanted| wanted == given || is_open(wanted))
        });
        match fits {
            true => Ok(()),
            false => Err(format!(
                "it links to a {given} of `{}` ({source}), where a {wanted} is needed",
                link.node
            )),
        }
    }

    /// The smallest and largest values that jobs can bring.
    fn values(&mut self) {
        let manifest = self.workflow.manifest();
        for (field, binding) in manifest.inputs.all() {
            let node = &self.graph().nodes[&binding.node];
            let Some(class) = self.info.class(&node.class_type) else {
                continue;
            };
            let Some(known) = class.inputs.get(&binding.input) else {
                continue;
            };
            let (Accepts::Int(bounds) | Accepts::Float(bounds)) = known.accepts else {
                continue;
            };
            for value in self.extremes(field) {
                let value = value.div_ceil(binding.divisor.into());
                #[expect(clippy::cast_precision_loss, reason = "seeds stay below 2^53")]
                let number = value as f64;
                if !bounds.hold(number) {
                    let problem = format!("jobs can bring {value}, and {}", limits(bounds));
                    self.wrong(
                        &format!("`{}` ({})", binding.node, node.class_type),
                        &binding.input,
                        problem,
                    );
                }
            }
        }
    }

    /// The smallest and the largest value that a field can have.
    fn extremes(&self, field: Field) -> BTreeSet<u64> {
        let manifest = self.workflow.manifest();
        let (least, most) = (*SIDE.start(), *SIDE.end());
        let shapes = [(least, least), (least, most), (most, least), (most, most)];
        let sizes = shapes.map(|(width, height)| manifest.size.fit(Size { width, height }));
        let all: Vec<u64> = match field {
            Field::Width => sizes.map(|size| size.width.into()).to_vec(),
            Field::Height => sizes.map(|size| size.height.into()).to_vec(),
            Field::Frames => manifest
                .clip
                .map_or(Vec::new(), |clip| vec![1, clip.max_frames.into()]),
            Field::Fps => match manifest.clip.and_then(|clip| clip.fps) {
                Some(fps) => vec![fps.into()],
                None => vec![(*FPS.start()).into(), (*FPS.end()).into()],
            },
            Field::Seed => vec![0, SEED_MAX],
            Field::Steps => [Quality::Draft, Quality::Final]
                .iter()
                .filter_map(|quality| manifest.quality(*quality).steps.map(u64::from))
                .collect(),
            Field::Prompt | Field::NegativePrompt | Field::StartImage | Field::FilenamePrefix => {
                Vec::new()
            }
        };
        let ends = [all.iter().min(), all.iter().max()];
        ends.into_iter().flatten().copied().collect()
    }

    fn output(&mut self) {
        let id = &self.workflow.manifest().output.node;
        let class = &self.graph().nodes[id].class_type;
        if self.info.class(class).is_some_and(|class| !class.is_output) {
            let node = format!("`{id}` ({class})");
            self.findings.push(Finding::NoOutput { node });
        }
    }
}

/// Whether an input belongs to another one that brings its own, as `codec.quality` to `codec`.
fn is_of_another(class: &Class, input: &str) -> bool {
    let owners = input.match_indices('.').map(|(at, _)| &input[..at]);
    let mut owners = owners.filter_map(|owner| class.inputs.get(owner));
    owners.any(|owner| owner.accepts == Accepts::Anything)
}

fn is_file(value: &Value, file: &str) -> bool {
    value.as_str().is_some_and(|name| same_path(name, file))
}

/// A number; the server reads one out of a text, too.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_f64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn in_bounds(bounds: Bounds, number: Option<f64>, value: &Value, what: &str) -> Result<(), String> {
    match number {
        None => Err(format!("{value} is no {what}")),
        Some(number) if bounds.hold(number) => Ok(()),
        Some(_) => Err(format!("{value} is not possible; {}", limits(bounds))),
    }
}

fn limits(bounds: Bounds) -> String {
    match (bounds.min, bounds.max) {
        (Some(min), Some(max)) => format!("{min} to {max} are"),
        (Some(min), None) => format!("at least {min} is"),
        (None, Some(max)) => format!("at most {max} is"),
        (None, None) => "anything is".to_owned(),
    }
}

fn told(choices: &[Value]) -> String {
    if choices.is_empty() {
        return "there are none".to_owned();
    }
    let mut told: Vec<_> = choices.iter().take(TOLD).map(ToString::to_string).collect();
    if choices.len() > TOLD {
        told.push(format!("and {} more", choices.len() - TOLD));
    }
    format!("there are {}", told.join(", "))
}

/// Spells the names of files as the server does: one on Windows separates folders otherwise than one on Linux.
pub fn localise(graph: &mut Graph, info: &ObjectInfo) {
    for node in graph.nodes.values_mut() {
        for (input, value) in &mut node.inputs {
            let Some(choices) = info.choices(&node.class_type, input) else {
                continue;
            };
            let Value::String(name) = &*value else {
                continue;
            };
            if choices.contains(value) {
                continue;
            }
            if let Some(same) = choices.iter().find(|choice| is_file(choice, name)) {
                *value = same.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests;
