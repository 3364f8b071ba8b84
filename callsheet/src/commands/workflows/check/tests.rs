//! Against a server of few words, and against others.

use crate::comfyui::tests::{OBJECT_INFO, nobody, serve, stats};

use super::*;

fn check(names: &[&str], urls: &[Url]) -> Check {
    Check {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        comfyui: urls.iter().map(Url::to_string).collect(),
        coordinator: None,
        json: false,
    }
}

async fn answered(names: &[&str], urls: &[Url]) -> (String, Result<(), CommandError>) {
    let library = Library::shipped();
    let check = check(names, urls);
    let workflows = chosen(&library, &check.names).unwrap();
    let servers = look_at(urls.to_vec()).await;
    let text = text(&workflows, &servers);
    (text, check.verdict(&workflows, servers, &library))
}

/// The line of a table, its columns a space apart.
fn line(text: &str, name: &str) -> String {
    let line = text
        .lines()
        .find(|line| line.split_whitespace().next() == Some(name));
    line.unwrap_or_else(|| panic!("{text}"))
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// A server with 8 GB and without the files of WAN 2.2.
async fn small() -> Url {
    let mut stats = stats();
    stats["devices"][0]["vram_total"] = json!(8_589_934_592_u64);
    stats["system"]["ram_total"] = json!(34_359_738_368_u64);
    serve(stats.to_string(), OBJECT_INFO.replace("wan2.2_", "wan9_")).await
}

#[tokio::test]
async fn it_says_which_server_could_run_which_and_what_is_missing_where() {
    let urls = [serve(stats().to_string(), OBJECT_INFO).await, small().await];
    let (text, ended) = answered(&[], &urls).await;
    ended.unwrap();
    assert_eq!(line(&text, "smoke"), "smoke scene yes yes");
    assert_eq!(
        line(&text, "wan2.1-i2v-14b-480p"),
        "wan2.1-i2v-14b-480p scene yes no: too small"
    );
    assert_eq!(
        line(&text, "wan2.2-i2v-a14b"),
        "wan2.2-i2v-a14b scene yes no: 2 models are missing"
    );
    let small = &urls[1];
    assert!(
        text.contains(&format!(
            "wan2.2-i2v-a14b at {small}:\n  models/diffusion_models/wan2.2_i2v_high"
        )),
        "{text}"
    );
    assert!(
        text.contains("  it needs 34.6 GiB of the host's memory, which has 32.0 GiB"),
        "{text}"
    );
    assert!(
        text.contains("  it needs 20.0 GiB of the card, which has 8.0 GiB"),
        "{text}"
    );
    assert!(!text.contains(&format!("smoke at {small}")), "{text}");
}

#[tokio::test]
async fn what_is_named_must_run_somewhere() {
    let small = small().await;
    let (_, ended) = answered(&["smoke"], std::slice::from_ref(&small)).await;
    ended.unwrap();
    let (_, ended) = answered(&["smoke", "wan2.2-i2v-a14b"], &[small]).await;
    let error = ended.unwrap_err();
    assert_eq!(error.code(), 1);
    assert_eq!(
        error.message(),
        "no server could run wan2.2-i2v-a14b; what is missing stands above"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_or_another_one_is_told_beside_the_others() {
    let urls = [
        nobody().await,
        serve(stats().to_string(), OBJECT_INFO).await,
    ];
    let (text, ended) = answered(&["smoke"], &urls).await;
    assert!(text.contains("cannot reach ComfyUI"), "{text}");
    assert_eq!(line(&text, "smoke"), "smoke scene yes");
    assert_eq!(ended.unwrap_err().code(), 2);
    let (text, ended) = answered(&[], &[serve("{}", OBJECT_INFO).await]).await;
    assert!(
        text.contains("is that a ComfyUI server?") && !text.contains("WORKFLOW"),
        "{text}"
    );
    assert_eq!(ended.unwrap_err().code(), 1);
}

#[tokio::test]
async fn json_says_the_same() {
    let urls = vec![small().await, nobody().await];
    let library = Library::shipped();
    let workflows = chosen(&library, &["wan2.2-ti2v-5b".to_owned()]).unwrap();
    let servers = look_at(urls.clone()).await;
    let json = as_json(&workflows, &servers, &library);
    assert_eq!(json["servers"][0]["version"], "0.33.0");
    assert_eq!(json["servers"][1]["reached"], false);
    let at = &json["workflows"][0]["servers"];
    assert_eq!(
        (at.as_array().unwrap().len(), &at[0]["runs"]),
        (1, &json!(false))
    );
    assert!(
        at[0]["findings"][0]
            .as_str()
            .unwrap()
            .contains("wan2.2_ti2v_5B_fp16.safetensors is missing"),
        "{json}"
    );
}

#[test]
fn a_name_that_there_is_not_is_told_with_those_that_there_are() {
    let error = chosen(&Library::shipped(), &["wan".to_owned()]).unwrap_err();
    assert_eq!(error.code(), 2);
    assert!(
        error
            .message()
            .contains("there is no workflow `wan`; there are sdxl-1.0"),
        "{}",
        error.message()
    );
}
