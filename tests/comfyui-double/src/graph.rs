//! Graphs: which nodes there are, in which order they run, what is wrong with them. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::behaviour::Behaviour;
use crate::state::Flavour;

/// The required inputs of the sorts of node that are checked; any other sort is taken as it is.
const CLASSES: [(&str, &[&str]); 22] = [
    ("EmptyImage", &["width", "height", "batch_size", "color"]),
    ("RepeatImageBatch", &["image", "amount"]),
    (
        "ImageScale",
        &["image", "upscale_method", "width", "height", "crop"],
    ),
    ("ImageBatch", &["image1", "image2"]),
    (
        "ImageBlend",
        &["image1", "image2", "blend_factor", "blend_mode"],
    ),
    ("LoadImage", &["image"]),
    ("SaveImage", &["images", "filename_prefix"]),
    ("PreviewImage", &["images"]),
    ("CreateVideo", &["images", "fps"]),
    (
        "SaveVideo",
        &["video", "filename_prefix", "format", "codec"],
    ),
    ("UNETLoader", &["unet_name", "weight_dtype"]),
    ("CLIPLoader", &["clip_name", "type"]),
    ("VAELoader", &["vae_name"]),
    ("CLIPVisionLoader", &["clip_name"]),
    ("CLIPVisionEncode", &["clip_vision", "image", "crop"]),
    ("CLIPTextEncode", &["text", "clip"]),
    (
        "WanImageToVideo",
        &[
            "positive",
            "negative",
            "vae",
            "width",
            "height",
            "length",
            "batch_size",
        ],
    ),
    (
        "Wan22ImageToVideoLatent",
        &["vae", "width", "height", "length", "batch_size"],
    ),
    ("ModelSamplingSD3", &["model", "shift"]),
    (
        "KSampler",
        &[
            "model",
            "seed",
            "steps",
            "cfg",
            "sampler_name",
            "scheduler",
            "positive",
            "negative",
            "latent_image",
            "denoise",
        ],
    ),
    (
        "KSamplerAdvanced",
        &[
            "model",
            "add_noise",
            "noise_seed",
            "steps",
            "cfg",
            "sampler_name",
            "scheduler",
            "positive",
            "negative",
            "latent_image",
            "start_at_step",
            "end_at_step",
            "return_with_leftover_noise",
        ],
    ),
    ("VAEDecode", &["samples", "vae"]),
];

/// The types of what each sort of node gives; those that are not here end a graph.
const GIVES: [(&str, &[&str]); 19] = [
    ("EmptyImage", &["IMAGE"]),
    ("RepeatImageBatch", &["IMAGE"]),
    ("ImageScale", &["IMAGE"]),
    ("ImageBatch", &["IMAGE"]),
    ("ImageBlend", &["IMAGE"]),
    ("LoadImage", &["IMAGE", "MASK"]),
    ("CreateVideo", &["VIDEO"]),
    ("UNETLoader", &["MODEL"]),
    ("CLIPLoader", &["CLIP"]),
    ("VAELoader", &["VAE"]),
    ("CLIPVisionLoader", &["CLIP_VISION"]),
    ("CLIPVisionEncode", &["CLIP_VISION_OUTPUT"]),
    ("CLIPTextEncode", &["CONDITIONING"]),
    (
        "WanImageToVideo",
        &["CONDITIONING", "CONDITIONING", "LATENT"],
    ),
    ("Wan22ImageToVideoLatent", &["LATENT"]),
    ("ModelSamplingSD3", &["MODEL"]),
    ("KSampler", &["LATENT"]),
    ("KSamplerAdvanced", &["LATENT"]),
    ("VAEDecode", &["IMAGE"]),
];

/// Nodes that end a graph.
const OUTPUTS: [&str; 5] = [
    "SaveImage",
    "SaveVideo",
    "PreviewImage",
    "SaveWEBM",
    "SaveAnimatedWEBP",
];

