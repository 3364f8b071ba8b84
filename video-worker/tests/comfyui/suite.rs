//! What every server must show, the double and real ones: nothing here misbehaves, and no model is needed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use shared::ids::{JobId, Take};
use shared::preview::Preview;
use tokio::time::{Instant, sleep, timeout};
use video_worker::comfyui::client::{
    Client, ComfyError, Ending, Entry, Heard, Lacks, OutputFile, Refusal, Socket, Version, Word,
};
use video_worker::comfyui::graph::Graph;
use video_worker::comfyui::tag::Tag;

use crate::support::{LIMITS, graph, node, smoke};

/// A real server on a busy processor.
const PATIENCE: Duration = Duration::from_secs(120);

/// All of it, one after the other; how many pictures of four steps were shown, where there is a model to sample with.
pub(crate) async fn all(client: &Client) -> Option<u32> {
    it_says_what_it_is(client).await;
    a_graph_is_run_and_its_end_is_told_twice(client).await;
    a_repeated_graph_is_answered_from_the_cache_with_the_old_file(client).await;
    a_new_prefix_makes_a_new_file(client).await;
    refusals_name_node_and_input(client).await;
    an_upload_is_found_by_its_name(client).await;
    a_waiting_prompt_can_be_deleted_and_nothing_else_is_touched(client).await;
    nothing_is_known_of_what_was_never_there(client).await;
    memory_is_freed_and_the_cache_with_it(client).await;
    what_is_sampled_is_shown_where_there_is_a_model(client).await
}

fn tag() -> Tag {
    Tag::first(JobId::generate(), Take::FIRST)
}

/// A colour that no other run has used.
fn colour(tag: &Tag) -> u64 {
    u64::try_from(tag.job.as_u128() & 0xff_ffff).unwrap()
}

