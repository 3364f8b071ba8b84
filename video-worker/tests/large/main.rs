//! A file of any size is collected in the same memory. A test binary of its own: the memory of the whole process is looked at.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use comfyui_double::{Content, Double, Flavour};
use serde_json::json;
use shared::artifact::MediaType;
use shared::artifacts::ArtifactStore;
use shared::ids::{JobId, Take};
use video_worker::comfyui::client::Client;
use video_worker::comfyui::graph::{Graph, Limits, Output};
use video_worker::comfyui::tag::Tag;

const SIZE: u64 = 2 << 30;
/// More than that above what it has when it is idle would be a file held in memory.
const MORE: u64 = 64 << 20;

/// Memory of this process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes << 10
}

#[tokio::test]
async fn two_gibibytes_are_collected_in_constant_memory() {
    let double = Double::start(Flavour::New);
    double.behave(|it| it.content = Content::Zeros(SIZE));
    let client = Client::new(&double.url()).unwrap();
    let tag = Tag::first(JobId::generate(), Take::FIRST);
    let node =
        |class: &str, inputs: serde_json::Value| json!({"class_type": class, "inputs": inputs});
    let image = json!({"width": 64, "height": 64, "batch_size": 1, "color": 0});
    let save = json!({"images": ["image", 0], "filename_prefix": tag.prefix()});
    let nodes = [
        ("image".to_owned(), node("EmptyImage", image)),
        ("save".to_owned(), node("SaveImage", save)),
    ];
    let graph = Graph {
        nodes: nodes.into_iter().collect(),
        output: Output {
            node: "save".to_owned(),
            key: None,
        },
        limits: Limits::within(Duration::from_secs(60)),
    };
    client.submit(&graph, &tag, "large").await.unwrap();
    let entry = loop {
        match client.history(&tag.prompt()).await.unwrap() {
            Some(entry) => break entry,
            None => tokio::task::yield_now().await,
        }
    };
    let file = entry.of("save", None).next().unwrap().file().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let artifacts = ArtifactStore::open_folder(&folder.path().join("artifacts")).unwrap();

    let idle = resident();
    let (peak, done) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let watch = {
        let (peak, done) = (Arc::clone(&peak), Arc::clone(&done));
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(resident(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        })
    };
    let local = folder.path().join("file");
    assert_eq!(client.download(&file, &local).await.unwrap(), SIZE);
    let stored = artifacts.put_file(&local, MediaType::Png).await.unwrap();
    done.store(true, Ordering::Relaxed);
    watch.join().unwrap();
    assert_eq!(stored.size.as_bytes(), SIZE);
    let more = peak.load(Ordering::Relaxed).saturating_sub(idle);
    println!(
        "{} MiB above the {} MiB of an idle process",
        more >> 20,
        idle >> 20
    );
    assert!(more < MORE, "{} MiB above idle", more >> 20);
}
