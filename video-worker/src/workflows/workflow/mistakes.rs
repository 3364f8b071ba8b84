//! What cannot be so in a graph and a manifest that each can be read.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeSet;

use serde_json::Value;
use shared::film::Mistake;

use super::super::binding::{Binding, Field};
use super::super::graph::{Graph, Link};
use super::super::manifest::{ClipRule, Manifest, Memory, SizeRule, WorkflowKind};

/// What names of files of models end with.
const MODEL_ENDINGS: [&str; 7] = [
    ".safetensors",
    ".sft",
    ".gguf",
    ".ckpt",
    ".pt",
    ".pth",
    ".bin",
];

/// Everything that is wrong; fields are `NAME.toml: inputs.prompt`.
pub(super) fn mistakes(name: &str, graph: &Graph, manifest: &Manifest) -> Vec<Mistake> {
    let mut found = Found::default();
    bindings(&mut found, graph, manifest);
    needed(&mut found, manifest);
    steps(&mut found, manifest);
    size(&mut found, &manifest.size);
    if let Some(clip) = &manifest.clip {
        length(&mut found, clip, manifest.inputs.has(Field::Fps));
    }
    memory(&mut found, &manifest.memory);
    limits(&mut found, graph, manifest);
    files(&mut found, graph, manifest);
    let mut all: Vec<_> = graph
        .mistakes(&manifest.output.node)
        .into_iter()
        .map(|mistake| in_file(name, "json", mistake))
        .collect();
    all.extend(
        found
            .0
            .into_iter()
            .map(|mistake| in_file(name, "toml", mistake)),
    );
    all
}

fn in_file(name: &str, ending: &str, mistake: Mistake) -> Mistake {
    Mistake {
        field: format!("{name}.{ending}: {}", mistake.field),
        problem: mistake.problem,
    }
}

#[derive(Default)]
struct Found(Vec<Mistake>);

impl Found {
    fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Mistake::new(field, problem));
    }
}

/// Every binding must lead to an input that is there and holds such a value.
fn bindings(found: &mut Found, graph: &Graph, manifest: &Manifest) {
    let mut taken = BTreeSet::new();
    for (field, binding) in manifest.inputs.all() {
        let key = format!("inputs.{}", field.name());
        if let Err(problem) = fits(graph, field, binding) {
            found.add(key, problem);
        } else if !taken.insert((&binding.node, &binding.input)) {
            found.add(
                key,
                format!(
                    "`{}.{}` is taken by another field",
                    binding.node, binding.input
                ),
            );
        }
    }
    let output = &manifest.output.node;
    if !graph.nodes.contains_key(output) {
        found.add(
            "output.node",
            format!(
                "the graph has no node `{output}`; {}",
                those(graph.nodes.keys())
            ),
        );
    }
}

fn fits(graph: &Graph, field: Field, binding: &Binding) -> Result<(), String> {
    let Binding {
        node,
        input,
        divisor,
    } = binding;
    let Some(found) = graph.nodes.get(node) else {
        return Err(format!(
            "the graph has no node `{node}`; {}",
            those(graph.nodes.keys())
        ));
    };
    let Some(value) = found.inputs.get(input) else {
        let class = &found.class_type;
        return Err(format!(
            "the node `{node}` ({class}) has no input `{input}`; {}",
            those(found.inputs.keys())
        ));
    };
    if Link::of(value).is_some() {
        return Err(format!(
            "`{node}.{input}` comes from another node; name that one's input"
        ));
    }
    let is_right = match field.is_text() {
        true => value.is_string(),
        false => value.is_number(),
    };
    if !is_right {
        let wanted = if field.is_text() { "text" } else { "number" };
        return Err(format!(
            "`{node}.{input}` holds {value}, which is no {wanted}"
        ));
    }
    if *divisor > 1 && (field.is_text() || field == Field::Seed) {
        return Err(format!("`{}` cannot be divided", field.name()));
    }
    Ok(())
}

fn those<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.map(String::as_str).collect();
    match names.is_empty() {
        true => "it has none".to_owned(),
        false => format!("there are {}", names.join(", ")),
    }
}

/// What a workflow of its kind must and must not take.
fn needed(found: &mut Found, manifest: &Manifest) {
    let (must, must_not): (&[Field], &[Field]) = match manifest.kind {
        WorkflowKind::Keyframe => (
            &[Field::Width, Field::Height, Field::FilenamePrefix],
            &[Field::StartImage, Field::Frames, Field::Fps],
        ),
        WorkflowKind::Scene => (
            &[
                Field::StartImage,
                Field::Width,
                Field::Height,
                Field::Frames,
                Field::FilenamePrefix,
            ],
            &[],
        ),
    };
    for field in must.iter().filter(|field| !manifest.inputs.has(**field)) {
        found.add(
            format!("inputs.{}", field.name()),
            "it is needed; say which input takes it",
        );
    }
    for field in must_not.iter().filter(|field| manifest.inputs.has(**field)) {
        found.add(
            format!("inputs.{}", field.name()),
            "a keyframe has none; leave it out",
        );
    }
    match (manifest.kind, &manifest.clip) {
        (WorkflowKind::Scene, None) => {
            found.add("clip", "it is needed; say which lengths can be made");
        }
        (WorkflowKind::Keyframe, Some(_)) => {
            found.add("clip", "a keyframe has no length; leave it out");
        }
        (WorkflowKind::Scene, Some(_)) | (WorkflowKind::Keyframe, None) => {}
    }
    if manifest.title.trim().is_empty() {
        found.add("title", "it is empty; say what people call it");
    }
}

