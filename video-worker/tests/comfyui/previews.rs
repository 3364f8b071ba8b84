//! A render is seen while it goes on, and nothing that a server shows does any harm.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use comfyui_double::{Behaviour, Double, Flavour, Shows};
use serde_json::json;
use shared::ids::{JobId, Take};
use shared::preview::Preview;
use tokio::time::timeout;
use video_worker::comfyui::ComfyUiSettings;
use video_worker::comfyui::client::{Client, Heard, PreviewMethod, Socket, Word};
use video_worker::comfyui::graph::Graph;
use video_worker::comfyui::tag::Tag;
use worker_runtime::backend::Backend as _;

use crate::suite::counting;
use crate::support::{LIMITS, Stage, Wan, double, graph, node, until};

/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(20);
const JPEG: &[u8] = b"\xff\xd8\xff\xe0 a lighthouse, roughly";

fn picture() -> Preview {
    Preview::new(Bytes::from_static(JPEG)).unwrap()
}

fn settings(previews: PreviewMethod) -> ComfyUiSettings {
    ComfyUiSettings {
        previews,
        ..ComfyUiSettings::default()
    }
}

/// Renders a take on a double that behaves so; what was shown of it in the end, and how many prompts were interrupted.
async fn rendered(
    flavour: Flavour,
    method: PreviewMethod,
    behave: impl FnOnce(&mut Behaviour),
) -> (Option<Preview>, u32, Double) {
    let double = double(flavour);
    double.behave(|it| {
        it.picture = Bytes::from_static(JPEG);
        it.step = Duration::from_millis(20);
        behave(it);
    });
    let stage = Stage::with(&double, Wan::default(), settings(method)).await;
    let (context, steps) = stage.context();
    stage.backend.run(&stage.attempt(), &context).await.unwrap();
    let shown = steps.borrow().preview.clone();
    (shown, double.interrupts(), double)
}

#[tokio::test]
async fn a_render_is_shown_while_it_is_sampled() {
    let double = double(Flavour::New);
    double.behave(|it| {
        it.picture = Bytes::from_static(JPEG);
        it.step = Duration::from_millis(100);
        it.steps = 10;
    });
    let stage = Stage::new(&double).await;
    let (context, steps) = stage.context();
    let attempt = stage.attempt();
    let mut run = Box::pin(stage.backend.run(&attempt, &context));
    tokio::select! {
        ended = &mut run => panic!("{ended:?}"),
        () = until("a picture", || steps.borrow().preview.is_some()) => {}
    }
    {
        let now = steps.borrow();
        assert_eq!(now.preview, Some(picture()));
        assert!(now.step < 10, "{}", now.step);
    }
    run.await.unwrap();
}

#[tokio::test]
async fn a_prompt_asks_for_pictures_by_the_method_of_the_settings() {
    for (method, word, is_shown) in [
        (PreviewMethod::Auto, "auto", true),
        (PreviewMethod::Latent2rgb, "latent2rgb", true),
        (PreviewMethod::Taesd, "taesd", true),
        (PreviewMethod::None, "none", false),
    ] {
        let (shown, _, double) = rendered(Flavour::New, method, |_| {}).await;
        assert_eq!(shown.is_some(), is_shown, "{word}");
        let extra = &double.rendered()[0].extra_data;
        assert_eq!(extra["preview_method"], word);
    }
}

#[tokio::test]
async fn an_older_server_shows_what_it_was_started_with_unless_nothing_is_wanted() {
    for (method, unasked, is_shown) in [
        (PreviewMethod::Auto, true, true),
        (PreviewMethod::Auto, false, false),
        (PreviewMethod::None, true, false),
    ] {
        let behave = |it: &mut Behaviour| it.shows_unasked = unasked;
        let (shown, ..) = rendered(Flavour::Old, method, behave).await;
        assert_eq!(shown.is_some(), is_shown, "{method:?} {unasked}");
    }
}

