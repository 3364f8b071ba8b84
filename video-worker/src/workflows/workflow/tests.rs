//! The shipped workflows, and what is said of wrong ones.

use super::super::shipped::SHIPPED;
use super::super::{Field, Library, WorkflowKind};
use super::*;

/// What jobs can have of a card of 24 GB, in MiB: 23.5 GiB without the driver's, less what is kept free.
const CARD_OF_24_GB: u32 = 23_000;

fn text(name: &str) -> (String, String) {
    let (_, json, toml) = SHIPPED
        .iter()
        .find(|(shipped, _, _)| *shipped == name)
        .unwrap();
    ((*json).to_owned(), (*toml).to_owned())
}

/// What is said of the clip workflow `smoke` when something in one of its files is replaced.
fn said(file: &str, from: &str, to: &str) -> String {
    let (mut json, mut toml) = text("smoke");
    let changed = if file == "json" { &mut json } else { &mut toml };
    assert!(changed.contains(from), "{from}");
    *changed = changed.replacen(from, to, 1);
    Workflow::parse("mine", &json, &toml)
        .unwrap_err()
        .to_string()
}

#[test]
fn every_shipped_workflow_can_be_read_and_its_needs_fit_its_files() {
    for (workflow, _) in Library::shipped().all() {
        let name = workflow.name();
        let manifest = workflow.manifest();
        let sizes = manifest.models.iter().map(|model| {
            model
                .mib
                .unwrap_or_else(|| panic!("{name}: no size of {}", model.file))
        });
        let sizes: Vec<u32> = sizes.collect();
        let memory = manifest.memory;
        assert!(
            memory.ram_mib >= sizes.iter().sum(),
            "{name}: the files do not fit the host's memory"
        );
        let largest = sizes.iter().max();
        assert_eq!(memory.load_mib.is_some(), largest.is_some(), "{name}");
        if let (Some(load), Some(spike), Some(largest)) =
            (memory.load_mib, memory.spike_mib, largest)
        {
            assert!(
                load >= *largest,
                "{name}: the model does not fit what is declared"
            );
            assert!(
                spike <= CARD_OF_24_GB,
                "{name}: it does not fit a card of 24 GB"
            );
        }
        assert_eq!(
            manifest.models.iter().find(|model| model.from.is_none()),
            None,
            "{name}"
        );
    }
}

#[test]
fn what_was_promised_is_shipped() {
    let library = Library::shipped();
    let shipped: Vec<_> = library
        .all()
        .map(|(workflow, _)| (workflow.name().as_str(), workflow.manifest().kind))
        .collect();
    assert_eq!(
        shipped,
        [
            ("sdxl-1.0", WorkflowKind::Keyframe),
            ("smoke", WorkflowKind::Scene),
            ("smoke-keyframe", WorkflowKind::Keyframe),
            ("wan2.1-i2v-14b-480p", WorkflowKind::Scene),
            ("wan2.2-i2v-a14b", WorkflowKind::Scene),
            ("wan2.2-ti2v-5b", WorkflowKind::Scene),
        ]
    );
    let pair = library.get("wan2.2-i2v-a14b").unwrap().profile();
    assert_eq!(pair.backend, "comfyui");
    let device = pair.needs.device.unwrap();
    assert!(device.load < device.peak && device.peak < device.spike);
    assert!(
        pair.needs.ram > shared::byte_size::ByteSize::gib(33),
        "the pair of models needs the host's memory"
    );
    assert_eq!(library.get("smoke").unwrap().profile().needs.device, None);
    for (workflow, _) in library
        .all()
        .filter(|(workflow, _)| workflow.name().as_str().starts_with("wan"))
    {
        let manifest = workflow.manifest();
        assert_eq!(
            (manifest.draft.time_limit_s, manifest.for_film.time_limit_s),
            (360, 600)
        );
        for field in Field::ALL {
            assert!(
                manifest.inputs.has(field),
                "{}: {}",
                workflow.name(),
                field.name()
            );
        }
    }
}

#[test]
fn a_hash_knows_what_is_said_and_not_how_it_is_laid_out() {
    let (json, toml) = text("smoke");
    let hash = |json: &str, toml: &str| Workflow::parse("mine", json, toml).unwrap().hash().clone();
    let first = hash(&json, &toml);
    assert_eq!(first.as_str().len(), 64);
    let dense = serde_json::from_str::<Value>(&json).unwrap().to_string();
    assert_eq!(hash(&dense, &format!("# a note\n\n{toml}")), first);
    assert_ne!(
        hash(&json.replacen("\"x\": 64", "\"x\": 65", 1), &toml),
        first
    );
    assert_ne!(
        hash(&json, &toml.replacen("stall_s = 60", "stall_s = 61", 1)),
        first
    );
    let library = Library::shipped();
    let shipped = library.get("smoke").unwrap();
    assert_eq!(
        library.by_hash(&first).map(|found| found.name()),
        Some(shipped.name())
    );
    assert_eq!(
        library.by_hash(&hash(&json, &toml.replacen("60", "61", 1))),
        None
    );
}