/// Inputs that name a model file, and the folder that it is in.
const MODELS: [(&str, &str, &str); 5] = [
    ("UNETLoader", "unet_name", "diffusion_models"),
    ("CLIPLoader", "clip_name", "text_encoders"),
    ("VAELoader", "vae_name", "vae"),
    ("CLIPVisionLoader", "clip_name", "clip_vision"),
    ("LoraLoaderModelOnly", "lora_name", "loras"),
];

pub(crate) fn class(node: &Value) -> &str {
    node["class_type"].as_str().unwrap_or_default()
}

pub(crate) fn samples(class: &str) -> bool {
    class.starts_with("KSampler")
}

pub(crate) fn saves(class: &str) -> bool {
    class.starts_with("Save")
}

pub(crate) fn is_output(class: &str) -> bool {
    OUTPUTS.contains(&class)
}

fn link(value: &Value) -> Option<&str> {
    let pair = value.as_array().filter(|pair| pair.len() == 2)?;
    pair[1].is_number().then(|| pair[0].as_str()).flatten()
}

/// The nodes that the outputs need, each after those that it takes from.
pub(crate) fn order(graph: &Map<String, Value>, outputs: &[String]) -> Vec<String> {
    fn visit(graph: &Map<String, Value>, id: &str, done: &mut Vec<String>) {
        if done.iter().any(|it| it == id) {
            return;
        }
        let inputs = graph.get(id).and_then(|node| node["inputs"].as_object());
        for from in inputs
            .into_iter()
            .flatten()
            .filter_map(|(_, value)| link(value))
        {
            visit(graph, from, done);
        }
        done.push(id.to_owned());
    }
    let mut done = Vec::new();
    for output in outputs {
        visit(graph, output, &mut done);
    }
    done
}

/// What tells two nodes apart, with all that comes before them.
pub(crate) fn signature(graph: &Map<String, Value>, id: &str) -> String {
    let node = &graph[id];
    let inputs = node["inputs"].as_object().into_iter().flatten();
    let inputs = inputs.map(|(name, value)| match link(value) {
        Some(from) => format!("{name}=({})", signature(graph, from)),
        None => format!("{name}={value}"),
    });
    format!("{}[{}]", class(node), inputs.collect::<Vec<_>>().join(","))
}

/// What the server knows of a sort of node.
pub(crate) fn info(class: &str, behaviour: &Behaviour) -> Option<Value> {
    if behaviour.absent.contains(class) {
        return None;
    }
    let (_, required) = CLASSES.iter().find(|(name, _)| *name == class)?;
    let required = required.iter().map(|input| {
        let model = MODELS
            .iter()
            .find(|(of, name, _)| *of == class && name == input);
        let kind = match model {
            Some((_, _, folder)) => {
                json!([
                    behaviour.models.get(*folder).cloned().unwrap_or_default(),
                    {}
                ])
            }
            None => json!(["*", {}]),
        };
        ((*input).to_owned(), kind)
    });
    let required: Map<String, Value> = required.collect();
    let gives = GIVES.iter().find(|(name, _)| *name == class);
    let gives = gives.map(|(_, types)| *types).unwrap_or_default();
    Some(json!({
        "input": {"required": required},
        "output": gives,
        "output_node": is_output(class),
        "name": class,
    }))
}

pub(crate) fn classes() -> impl Iterator<Item = &'static str> {
    CLASSES.iter().map(|(name, _)| *name)
}

/// What comes of looking at a graph before it runs.
pub(crate) enum Checked {
    /// These outputs run; the errors are of those that do not.
    Runs(Vec<String>, Map<String, Value>),
    /// Nothing runs.
    Refused(Value),
    /// The server fails over it.
    Fails,
}

