//! Servers that are none, fail, break off or name files where none may be: a clear error each, and nothing written anywhere.

use comfyui_double::{Answers, Behaviour, Content, Fate, Flavour};
use serde_json::{Value, json};
use shared::failure::FailureKind;
use std::time::Duration;
use video_worker::comfyui::ComfyUiSettings;
use video_worker::comfyui::client::{Client, ComfyError};
use worker_runtime::backend::Backend as _;

use crate::support::{Stage, Wan, blank, double};

/// Gives a server up at once.
fn hasty() -> ComfyUiSettings {
    ComfyUiSettings {
        patience: Duration::ZERO,
        ..ComfyUiSettings::default()
    }
}

#[tokio::test]
async fn where_nobody_listens_the_setting_is_named() {
    let mut gone = double(Flavour::New);
    gone.kill();
    let stage = Stage::with(&gone, Wan::default(), hasty()).await;
    let told = stage.backend.prepare().await.unwrap_err().to_string();
    for part in ["cannot be reached", "comfyui.url", &gone.url()] {
        assert!(told.contains(part), "{told}");
    }
    let failure = stage.run(&stage.attempt()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Lost, "{failure}");
}

#[tokio::test]
async fn a_server_of_another_sort_a_broken_one_and_half_an_answer_are_told_apart() {
    let double = double(Flavour::New);
    let stage = Stage::with(&double, Wan::default(), hasty()).await;
    for (answers, expected) in [
        (Answers::Page, "this is not ComfyUI"),
        (Answers::Broken, "status 500"),
        (Answers::HalfJson, "ends in the middle"),
    ] {
        double.behave(|it| it.answers = answers);
        let told = stage.backend.prepare().await.unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
        let failure = stage.run(&stage.attempt()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Lost, "{failure}");
    }
    double.behave(|it| it.answers = Answers::Well);
    stage.backend.prepare().await.unwrap();
    assert!(double.taken().is_empty());
    assert!(stage.strays().is_empty());
}

async fn ends(outputs: Value) -> String {
    let double = double(Flavour::New);
    double.behave(|it| it.fates.push_back(Fate::Outputs(outputs)));
    let stage = Stage::new(&double).await;
    let failure = stage.run(&stage.attempt()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent, "{failure}");
    assert!(stage.strays().is_empty(), "{:?}", stage.strays());
    failure.message
}

#[tokio::test]
async fn a_name_that_leads_out_of_the_output_folder_is_not_fetched() {
    let saved = |name: &str, subfolder: &str, kind: &str| json!({"save": {"images": [{"filename": name, "subfolder": subfolder, "type": kind}]}});
    for (name, subfolder) in [
        ("../../escaped", ""),
        ("x.mp4", "../.."),
        ("/etc/passwd", ""),
        ("x.mp4", "/etc"),
    ] {
        let told = ends(saved(name, subfolder, "output")).await;
        assert!(told.contains("is not fetched"), "{told}");
    }
    for kind in ["temp", "input", "strange"] {
        let told = ends(saved("x.mp4", "callsheet", kind)).await;
        assert!(told.contains(&format!("of type `{kind}`")), "{told}");
    }
}

#[tokio::test]
async fn a_success_without_a_file_is_tried_once_more_and_then_a_failure() {
    for fate in [Fate::SavesNothing, Fate::Outputs(json!({}))] {
        let double = double(Flavour::New);
        double.behave(|it| it.fates.extend([fate.clone(), fate.clone()]));
        let stage = Stage::new(&double).await;
        let failure = stage.run(&stage.attempt()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::RejectedContent, "{failure}");
        assert_eq!(double.taken().len(), 2);
    }
}

#[tokio::test]
async fn a_blank_clip_is_a_failure_with_the_clip_kept_as_evidence() {
    for content in [
        Content::Bytes(blank()),
        Content::Bytes("no clip".into()),
        Content::Zeros(100),
    ] {
        let double = double(Flavour::New);
        double.behave(|it| it.content = content);
        let stage = Stage::new(&double).await;
        let failure = stage.run(&stage.attempt()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::RejectedContent, "{failure}");
        assert!(failure.message.contains("kept as artifact"), "{failure}");
    }
}

#[tokio::test]
async fn a_missing_model_or_node_is_told_before_and_after_a_job_is_taken_and_another_server_may_have_it()
 {
    for (flavour, lacks) in [
        (Flavour::New, "wan.safetensors"),
        (Flavour::Old, "wan.safetensors"),
        (Flavour::New, "KSampler"),
        (Flavour::Old, "KSampler"),
    ] {
        let double = double(flavour);
        let lack = |it: &mut Behaviour| match lacks {
            "KSampler" => {
                it.absent.insert(lacks.to_owned());
            }
            _ => it.models.clear(),
        };
        double.behave(lack);
        let stage = Stage::new(&double).await;
        let told = stage.backend.prepare().await.unwrap_err().to_string();
        assert!(told.contains(lacks), "{told}");
        let failure = stage.run(&stage.attempt()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Transient, "{failure}");
        assert!(failure.message.contains(lacks), "{failure}");
    }
}

#[tokio::test]
async fn a_job_of_another_kind_is_refused_here() {
    let double = double(Flavour::New);
    let stage = Stage::new(&double).await;
    let mut attempt = stage.attempt();
    attempt.payload = shared::job::Payload::Assembly(shared::job::AssemblyPayload {
        title: String::new(),
        logline: String::new(),
        clips: Vec::new(),
        size: crate::support::SIZE,
        fps: 8,
    });
    let failure = stage.run(&attempt).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(double.taken().is_empty());
}

#[tokio::test]
async fn a_url_that_is_no_address_is_no_client() {
    assert!(Client::new("not a url").is_err());
    // A name that nobody has.
    let client = Client::new("http://nobody.invalid:8188").unwrap();
    let error = client.stats().await.unwrap_err();
    assert!(matches!(error, ComfyError::Unreachable { .. }), "{error}");
}