#[tokio::test]
async fn what_cannot_be_shown_is_left_out_and_the_render_goes_on() {
    for shows in [
        Shows::Huge(Preview::MAX_BYTES + 1),
        // More than a frame may have, so that the socket is lost.
        Shows::Huge(20 << 20),
        Shows::CutShort,
        Shows::OfAnother,
        Shows::OfNoSort,
    ] {
        let behave = |it: &mut Behaviour| it.shows = shows;
        let (shown, interrupts, double) = rendered(Flavour::New, PreviewMethod::Auto, behave).await;
        assert_eq!((shown, interrupts), (None, 0), "{shows:?}");
        assert_eq!(double.rendered().len(), 1, "{shows:?}");
    }
}

fn sampling(tag: &Tag) -> Graph {
    let nodes = json!({
        "sampler": node("KSamplerStandIn", &json!({"seed": tag.prompt()})),
        "save": node("SaveVideo", &json!({"video": ["sampler", 0], "filename_prefix": tag.prefix(), "format": "mp4", "codec": "h264"})),
    });
    graph(nodes, LIMITS)
}

fn tag() -> Tag {
    Tag::first(JobId::generate(), Take::FIRST)
}

/// Hears of a prompt until it has ended.
async fn heard_to_the_end(socket: &mut Socket) {
    let ended = async {
        loop {
            match socket.next().await {
                Heard::Word(Word::Ended) => return,
                Heard::Word(_) => {}
                Heard::Closed { .. } => panic!("the socket was closed"),
            }
        }
    };
    timeout(PATIENCE, ended).await.expect("its end is told");
}

#[tokio::test]
async fn pictures_that_name_no_prompt_are_those_of_the_one_that_runs() {
    let double = Double::start(Flavour::New);
    let client = Client::new(&double.url()).unwrap();
    let (ours, others) = (tag(), tag());
    let (count, show) = counting();
    let mut socket = Socket::connect(&client, "ours", &ours.prompt(), show)
        .await
        .unwrap();
    // Somebody's program sends a prompt without a client: all are shown its pictures.
    let body = json!({
        "prompt": sampling(&others).nodes, "prompt_id": others.prompt(), "extra_data": {"preview_method": "auto"},
    });
    let sent = reqwest::Client::builder().no_proxy().build().unwrap();
    let sent = sent.post(format!("{}/prompt", double.url())).json(&body);
    assert!(sent.send().await.unwrap().status().is_success());
    client
        .submit(&sampling(&ours), &ours, "ours")
        .await
        .unwrap();
    heard_to_the_end(&mut socket).await;
    assert_eq!(double.rendered().len(), 2);
    assert_eq!(count.load(Ordering::Relaxed), Behaviour::default().steps);
}

#[tokio::test]
async fn a_socket_is_read_though_nobody_takes_what_it_hears() {
    let double = Double::start(Flavour::New);
    double.behave(|it| {
        // More words than are held, and more bytes than any buffer has room for.
        it.steps = 600;
        it.step = Duration::ZERO;
        it.shows = Shows::Huge(100_000);
    });
    let client = Client::new(&double.url()).unwrap();
    let (deaf, other) = (tag(), tag());
    let (count, show) = counting();
    let unheard = Socket::connect(&client, "deaf", &deaf.prompt(), show)
        .await
        .unwrap();
    let mut socket = Socket::connect(&client, "other", &other.prompt(), drop)
        .await
        .unwrap();
    client
        .submit(&sampling(&deaf), &deaf, "deaf")
        .await
        .unwrap();
    until("the first picture", || count.load(Ordering::Relaxed) > 0).await;
    double.behave(|it| it.steps = 4);
    client
        .submit(&sampling(&other), &other, "other")
        .await
        .unwrap();
    // The server tells one after the other: who does not read would silence this one.
    heard_to_the_end(&mut socket).await;
    assert_eq!(count.load(Ordering::Relaxed), 600);
    unheard.close().await;
}
