//! Workflows against what a server has. `object_info.json` is written by hand after what the nodes declare, in the older and
//! the newer form of the answer.

use serde_json::json;

use super::super::{Library, Parameters};
use super::*;

const OBJECT_INFO: &str = include_str!("object_info.json");

fn answer() -> Value {
    serde_json::from_str(OBJECT_INFO).unwrap()
}

fn found(workflow: &Workflow, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut answer = answer();
    change(&mut answer);
    let info = ObjectInfo::parse(&answer).unwrap();
    check(workflow, &info)
        .findings
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn found_of(name: &str, change: impl FnOnce(&mut Value)) -> Vec<String> {
    found(Library::shipped().get(name).unwrap(), change)
}

fn remove(answer: &mut Value, key: &str) {
    answer.as_object_mut().unwrap().remove(key).unwrap();
}

#[test]
fn every_shipped_workflow_runs_where_everything_is_there() {
    let info = ObjectInfo::parse(&answer()).unwrap();
    for (workflow, _) in Library::shipped().all() {
        let report = check(workflow, &info);
        assert_eq!(report, Report::default(), "{}", workflow.name());
        assert!(report.runs());
    }
}

#[test]
fn a_missing_node_class_is_told_with_where_it_comes_from() {
    let lacks = |answer: &mut Value| remove(answer, "WanImageToVideo");
    assert_eq!(
        found_of("wan2.1-i2v-14b-480p", lacks),
        [
            "the server has no node class `WanImageToVideo`; update ComfyUI, or install the package that brings it"
        ]
    );
    let (json, toml) = super::super::library::shipped_files("smoke").unwrap();
    let json = json.replace("\"ImageScale\"", "\"ImageScaleBetter\"");
    let mine = Workflow::parse(
        "mine",
        &json,
        &format!("{toml}\n[nodes]\nImageScaleBetter = \"the package Better Scaling\""),
    )
    .unwrap();
    assert_eq!(
        found(&mine, |_| ()),
        ["the server has no node class `ImageScaleBetter`; install the package Better Scaling"]
    );
}

#[test]
fn a_missing_model_is_told_with_its_folder_and_size() {
    let lacks =
        |answer: &mut Value| answer["UNETLoader"]["input"]["required"]["unet_name"][0] = json!([]);
    assert_eq!(
        found_of("wan2.1-i2v-14b-480p", lacks),
        [
            "models/diffusion_models/wan2.1_i2v_480p_14B_fp8_scaled.safetensors is missing (15.3 GiB); get it from \
          Comfy-Org/Wan_2.1_ComfyUI_repackaged on Hugging Face"
        ]
    );
    let info = {
        let mut answer = answer();
        lacks(&mut answer);
        ObjectInfo::parse(&answer).unwrap()
    };
    let report = check(Library::shipped().get("wan2.2-i2v-a14b").unwrap(), &info);
    assert_eq!((report.missing_models(), report.runs()), (2, false));
}

#[test]
fn a_file_in_a_folder_of_a_server_on_windows_is_found_and_spelled_as_there() {
    let (json, toml) = super::super::library::shipped_files("sdxl-1.0").unwrap();
    let rename = |text: &str| text.replace("sd_xl_base_1.0", "xl/sd_xl_base_1.0");
    let mine = Workflow::parse("mine", &rename(json), &rename(toml)).unwrap();
    let mut answer = answer();
    answer["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] =
        json!(["xl\\sd_xl_base_1.0.safetensors"]);
    let info = ObjectInfo::parse(&answer).unwrap();
    assert_eq!(check(&mine, &info), Report::default());
    let parameters = Parameters {
        prompt: String::new(),
        negative_prompt: String::new(),
        start_image: None,
        size: Size {
            width: 1024,
            height: 1024,
        },
        clip: None,
        seed: 1,
        quality: Quality::Final,
        filename_prefix: "x".to_owned(),
    };
    let filled = mine.fill(&parameters).unwrap().localised(&info);
    assert_eq!(
        filled.graph().input("checkpoint", "ckpt_name"),
        Some(&json!("xl\\sd_xl_base_1.0.safetensors"))
    );
}

#[test]
fn wrong_missing_and_unknown_inputs_are_told_with_node_and_class() {
    let change = |class: &'static str, input: &'static str, declared: Value| {
        move |answer: &mut Value| answer[class]["input"]["required"][input] = declared
    };
    assert_eq!(
        found_of(
            "smoke",
            change("ImageFromBatch", "stride", json!(["INT", {}]))
        ),
        ["`cut` (ImageFromBatch) needs the input `stride`, which the graph does not give"]
    );
    assert_eq!(
        found_of(
            "smoke",
            change("ImageScale", "crop", json!([["left", "right"]]))
        ),
        [
            "`frame` (ImageScale), input `crop`: \"center\" is none of its choices; there are \"left\", \"right\""
        ]
    );
    assert_eq!(
        found_of(
            "smoke",
            change(
                "ImageFromBatch",
                "batch_index",
                json!(["INT", {"min": 1, "max": 9}])
            )
        ),
        ["`cut` (ImageFromBatch), input `batch_index`: 0 is not possible; 1 to 9 are"]
    );
    assert_eq!(
        found_of(
            "smoke",
            change("ImageFromBatch", "batch_index", json!(["BOOLEAN", {}]))
        ),
        ["`cut` (ImageFromBatch), input `batch_index`: 0 is neither true nor false"]
    );
    assert_eq!(
        found_of("smoke", change("SaveVideo", "format", json!(["INT", {}]))),
        ["`save` (SaveVideo), input `format`: \"mp4\" is no whole number"]
    );
    assert_eq!(
        found_of("smoke", change("SaveVideo", "format", json!(["VIDEO", {}]))),
        ["`save` (SaveVideo), input `format`: \"mp4\" stands where a link to a VIDEO is needed"]
    );
    assert_eq!(
        found_of(
            "smoke",
            change("CreateVideo", "images", json!(["VIDEO", {}]))
        ),
        [
            "`video` (CreateVideo), input `images`: it links to a IMAGE of `cut` (ImageFromBatch), where a VIDEO is needed"
        ]
    );
    let forgets =
        |answer: &mut Value| remove(&mut answer["ImageScale"]["input"]["required"], "crop");
    let unknown = ["`frame` (ImageScale) has no input `crop` at this server, which leaves it out"];
    assert_eq!(found_of("smoke", forgets), unknown);
}

#[test]
fn what_the_server_only_leaves_out_does_not_stop_it() {
    let mut answer = answer();
    remove(&mut answer["CLIPLoader"]["input"]["optional"], "device");
    let info = ObjectInfo::parse(&answer).unwrap();
    let report = check(Library::shipped().get("wan2.2-ti2v-5b").unwrap(), &info);
    assert_eq!(report.findings.len(), 1);
    assert!(report.runs());
}

#[test]
fn an_input_of_an_input_belongs_to_it() {
    let (json, toml) = super::super::library::shipped_files("smoke").unwrap();
    let json = json.replace(
        "\"codec\": \"h264\"",
        "\"codec\": \"h264\", \"codec.quality\": 20",
    );
    let mine = Workflow::parse("mine", &json, toml).unwrap();
    assert_eq!(found(&mine, |_| ()), [""; 0]);
}

#[test]
fn what_jobs_can_bring_must_be_possible_too() {
    let narrow = |answer: &mut Value| {
        answer["ImageFromBatch"]["input"]["required"]["length"] =
            json!(["INT", {"min": 1, "max": 64}]);
    };
    // The graph's own 96 and the longest clip.
    assert_eq!(
        found_of("smoke", narrow),
        [
            "`cut` (ImageFromBatch), input `length`: 96 is not possible; 1 to 64 are",
            "`cut` (ImageFromBatch), input `length`: jobs can bring 128, and 1 to 64 are"
        ]
    );
}

#[test]
fn a_graph_must_end_at_a_node_that_writes() {
    let idle = |answer: &mut Value| answer["SaveVideo"]["output_node"] = json!(false);
    assert_eq!(
        found_of("smoke", idle),
        [
            "`save` (SaveVideo) writes no file, so that nothing comes out of the graph; name another output.node"
        ]
    );
}

#[test]
fn a_link_to_an_output_that_is_not_there_is_told() {
    let fewer = |answer: &mut Value| {
        answer["WanImageToVideo"]["output"] = json!(["CONDITIONING", "CONDITIONING"]);
    };
    assert_eq!(
        found_of("wan2.1-i2v-14b-480p", fewer),
        [
            "`sampler` (KSampler), input `latent_image`: it links to output 2 of `i2v` (WanImageToVideo), which has 2, counted from 0"
        ]
    );
}