#[test]
fn keys_are_sorted_for_the_hash_however_deep() {
    let one = serde_json::json!({"b": [{"y": 1, "x": "\"q\""}], "a": null});
    assert_eq!(canonical(&one), r#"{"a":null,"b":[{"x":"\"q\"","y":1}]}"#);
}

#[test]
fn a_mistake_names_file_key_node_and_input() {
    for (file, from, to, expected) in [
        (
            "toml",
            "start.image",
            "begin.image",
            "mine.toml: inputs.start_image: the graph has no node `begin`; there are cut, frame",
        ),
        (
            "toml",
            "start.image",
            "start.picture",
            "mine.toml: inputs.start_image: the node `start` (LoadImage) has no input `picture`; there are image",
        ),
        (
            "toml",
            "start.image",
            "frame.width",
            "`frame.width` holds 426, which is no text",
        ),
        (
            "toml",
            "cut.length",
            "cut.image",
            "`cut.image` comes from another node",
        ),
        (
            "toml",
            "frame.height",
            "frame.width",
            "inputs.height: `frame.width` is taken by another field",
        ),
        (
            "toml",
            "frames = \"cut.length\"",
            "",
            "mine.toml: inputs.frames: it is needed",
        ),
        (
            "toml",
            "filename_prefix = ",
            "seed = ",
            "mine.toml: inputs.filename_prefix: it is needed",
        ),
        (
            "toml",
            "fps = \"video.fps\"",
            "",
            "mine.toml: clip.fps: nothing says at which rate it plays",
        ),
        (
            "toml",
            "node = \"save\"",
            "node = \"sav\"",
            "mine.toml: output.node: the graph has no node `sav`",
        ),
        (
            "toml",
            "frame_step = 1",
            "frame_step = 0",
            "mine.toml: clip.frame_step: it must be at least 1",
        ),
        (
            "toml",
            "max_pixels = 102_400",
            "max_pixels = 1",
            "mine.toml: size.max_pixels: not even one size fits",
        ),
        (
            "toml",
            "ram_mib = 1_500",
            "ram_mib = 1_500\npeak_mib = 3",
            "mine.toml: memory: give load_mib, peak_mib and spike_mib",
        ),
        (
            "toml",
            "ram_mib = 1_500",
            "ram_mib = 1_500\nload_mib = 4\npeak_mib = 3\nspike_mib = 5",
            "mine.toml: memory: load_mib 4, peak_mib 3",
        ),
        (
            "toml",
            "time_limit_s = 120",
            "time_limit_s = 120\nsteps = 3",
            "mine.toml: draft.steps: no input takes it",
        ),
        (
            "toml",
            "fps = \"video.fps\"",
            "fps = \"video.fps\"\nsteps = \"cut.batch_index\"",
            "mine.toml: draft.steps: it is needed, as inputs.steps is there",
        ),
        (
            "toml",
            "silence_s = 60",
            "silence_s = 60\n[limits.silence_of_s]\nnobody = 3",
            "mine.toml: limits.silence_of_s.nobody: the graph has no node `nobody`",
        ),
        (
            "toml",
            "[limits]",
            "[nodes]\nKSampler = \"x\"\n[limits]",
            "mine.toml: nodes.KSampler: the graph has no node of this class",
        ),
        (
            "toml",
            "[limits]",
            "[[models]]\nfolder = \"vae\"\nfile = \"x.sft\"\n[limits]",
            "mine.toml: models[0].file: no input of the graph names `x.sft`",
        ),
        (
            "json",
            "\"start.png\"",
            "\"a/b.SAFETENSORS\"",
            "mine.toml: models: `start.image` of the graph names the file `a/b.SAFETENSORS`",
        ),
        (
            "json",
            "[\"start\", 0]",
            "[\"strt\", 0]",
            "mine.json: frame.inputs.image: it links to the node `strt`",
        ),
        (
            "toml",
            "kind = \"scene\"",
            "kind = \"clip\"",
            "mine.toml, line 3: unknown variant `clip`, expected `keyframe` or `scene`",
        ),
        (
            "toml",
            "max_frames",
            "max_frame",
            "mine.toml, line 24: unknown field `max_frame`",
        ),
        ("toml", "[output]", "[output", "mine.toml, line 14"),
        ("json", "{", "", "mine.json: "),
    ] {
        let said = said(file, from, to);
        assert!(said.contains(expected), "{to}: {said}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let (json, toml) = text("smoke");
    let toml = toml
        .replace("start.image", "begin.image")
        .replace("cut.length", "cut.lenght");
    let error = Workflow::parse("mine", &json, &toml).unwrap_err();
    let WorkflowError::Mistakes(mistakes) = error else {
        panic!("{error}")
    };
    let fields: Vec<_> = mistakes
        .iter()
        .map(|mistake| mistake.field.as_str())
        .collect();
    assert_eq!(
        fields,
        ["mine.toml: inputs.start_image", "mine.toml: inputs.frames"]
    );
}

#[test]
fn both_halves_of_a_split_sampler_have_steps() {
    let (json, toml) = text("wan2.2-i2v-a14b");
    let error =
        Workflow::parse("mine", &json, &toml.replace("steps = 12", "steps = 1")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "mine.toml: draft.steps: 1 are too few; at least 2 are needed"
    );
}

#[test]
fn a_keyframe_takes_no_start_image_and_has_no_length() {
    let (json, toml) = text("sdxl-1.0");
    let toml = toml.replace("[output]", "start_image = \"save.filename_prefix\"\n[clip]\nfps=1\nframe_step=1\nmax_frames=1\n[output]");
    let error = Workflow::parse("mine", &json, &toml)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("inputs.start_image: a keyframe has none; leave it out"),
        "{error}"
    );
    assert!(error.contains("clip: a keyframe has no length"), "{error}");
}

#[test]
fn a_name_that_no_queue_can_have_is_refused() {
    let (json, toml) = text("smoke");
    let error = Workflow::parse("My Workflow", &json, &toml)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`My Workflow` cannot name a workflow") && error.contains("rename"),
        "{error}"
    );
}
