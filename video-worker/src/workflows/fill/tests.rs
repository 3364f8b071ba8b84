//! Parameters in, graph out.

use serde_json::json;
use shared::film::{FPS, Quality, SECONDS, SEED_MAX};

use super::super::Library;
use super::*;

fn workflow(name: &str) -> std::sync::Arc<Workflow> {
    std::sync::Arc::clone(Library::shipped().get(name).unwrap())
}

fn clip() -> Parameters {
    Parameters {
        prompt: "a ship leaves the harbour".to_owned(),
        negative_prompt: "people".to_owned(),
        start_image: Some("jobs/key.png".to_owned()),
        size: "854x480".parse().unwrap(),
        clip: Some(ClipLength {
            frames: 96,
            fps: 24,
        }),
        seed: 7,
        quality: Quality::Final,
        filename_prefix: "callsheet/job-1/take-1".to_owned(),
    }
}

fn keyframe() -> Parameters {
    Parameters {
        start_image: None,
        clip: None,
        ..clip()
    }
}

fn at<'a>(filled: &'a Filled, node: &str, input: &str) -> &'a Value {
    filled.graph().input(node, input).unwrap()
}

#[test]
fn each_thing_goes_to_its_inputs() {
    let filled = workflow("wan2.2-i2v-a14b").fill(&clip()).unwrap();
    for (node, input, value) in [
        ("positive", "text", json!("a ship leaves the harbour")),
        ("start", "image", json!("jobs/key.png")),
        ("i2v", "width", json!(848)),
        ("i2v", "height", json!(480)),
        ("i2v", "length", json!(65)),
        ("video", "fps", json!(16.0)),
        ("sampler_high", "noise_seed", json!(7)),
        ("sampler", "noise_seed", json!(0)),
        ("sampler_high", "steps", json!(20)),
        ("sampler_high", "end_at_step", json!(10)),
        ("sampler", "start_at_step", json!(10)),
        ("sampler", "end_at_step", json!(10_000)),
        ("save", "filename_prefix", json!("callsheet/job-1/take-1")),
    ] {
        assert_eq!(at(&filled, node, input), &value, "{node}.{input}");
    }
    let negative = at(&filled, "negative", "text").as_str().unwrap();
    assert!(negative.starts_with("people, blurry"), "{negative}");
    assert_eq!(filled.output().node, "save");
    assert_eq!(filled.time_limit(), Duration::from_secs(600));
    assert_eq!(filled.limits().silence(), Duration::from_secs(300));
    assert_eq!(filled.limits().stall(), Duration::from_secs(120));
    assert_eq!(
        (filled.size().to_string().as_str(), filled.clip()),
        (
            "848x480",
            Some(ClipLength {
                frames: 65,
                fps: 16
            })
        )
    );
}

#[test]
fn what_is_not_as_asked_is_told() {
    let told = |name: &str, parameters: &Parameters| {
        let filled = workflow(name).fill(parameters).unwrap();
        filled
            .adjustments()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        told("wan2.1-i2v-14b-480p", &clip()),
        [
            "made in 848x480 instead of 854x480",
            "made of 65 frames at 16 frames a second instead of 96 at 24"
        ]
    );
    let fitting = Parameters {
        size: "832x480".parse().unwrap(),
        clip: Some(ClipLength {
            frames: 81,
            fps: 16,
        }),
        ..clip()
    };
    assert_eq!(told("wan2.1-i2v-14b-480p", &fitting), [""; 0]);
    assert_eq!(
        told("smoke", &clip()),
        [
            "made in 426x240 instead of 854x480",
            "the workflow does not read the prompt",
            "the workflow does not read the negative prompt",
            "the workflow does not read the seed"
        ]
    );
    let unsaid = Parameters {
        negative_prompt: String::new(),
        size: "854x480".parse().unwrap(),
        ..keyframe()
    };
    assert_eq!(
        told("smoke-keyframe", &unsaid),
        ["the workflow does not read the prompt"]
    );
}