pub(crate) fn check(
    graph: &Map<String, Value>,
    flavour: Flavour,
    behaviour: &Behaviour,
    has_input: impl Fn(&str) -> bool,
) -> Checked {
    let error = |kind: &str, message: String, details: String, extra: Value| {
        Checked::Refused(json!({
            "error": {"type": kind, "message": message, "details": details, "extra_info": extra},
            "node_errors": {},
        }))
    };
    if flavour == Flavour::New && graph.values().any(|node| !node.is_object()) {
        return Checked::Fails;
    }
    for (id, node) in graph {
        let class = class(node);
        let details = format!("Node ID '#{id}'");
        if class.is_empty() || behaviour.absent.contains(class) {
            return match flavour {
                Flavour::New => error(
                    "missing_node_type",
                    format!("Node '{class}' not found. The custom node may not be installed."),
                    details,
                    json!({"node_id": id, "class_type": class, "node_title": class}),
                ),
                Flavour::Old if class.is_empty() => error(
                    "invalid_prompt",
                    "Cannot execute because a node is missing the class_type property.".to_owned(),
                    details,
                    json!({}),
                ),
                Flavour::Old => error(
                    "invalid_prompt",
                    format!("Cannot execute because node {class} does not exist."),
                    details,
                    json!({}),
                ),
            };
        }
    }
    let outputs = graph.iter().filter(|(_, node)| is_output(class(node)));
    let outputs: Vec<String> = outputs.map(|(id, _)| id.clone()).collect();
    if outputs.is_empty() {
        let message = "Prompt has no outputs".to_owned();
        return error("prompt_no_outputs", message, String::new(), json!({}));
    }
    let mut node_errors = Map::new();
    let mut good = Vec::new();
    for output in outputs {
        let needed: BTreeSet<_> = order(graph, std::slice::from_ref(&output))
            .into_iter()
            .collect();
        let mut fails = false;
        for id in needed {
            let problems = problems(graph, &id, behaviour, &has_input);
            if !problems.is_empty() {
                fails = true;
                let class = graph.get(&id).map(class).unwrap_or_default();
                let told =
                    json!({"errors": problems, "dependent_outputs": [output], "class_type": class});
                node_errors.insert(id, told);
            }
        }
        if !fails {
            good.push(output);
        }
    }
    match good.is_empty() {
        false => Checked::Runs(good, node_errors),
        true => Checked::Refused(json!({
            "error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": "", "extra_info": {}},
            "node_errors": node_errors,
        })),
    }
}

fn problems(
    graph: &Map<String, Value>,
    id: &str,
    behaviour: &Behaviour,
    has_input: impl Fn(&str) -> bool,
) -> Vec<Value> {
    let problem = |kind: &str, message: &str, details: String, input: &str| json!({"type": kind, "message": message, "details": details, "extra_info": {"input_name": input}});
    let Some(node) = graph.get(id) else {
        return vec![problem(
            "exception_during_inner_validation",
            "Exception when validating inner node",
            format!("'{id}'"),
            "",
        )];
    };
    let class = class(node);
    let mut found = Vec::new();
    let required = CLASSES.iter().find(|(name, _)| *name == class);
    for input in required.map(|(_, inputs)| *inputs).unwrap_or_default() {
        if node["inputs"].get(*input).is_none() {
            let message = "Required input is missing";
            found.push(problem(
                "required_input_missing",
                message,
                (*input).to_owned(),
                input,
            ));
        }
    }
    for (of, input, folder) in MODELS {
        let given = node["inputs"][input].as_str();
        let (true, Some(given)) = (of == class, given) else {
            continue;
        };
        let there = behaviour.models.get(folder).cloned().unwrap_or_default();
        if !there.iter().any(|name| name == given) {
            let list = there
                .iter()
                .map(|name| format!("'{name}'"))
                .collect::<Vec<_>>();
            let details = format!("{input}: '{given}' not in [{}]", list.join(", "));
            found.push(problem(
                "value_not_in_list",
                "Value not in list",
                details,
                input,
            ));
        }
    }
    if class == "EmptyImage" {
        let width = &node["inputs"]["width"];
        if let Some(width) = width.as_u64().filter(|width| *width > 16_384) {
            let message = format!("Value {width} bigger than max of 16384");
            found.push(problem(
                "value_bigger_than_max",
                &message,
                "width".to_owned(),
                "width",
            ));
        }
    }
    if class == "LoadImage"
        && let Some(image) = node["inputs"]["image"].as_str()
        && !has_input(image)
    {
        let message = "Custom validation failed for node";
        let details = format!("image - Invalid image file: {image}");
        found.push(problem(
            "custom_validation_failed",
            message,
            details,
            "image",
        ));
    }
    found
}