fn steps(found: &mut Found, manifest: &Manifest) {
    let divisors = manifest
        .inputs
        .of(Field::Steps)
        .iter()
        .map(|binding| binding.divisor);
    let fewest = divisors.max();
    for (key, quality) in [("draft", &manifest.draft), ("final", &manifest.for_film)] {
        match (fewest, quality.steps) {
            (Some(_), None) => found.add(
                format!("{key}.steps"),
                "it is needed, as inputs.steps is there",
            ),
            (None, Some(_)) => found.add(
                format!("{key}.steps"),
                "no input takes it; give inputs.steps, or leave it out",
            ),
            // Both halves of a sampler that is split must have something to do.
            (Some(fewest), Some(steps)) if steps < fewest => {
                found.add(
                    format!("{key}.steps"),
                    format!("{steps} are too few; at least {fewest} are needed"),
                );
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        if quality.time_limit_s == 0 {
            found.add(
                format!("{key}.time_limit_s"),
                "no time at all; give seconds",
            );
        }
    }
}

fn size(found: &mut Found, rule: &SizeRule) {
    let SizeRule {
        multiple,
        min_pixels,
        max_pixels,
    } = *rule;
    if multiple == 0 {
        found.add("size.multiple", "it must be at least 1");
    }
    if u64::from(max_pixels) < u64::from(multiple) * u64::from(multiple) {
        found.add(
            "size.max_pixels",
            format!("not even one size fits: {multiple}x{multiple} has more"),
        );
    }
    if min_pixels > max_pixels {
        found.add(
            "size.min_pixels",
            format!("it is more than max_pixels, {max_pixels}"),
        );
    }
}

fn length(found: &mut Found, clip: &ClipRule, takes_fps: bool) {
    if clip.frame_step == 0 {
        found.add("clip.frame_step", "it must be at least 1");
    }
    if clip.max_frames == 0 {
        found.add("clip.max_frames", "it must be at least 1");
    }
    match clip.fps {
        Some(0) => found.add("clip.fps", "it must be at least 1"),
        None if !takes_fps => found.add(
            "clip.fps",
            "nothing says at which rate it plays; give the rate of the graph, or inputs.fps",
        ),
        Some(_) | None => {}
    }
}

fn memory(found: &mut Found, memory: &Memory) {
    match (memory.load_mib, memory.peak_mib, memory.spike_mib) {
        (None, None, None) => {}
        (Some(load), Some(peak), Some(spike)) => {
            if peak == 0 || load > peak || peak > spike {
                found.add(
                    "memory",
                    format!("load_mib {load}, peak_mib {peak}, spike_mib {spike} cannot be: none may be less than the one before, and the peak is not 0"),
                );
            }
        }
        (_, _, _) => found.add(
            "memory",
            "give load_mib, peak_mib and spike_mib, or none of them for work without a GPU",
        ),
    }
    if memory.ram_mib == 0 {
        found.add(
            "memory.ram_mib",
            "nothing runs in no memory; say how much of the host's it needs",
        );
    }
}

fn limits(found: &mut Found, graph: &Graph, manifest: &Manifest) {
    let limits = &manifest.limits;
    for (key, seconds) in [("stall_s", limits.stall_s), ("silence_s", limits.silence_s)] {
        if seconds == 0 {
            found.add(format!("limits.{key}"), "no time at all; give seconds");
        }
    }
    for node in limits
        .silence_of_s
        .keys()
        .filter(|node| !graph.nodes.contains_key(*node))
    {
        let problem = format!(
            "the graph has no node `{node}`; {}",
            those(graph.nodes.keys())
        );
        found.add(format!("limits.silence_of_s.{node}"), problem);
    }
}

fn files(found: &mut Found, graph: &Graph, manifest: &Manifest) {
    for (number, model) in manifest.models.iter().enumerate() {
        if graph.places_of(&model.file).next().is_none() {
            let problem = format!("no input of the graph names `{}`", model.file);
            found.add(format!("models[{number}].file"), problem);
        }
    }
    for (id, node) in &graph.nodes {
        for (input, value) in &node.inputs {
            let Value::String(text) = value else { continue };
            let is_model = MODEL_ENDINGS
                .iter()
                .any(|ending| text.to_lowercase().ends_with(ending));
            let is_named = || {
                manifest
                    .models
                    .iter()
                    .any(|model| super::super::graph::same_path(&model.file, text))
            };
            if is_model && !is_named() {
                found.add("models", format!("`{id}.{input}` of the graph names the file `{text}`; add it with its folder"));
            }
        }
    }
    let classes = graph.classes();
    for class in manifest
        .nodes
        .keys()
        .filter(|class| !classes.contains(class.as_str()))
    {
        found.add(
            format!("nodes.{class}"),
            "the graph has no node of this class; leave it out",
        );
    }
}