#[test]
fn a_draft_has_fewer_steps_and_less_time() {
    let draft = Parameters {
        quality: Quality::Draft,
        ..clip()
    };
    let filled = workflow("wan2.2-i2v-a14b").fill(&draft).unwrap();
    assert_eq!(at(&filled, "sampler_high", "end_at_step"), &json!(6));
    assert_eq!(at(&filled, "sampler", "steps"), &json!(12));
    assert_eq!(filled.time_limit(), Duration::from_secs(360));
}

#[test]
fn a_clip_that_is_too_long_is_refused_and_not_cut() {
    let long = Parameters {
        clip: Some(ClipLength {
            frames: 240,
            fps: 24,
        }),
        ..clip()
    };
    let error = workflow("wan2.1-i2v-14b-480p").fill(&long).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a clip of 10.0 s is too long for the workflow `wan2.1-i2v-14b-480p`, which makes 5.1 s at most; ask for shorter \
         scenes, or for another profile"
    );
}

#[test]
fn a_workflow_of_the_other_kind_is_refused() {
    for (name, parameters, expected) in [
        (
            "sdxl-1.0",
            clip(),
            "makes keyframes, and was given a clip to make",
        ),
        (
            "smoke",
            keyframe(),
            "makes clips, and was given no image to begin with",
        ),
        (
            "smoke",
            Parameters {
                clip: None,
                ..clip()
            },
            "makes clips, and was given no length",
        ),
    ] {
        let error = workflow(name).fill(&parameters).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn no_name_of_a_file_leads_anywhere_else() {
    for prefix in [
        "", "/etc/x", "a//b", "../x", "a/../b", "a/.", "%date%", "a b", "a\\b", "ä", "a\nb",
    ] {
        let parameters = Parameters {
            filename_prefix: prefix.to_owned(),
            ..clip()
        };
        let error = workflow("smoke").fill(&parameters).unwrap_err();
        assert!(matches!(error, FillError::Prefix(_)), "{prefix}: {error}");
    }
    for image in [
        "",
        "/etc/hostname",
        "..\\x.png",
        "a/../../x.png",
        "C:\\x.png",
        "a\u{0}b",
    ] {
        let parameters = Parameters {
            start_image: Some(image.to_owned()),
            ..clip()
        };
        let error = workflow("smoke").fill(&parameters).unwrap_err();
        assert!(
            matches!(error, FillError::StartImage(_)),
            "{image}: {error}"
        );
    }
    for image in [
        "key (1).png",
        "jobs\\a\\key.png",
        "key.png [output]",
        "schlüssel.png",
    ] {
        let parameters = Parameters {
            start_image: Some(image.to_owned()),
            ..clip()
        };
        assert!(workflow("smoke").fill(&parameters).is_ok(), "{image}");
    }
}

#[test]
fn whatever_people_write_is_a_text_and_changes_nothing_else() {
    let texts = [
        "",
        "\"}}, \"save\": {\"class_type\": \"Evil\"",
        "a \"quoted\" 100% {true|false} (story:1.2)\nin two\tlines\r\n",
        "嵐 и ☃ \u{202e}\u{0}\u{7f} \\u0041 \\",
        "[\"start\", 0]",
        "$(reboot) `ls` ${HOME} %date:yyyy%",
        &"x".repeat(100_000),
    ];
    for name in ["wan2.1-i2v-14b-480p", "wan2.2-i2v-a14b", "wan2.2-ti2v-5b"] {
        let workflow = workflow(name);
        for text in texts {
            let parameters = Parameters {
                prompt: text.to_owned(),
                negative_prompt: text.to_owned(),
                ..clip()
            };
            let filled = workflow.fill(&parameters).unwrap();
            // Over the wire and back, the text is the same and so is the rest.
            let sent: Value = serde_json::from_str(&filled.graph().to_json().to_string()).unwrap();
            assert_eq!(sent["positive"]["inputs"]["text"], json!(text));
            let negative = sent["negative"]["inputs"]["text"].as_str().unwrap();
            assert!(negative.starts_with(text.trim()), "{name}: {text}");
            assert_same_but(&workflow, &sent);
        }
    }
}

/// Nodes, classes, links and everything that is not bound are those of the file.
fn assert_same_but(workflow: &Workflow, sent: &Value) {
    let own = workflow.graph().to_json();
    let (own, sent) = (own.as_object().unwrap(), sent.as_object().unwrap());
    assert_eq!(
        own.keys().collect::<Vec<_>>(),
        sent.keys().collect::<Vec<_>>()
    );
    for (id, node) in own {
        let is_bound = |input: &str| {
            let mut all = workflow.manifest().inputs.all();
            all.any(|(_, place)| place.node == *id && place.input == input)
        };
        assert_eq!(node["class_type"], sent[id]["class_type"]);
        let (own, sent) = (
            node["inputs"].as_object().unwrap(),
            sent[id]["inputs"].as_object().unwrap(),
        );
        assert_eq!(own.len(), sent.len(), "{id}");
        for (input, value) in own {
            match is_bound(input) {
                true => assert_eq!(value.is_string(), sent[input].is_string(), "{id}.{input}"),
                false => assert_eq!(value, &sent[input], "{id}.{input}"),
            }
        }
    }
}

#[test]
fn every_scene_that_can_be_asked_for_is_made_as_the_model_needs_it_or_refused() {
    let mut dice = 1_u64;
    let mut roll = |most: u64| {
        // Any spread will do; the numbers are the same in each run.
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % (most + 1)
    };
    let mut number =
        |least: u32, most: u32| least + u32::try_from(roll(u64::from(most - least))).unwrap();
    let library = Library::shipped();
    let (mut made, mut refused) = (0, 0);
    for _ in 0..2_000 {
        let fps = number(*FPS.start(), *FPS.end());
        let seconds = f64::from(number(1, 14)) / 2.0;
        assert!(SECONDS.contains(&seconds));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "some hundred frames"
        )]
        let frames = (seconds * f64::from(fps)).round().max(1.0) as u32;
        let size = Size {
            width: 2 * number(32, 2_048),
            height: 2 * number(32, 2_048),
        };
        let asked = Parameters {
            size,
            clip: Some(ClipLength { frames, fps }),
            seed: u64::from(number(0, u32::MAX)) * (SEED_MAX / u64::from(u32::MAX)),
            ..clip()
        };
        for (workflow, _) in library.all() {
            if workflow.manifest().kind == WorkflowKind::Keyframe {
                continue;
            }
            let rule = workflow.manifest().clip.unwrap();
            let filled = match workflow.fill(&asked) {
                Ok(filled) => filled,
                Err(FillError::TooLong { .. }) => {
                    refused += 1;
                    assert!(f64::from(frames) / f64::from(fps) > rule.longest_seconds(fps) - 0.001);
                    continue;
                }
                Err(error) => panic!("{asked:?}: {error}"),
            };
            made += 1;
            let clip = filled.clip().unwrap();
            let multiple = workflow.manifest().size.multiple;
            assert_eq!((clip.frames - 1) % rule.frame_step, 0, "{asked:?}");
            assert!(
                filled.size().width % multiple == 0 && filled.size().height % multiple == 0,
                "{asked:?}"
            );
            assert_same_but(workflow, &filled.graph().to_json());
            // What the graph says is what is told of it.
            for (field, place) in workflow.manifest().inputs.all() {
                let value = at(&filled, &place.node, &place.input);
                let expected = match field {
                    Field::Width => filled.size().width.into(),
                    Field::Height => filled.size().height.into(),
                    Field::Frames => clip.frames.into(),
                    Field::Fps => clip.fps.into(),
                    Field::Seed => asked.seed,
                    Field::Prompt
                    | Field::NegativePrompt
                    | Field::StartImage
                    | Field::Steps
                    | Field::FilenamePrefix => continue,
                };
                #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
                let expected = expected as f64;
                assert_eq!(value.as_f64(), Some(expected), "{place}");
            }
            let is_told =
                |told: &dyn Fn(&Adjustment) -> bool| filled.adjustments().iter().any(told);
            assert_eq!(
                is_told(&|told| matches!(told, Adjustment::Size { .. })),
                filled.size() != size
            );
            let differs = asked.clip != Some(clip);
            assert_eq!(
                is_told(&|told| matches!(told, Adjustment::Length { .. })),
                differs
            );
        }
    }
    assert!(
        made > 1_000 && refused > 1_000,
        "{made} made, {refused} refused"
    );
}