async fn ended(client: &Client, tag: &Tag) -> Entry {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(entry) = client.history(&tag.prompt()).await.unwrap() {
            return entry;
        }
        assert!(Instant::now() < until, "the prompt did not end");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn rendered(client: &Client, tag: &Tag) -> OutputFile {
    let sent = smoke(&tag.prefix(), colour(tag)).pruned().unwrap();
    client.submit(&sent, tag, "suite").await.unwrap();
    let entry = ended(client, tag).await;
    assert!(
        entry.says_success && entry.ending == Ending::Well,
        "{entry:?}"
    );
    let saved: Vec<_> = entry.of("save", None).collect();
    assert_eq!(saved.len(), 1, "{entry:?}");
    saved[0].file().unwrap()
}

async fn it_says_what_it_is(client: &Client) {
    let stats = client.stats().await.unwrap();
    assert!(stats.version >= Version::OLDEST, "{stats:?}");
    assert!(!stats.devices.is_empty());
    let info = client.object_info("SaveVideo").await.unwrap().unwrap();
    assert!(info["input"]["required"]["filename_prefix"].is_array());
    assert!(client.object_info("NoSuchNode").await.unwrap().is_none());
    let all = client.all_object_info().await.unwrap();
    assert!(
        ["EmptyImage", "RepeatImageBatch", "CreateVideo"]
            .iter()
            .all(|class| all.contains_key(*class))
    );
}

async fn a_graph_is_run_and_its_end_is_told_twice(client: &Client) {
    let tag = tag();
    let mut socket = Socket::connect(client, &tag.stem(), &tag.prompt(), drop)
        .await
        .unwrap();
    let sent = smoke(&tag.prefix(), colour(&tag)).pruned().unwrap();
    client.submit(&sent, &tag, &tag.stem()).await.unwrap();
    let mut nodes = BTreeSet::new();
    loop {
        match timeout(PATIENCE, socket.next())
            .await
            .expect("no word came")
        {
            Heard::Word(Word::Node(node)) => {
                nodes.insert(node);
            }
            Heard::Word(Word::Ended) => break,
            Heard::Word(_) => {}
            Heard::Closed { .. } => panic!("the socket was closed"),
        }
    }
    socket.close().await;
    assert!(
        nodes.contains("save") && nodes.contains("image"),
        "{nodes:?}"
    );
    // The history is written a moment later, and says the same.
    let entry = ended(client, &tag).await;
    let file = entry.of("save", None).next().unwrap().file().unwrap();
    assert!(
        file.name.starts_with(&format!("{}_", tag.stem())),
        "{file:?}"
    );
    assert!(client.has(&file).await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("clip");
    let size = client.download(&file, &local).await.unwrap();
    assert_eq!(std::fs::metadata(&local).unwrap().len(), size);
    let queue = client.queue().await.unwrap();
    assert!(
        queue
            .running
            .iter()
            .chain(&queue.pending)
            .all(|it| it.prompt != tag.prompt())
    );
}

async fn a_repeated_graph_is_answered_from_the_cache_with_the_old_file(client: &Client) {
    let tag = tag();
    let first = rendered(client, &tag).await;
    let again = tag.submission(1);
    let same = smoke(&tag.prefix(), colour(&tag)).pruned().unwrap();
    client.submit(&same, &again, "suite").await.unwrap();
    let entry = ended(client, &again).await;
    assert!(
        entry.says_success && entry.cached.contains(&"save".to_owned()),
        "{entry:?}"
    );
    assert_eq!(
        entry.of("save", None).next().unwrap().file().unwrap(),
        first
    );
}

async fn a_new_prefix_makes_a_new_file(client: &Client) {
    let tag = tag();
    let first = rendered(client, &tag).await;
    let again = tag.submission(1);
    let other = smoke(&again.prefix(), colour(&tag)).pruned().unwrap();
    client.submit(&other, &again, "suite").await.unwrap();
    let entry = ended(client, &again).await;
    assert!(!entry.cached.contains(&"save".to_owned()), "{entry:?}");
    assert_ne!(
        entry.of("save", None).next().unwrap().file().unwrap(),
        first
    );
}

async fn refused(client: &Client, graph: &Graph) -> Refusal {
    match client.submit(graph, &tag(), "suite").await.unwrap_err() {
        ComfyError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}

async fn refusals_name_node_and_input(client: &Client) {
    let with = |name: &str, change: serde_json::Value| {
        let mut graph = smoke("callsheet/refused", 1);
        graph.nodes.insert(name.to_owned(), change);
        graph
    };
    let image = |inputs: serde_json::Value| with("image", node("EmptyImage", &inputs));
    let refusal = refused(
        client,
        &image(json!({"height": 64, "batch_size": 1, "color": 0})),
    )
    .await;
    let told = refusal.to_string();
    for part in ["node `image` (EmptyImage)", "width", "missing"] {
        assert!(told.contains(part), "{told}");
    }
    let large = json!({"width": 999_999, "height": 64, "batch_size": 1, "color": 0});
    let refusal = refused(client, &image(large)).await;
    assert!(refusal.to_string().contains("input `width`"), "{refusal}");
    assert_eq!(refusal.lacks(), Lacks::Nothing);

    let refusal = refused(client, &with("image", node("NoSuchNode", &json!({})))).await;
    assert!(
        matches!(refusal.lacks(), Lacks::Node(said) if said.contains("NoSuchNode")),
        "{refusal}"
    );

    let nodes = json!({
        "unet": node("UNETLoader", &json!({"unet_name": "no-such-file.safetensors", "weight_dtype": "default"})),
        "image": node("LoadImage", &json!({"image": "callsheet/not_there.png"})),
        "save": node("SaveImage", &json!({"images": ["image", 0], "filename_prefix": "callsheet/refused"})),
    });
    let refusal = refused(client, &graph(nodes, LIMITS).pruned().unwrap()).await;
    assert!(refusal.to_string().contains("not_there.png"), "{refusal}");
    let nodes = json!({"image": node("EmptyImage", &json!({"width": 64, "height": 64, "batch_size": 1, "color": 0}))});
    let refusal = refused(client, &graph(nodes, LIMITS)).await;
    assert_eq!(refusal.kind, "prompt_no_outputs");
}

async fn an_upload_is_found_by_its_name(client: &Client) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("start.png");
    std::fs::write(&path, png()).unwrap();
    let tag = tag();
    let name = client
        .upload_image(&path, &format!("{}.png", tag.stem()))
        .await
        .unwrap();
    assert_eq!(name, format!("callsheet/{}.png", tag.stem()));
    let nodes = json!({
        "image": node("LoadImage", &json!({"image": name})),
        "save": node("SaveImage", &json!({"images": ["image", 0], "filename_prefix": tag.prefix()})),
    });
    client
        .submit(&graph(nodes, LIMITS), &tag, "suite")
        .await
        .unwrap();
    let entry = ended(client, &tag).await;
    assert!(entry.says_success, "{entry:?}");
    let file = entry.of("save", None).next().unwrap().file().unwrap();
    assert!(client.has(&file).await.unwrap());
}

async fn a_waiting_prompt_can_be_deleted_and_nothing_else_is_touched(client: &Client) {
    // Two in line, the second of which is taken back. Where that comes too late, it is tried again.
    for _ in 0..10 {
        let (first, second) = (tag(), tag());
        for tag in [&first, &second] {
            let mut heavy = smoke(&tag.prefix(), colour(tag));
            heavy.nodes["frames"]["inputs"]["amount"] = json!(400);
            client.submit(&heavy, tag, "suite").await.unwrap();
        }
        client.delete(&second.prompt()).await.unwrap();
        // An interrupt of a prompt that does not run has no effect on the one that does.
        client.interrupt(&second.prompt()).await.unwrap();
        let entry = ended(client, &first).await;
        assert!(entry.says_success, "{entry:?}");
        let queue = client.queue().await.unwrap();
        let second = client.history(&second.prompt()).await.unwrap();
        if second.is_none() && queue.is_empty() {
            return;
        }
    }
    panic!("no prompt could be deleted while it waited");
}

async fn nothing_is_known_of_what_was_never_there(client: &Client) {
    assert!(client.history(&tag().prompt()).await.unwrap().is_none());
    let nowhere = OutputFile {
        name: format!("{}_00001_.mp4", tag().stem()),
        subfolder: "callsheet".to_owned(),
    };
    assert!(!client.has(&nowhere).await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let error = client
        .download(&nowhere, &folder.path().join("x"))
        .await
        .unwrap_err();
    assert!(matches!(error, ComfyError::NoFile(_)), "{error}");
    assert!(client.models("no_such_folder").await.unwrap().is_none());
}

async fn memory_is_freed_and_the_cache_with_it(client: &Client) {
    let tag = tag();
    rendered(client, &tag).await;
    client.free().await.unwrap();
    // It is freed by the executor when it is woken; the next prompt may be faster than that.
    let until = Instant::now() + PATIENCE;
    for number in 1.. {
        let again = tag.submission(number);
        let same = smoke(&again.prefix(), colour(&tag)).pruned().unwrap();
        client.submit(&same, &again, "suite").await.unwrap();
        if ended(client, &again).await.cached.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "the cache was kept");
        client.free().await.unwrap();
        sleep(Duration::from_millis(200)).await;
    }
}

/// Counts what is shown.
pub(crate) fn counting() -> (Arc<AtomicU32>, impl Fn(Preview) + Send) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let show = move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    (count, show)
}

async fn what_is_sampled_is_shown_where_there_is_a_model(client: &Client) -> Option<u32> {
    let checkpoints = client.models("checkpoints").await.unwrap()?;
    let checkpoint = checkpoints.first()?;
    let tag = tag();
    let words = node(
        "CLIPTextEncode",
        &json!({"text": "a lighthouse", "clip": ["model", 1]}),
    );
    let nodes = json!({
        "model": node("CheckpointLoaderSimple", &json!({"ckpt_name": checkpoint})),
        "positive": words,
        "negative": words,
        "latent": node("EmptyLatentImage", &json!({"width": 64, "height": 64, "batch_size": 1})),
        "sampler": node("KSampler", &json!({
            "model": ["model", 0], "seed": colour(&tag), "steps": 4, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal",
            "positive": ["positive", 0], "negative": ["negative", 0], "latent_image": ["latent", 0], "denoise": 1.0,
        })),
        "decode": node("VAEDecode", &json!({"samples": ["sampler", 0], "vae": ["model", 2]})),
        "save": node("SaveImage", &json!({"images": ["decode", 0], "filename_prefix": tag.prefix()})),
    });
    let (count, show) = counting();
    let mut socket = Socket::connect(client, &tag.stem(), &tag.prompt(), show)
        .await
        .unwrap();
    let sent = graph(nodes, LIMITS).pruned().unwrap();
    client.submit(&sent, &tag, &tag.stem()).await.unwrap();
    let mut steps = BTreeSet::new();
    loop {
        match timeout(PATIENCE, socket.next())
            .await
            .expect("no word came")
        {
            Heard::Word(Word::Step { done, of: 4, .. }) => {
                steps.insert(done);
            }
            Heard::Word(Word::Ended) => break,
            Heard::Word(_) => {}
            Heard::Closed { .. } => panic!("the socket was closed"),
        }
    }
    socket.close().await;
    let entry = ended(client, &tag).await;
    assert!(entry.says_success, "{entry:?}");
    assert!(steps.contains(&4), "{steps:?}");
    let count = count.load(Ordering::Relaxed);
    // Older ones show what they were started with.
    let heeds_the_prompt = client.stats().await.unwrap().version >= Version(0, 5, 0);
    assert!(count > 0 || !heeds_the_prompt);
    Some(count)
}

/// An image of some pixels.
pub(crate) fn png() -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 64, 64);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    let pixels: Vec<u8> = (0..64 * 64 * 3).map(|at| (at % 251) as u8).collect();
    writer.write_image_data(&pixels).unwrap();
    drop(writer);
    file
}
