//! The double says what the two real servers were recorded to say.
//!
//! `recorded/` holds facts of those recordings in our own short form: which messages came in which order, and what was answered
//! to which request. Each is played against the double of that version and compared.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::time::Duration;

use comfyui_double::{Behaviour, Double, Fate, Flavour, Shows};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const RECORDED: &str = include_str!("recorded/facts.json");

fn facts(name: &str) -> Value {
    let mut all: Value = serde_json::from_str(RECORDED).unwrap();
    all[name].take()
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn post(double: &Double, path: &str, body: &Value) -> (u16, Value) {
    // A text is sent as it is: it stands for JSON that is none.
    let body = match body {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let request = http().post(format!("{}/{path}", double.url())).body(body);
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (status, body)
}

/// Whether everything that was recorded is there: what it says beyond that does not matter.
fn holds(seen: &Value, recorded: &Value) -> bool {
    match (seen, recorded) {
        (Value::Object(seen), Value::Object(recorded)) => recorded
            .iter()
            .all(|(key, value)| seen.get(key).is_some_and(|seen| holds(seen, value))),
        (Value::Array(seen), Value::Array(recorded)) => {
            seen.len() == recorded.len()
                && seen
                    .iter()
                    .zip(recorded)
                    .all(|(seen, value)| holds(seen, value))
        }
        _ => seen == recorded,
    }
}

fn both() -> [(Flavour, &'static str); 2] {
    [(Flavour::Old, "0.3.64"), (Flavour::New, "0.33.0")]
}

#[tokio::test]
async fn prompts_are_answered_as_recorded() {
    for (flavour, version) in both() {
        for case in facts("answers").as_array().unwrap() {
            let double = Double::start(flavour);
            let recorded = case.get(version).unwrap_or(&case["both"]);
            double.behave(|it| {
                it.absent.insert("WanVideoSampler".to_owned());
            });
            let (status, body) = post(&double, "prompt", &case["request"]).await;
            let told = format!("{version} {}: {status} {body}", case["name"]);
            assert_eq!(json!(status), recorded["status"], "{told}");
            assert!(holds(&body, &recorded["body"]), "{told}");
        }
    }
}

/// One word for each message: its type, and its node and steps where it has them.
fn word(message: &Value) -> String {
    let (kind, data) = (message["type"].as_str().unwrap(), &message["data"]);
    match kind {
        "executing" => format!("executing {}", data["node"].as_str().unwrap_or("null")),
        "executed" => format!("executed {}", data["node"].as_str().unwrap()),
        "progress" => format!(
            "progress {} {}/{}",
            data["node"].as_str().unwrap(),
            data["value"],
            data["max"]
        ),
        "progress_state" => {
            let nodes = data["nodes"].as_object().unwrap();
            let part = |(id, node): (&String, &Value)| {
                let letter = &node["state"].as_str().unwrap()[..1];
                format!("{id}={letter}{}/{}", node["value"], node["max"])
            };
            // Servers keep the order in which nodes ran; JSON of ours may not.
            let mut parts: Vec<_> = nodes.iter().map(part).collect();
            parts.sort();
            format!("state {}", parts.join(" "))
        }
        other => other.to_owned(),
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connected(double: &Double, client: &str) -> Socket {
    let url = double.url().replacen("http", "ws", 1);
    let url = format!("{url}/ws?clientId={client}");
    tokio_tungstenite::connect_async(url).await.unwrap().0
}

/// One word for a frame with a picture: its sort, what it is said to be, and of which node it is or how it begins.
fn picture(frame: &[u8]) -> String {
    let number = |at: usize| u32::from_be_bytes(*frame[at..].first_chunk().unwrap());
    match number(0) {
        4 => {
            let length = usize::try_from(number(4)).unwrap();
            let text: Value = serde_json::from_slice(&frame[8..8 + length]).unwrap();
            assert!(frame[8 + length..].starts_with(b"\xff\xd8\xff\xe0"));
            let word = |key: &str| text[key].as_str().unwrap().to_owned();
            format!("picture 4 {} {}", word("image_type"), word("node_id"))
        }
        sort => {
            let begin = frame[8..16].iter().map(|byte| format!("{byte:02x}"));
            let begin: String = begin.collect();
            format!("picture {sort} {} {begin}", number(4))
        }
    }
}

/// Sends a graph with a socket open, and hears everything until its last message.
async fn heard(double: &Double, graph: &Value, id: &str) -> Vec<String> {
    let mut socket = connected(double, "recorded").await;
    heard_over(
        &mut socket,
        double,
        &json!({"prompt": graph, "prompt_id": id, "client_id": "recorded"}),
    )
    .await
}

async fn heard_over(socket: &mut Socket, double: &Double, body: &Value) -> Vec<String> {
    assert_eq!(post(double, "prompt", body).await.0, 200);
    let mut words = Vec::new();
    while words.last().is_none_or(|word| word != "executing null") {
        let next = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
        let next = next
            .unwrap_or_else(|_| panic!("no more after {words:?}"))
            .unwrap()
            .unwrap();
        match next {
            Message::Text(text) => words.push(word(&serde_json::from_str(&text).unwrap())),
            Message::Binary(frame) => words.push(picture(&frame)),
            _ => {}
        }
    }
    words
}

#[tokio::test]
async fn pictures_are_shown_as_recorded() {
    for case in facts("previews").as_array().unwrap() {
        let mut versions = both().into_iter();
        let (flavour, _) = versions.find(|(_, name)| case["version"] == *name).unwrap();
        let double = Double::start(flavour);
        let mut socket = connected(&double, "recorded").await;
        if case["flags"] == true {
            let flags =
                json!({"type": "feature_flags", "data": {"supports_preview_metadata": true}});
            let flags = Message::Text(flags.to_string().into());
            socket.send(flags).await.unwrap();
            // The greeting, and the server's flags.
            let answers = [socket.next().await, socket.next().await];
            let [_, Some(Ok(Message::Text(flags)))] = answers else {
                panic!("{answers:?}")
            };
            assert!(flags.contains("supports_preview_metadata"), "{flags}");
        }
        let graph = json!({
            "sampler": {"class_type": "KSamplerStandIn", "inputs": {"seed": 1}},
            "save": {"class_type": "SaveVideo", "inputs": {"video": ["sampler", 0], "filename_prefix": "p", "format": "auto", "codec": "auto"}},
        });
        let mut body =
            json!({"prompt": graph, "prompt_id": FIRST, "client_id": "recorded", "extra_data": {}});
        if let Some(method) = case["method"].as_str() {
            body["extra_data"]["preview_method"] = json!(method);
        }
        let words = heard_over(&mut socket, &double, &body).await;
        let step: Vec<&str> = case["step"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let from = words.iter().position(|word| word == step[0]);
        let from = from.unwrap_or_else(|| panic!("{case}: {words:#?}"));
        assert_eq!(&words[from..from + step.len()], step, "{case}");
        let shown = words.iter().filter(|word| word.starts_with("picture"));
        assert_eq!(json!(shown.count()), case["pictures"], "{case}");
    }
}

#[tokio::test]
async fn of_a_prompt_without_a_client_all_see_the_pictures_and_no_end() {
    let double = Double::start(Flavour::New);
    let mut watcher = connected(&double, "watcher").await;
    let graph = facts("messages")["graph"].take();
    let body = json!({"prompt": graph, "extra_data": {"preview_method": "auto"}});
    assert_eq!(post(&double, "prompt", &body).await.0, 200);
    let (mut pictures, mut statuses) = (0, 0);
    // At the greeting, when it is put, when it is taken, when it has ended.
    while statuses < 4 {
        let next = tokio::time::timeout(Duration::from_secs(10), watcher.next()).await;
        match next.unwrap().unwrap().unwrap() {
            Message::Text(text) => match &*word(&serde_json::from_str(&text).unwrap()) {
                "status" => statuses += 1,
                other => assert!(
                    other.starts_with("progress") || other.starts_with("state"),
                    "{other}"
                ),
            },
            Message::Binary(frame) => {
                assert!(picture(&frame).starts_with("picture 1 1 "));
                pictures += 1;
            }
            _ => {}
        }
    }
    assert_eq!(pictures, 4);
}

#[tokio::test]
async fn a_client_that_does_not_read_silences_all_others_until_it_is_gone() {
    let double = Double::start(Flavour::New);
    double.behave(|it| {
        // More than any buffer between the two holds.
        it.shows = Shows::Huge(4 << 20);
        it.steps = 10;
        it.step = Duration::ZERO;
    });
    let stuck = connected(&double, "stuck").await;
    let mut other = connected(&double, "other").await;
    let graph = facts("messages")["graph"].take();
    let body = json!({"prompt": graph, "prompt_id": FIRST, "client_id": "stuck", "extra_data": {"preview_method": "auto"}});
    assert_eq!(post(&double, "prompt", &body).await.0, 200);
    let ended = async {
        while history(&double, FIRST).await.is_null() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .expect("the job does not care");
    let mut statuses = 0;
    let mut count = async |wait: Duration| {
        while let Ok(Some(Ok(_))) = tokio::time::timeout(wait, other.next()).await {
            statuses += 1;
        }
        statuses
    };
    // The greeting, when it was put, when it was taken. Of its end, nothing.
    assert_eq!(count(Duration::from_millis(500)).await, 3);
    drop(stuck);
    assert_eq!(count(Duration::from_secs(2)).await, 4);
}

fn is_like(seen: &[String], recorded: &Value) -> bool {
    let recorded: Vec<_> = recorded
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect();
    let sorted = |word: &str| match word.strip_prefix("state ") {
        Some(nodes) => {
            let mut nodes: Vec<_> = nodes.split(' ').collect();
            nodes.sort_unstable();
            format!("state {}", nodes.join(" "))
        }
        None => word.to_owned(),
    };
    seen.iter().map(String::as_str).eq(recorded
        .iter()
        .map(|word| sorted(word))
        .collect::<Vec<_>>()
        .iter()
        .map(String::as_str))
}

const FIRST: &str = "7265ea7d-7349-48d9-9202-c15336c8143a";
const SECOND: &str = "85bf4f15-d8d9-4620-b46c-d5552f3f6780";

#[tokio::test]
async fn messages_come_in_the_recorded_order_fresh_cached_and_interrupted() {
    for (flavour, version) in both() {
        let double = Double::start(flavour);
        let messages = facts("messages");
        let graph = &messages["graph"];
        let fresh = heard(&double, graph, FIRST).await;
        assert!(is_like(&fresh, &messages["fresh"]), "{version}: {fresh:#?}");
        let cached = heard(&double, graph, SECOND).await;
        assert!(
            is_like(&cached, &messages["cached"]),
            "{version}: {cached:#?}"
        );
        let entry = history(&double, SECOND).await;
        let name = &entry["outputs"]["save"]["images"][0]["filename"];
        assert_eq!(name, "clip_00001_.mp4", "{entry}");
        assert_eq!(entry["outputs"]["save"]["animated"], json!([true]));
    }
}

async fn history(double: &Double, id: &str) -> Value {
    let url = format!("{}/history/{id}", double.url());
    let text = http().get(url).send().await.unwrap().text().await.unwrap();
    let mut all: Value = serde_json::from_str(&text).unwrap();
    all[id].take()
}

#[tokio::test]
async fn lies_errors_and_interrupts_leave_the_recorded_history() {
    for (flavour, version) in both() {
        for case in facts("histories").as_array().unwrap() {
            let double = Double::start(flavour);
            let messages = facts("messages");
            let fate = match case["fate"].as_str().unwrap() {
                "lies after a success" => Fate::Lies,
                "fails" => Fate::Fails {
                    exception: "RuntimeError".to_owned(),
                    message: "no".to_owned(),
                },
                _ => Fate::StallsAt(1),
            };
            let is_interrupted = matches!(fate, Fate::StallsAt(_));
            let act = |it: &mut Behaviour| it.fates.extend([Fate::Well, fate.clone()]);
            double.behave(act);
            heard(&double, &messages["graph"], FIRST).await;
            let mut other = messages["graph"].clone();
            other["sampler"]["inputs"]["seed"] = json!(99);
            let stop = async {
                if !is_interrupted {
                    return;
                }
                loop {
                    let queue = http()
                        .get(format!("{}/queue", double.url()))
                        .send()
                        .await
                        .unwrap();
                    let queue: Value = queue.json().await.unwrap();
                    if queue["queue_running"][0][1] == SECOND {
                        break;
                    }
                }
                let told = post(&double, "interrupt", &json!({"prompt_id": SECOND})).await;
                assert_eq!(told, (200, json!("")));
            };
            tokio::join!(heard(&double, &other, SECOND), stop);
            let entry = history(&double, SECOND).await;
            let names = entry["status"]["messages"].as_array().unwrap().iter();
            let names: Vec<_> = names.map(|message| message[0].clone()).collect();
            let seen = json!({"status_str": entry["status"]["status_str"], "completed": entry["status"]["completed"], "messages": names, "outputs": entry["outputs"]});
            assert!(holds(&seen, &case["history"]), "{version}: {seen}");
        }
    }
}

#[tokio::test]
async fn of_two_sockets_with_one_id_the_older_falls_silent_and_takes_the_newer_with_it() {
    let double = Double::start(Flavour::New);
    let url = format!(
        "{}/ws?clientId=same",
        double.url().replacen("http", "ws", 1)
    );
    let connect = async || {
        let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
        // The greeting.
        socket.next().await.unwrap().unwrap();
        socket
    };
    let older = connect().await;
    let mut newer = connect().await;
    drop(older);
    let silent = async {
        loop {
            let messages = facts("messages");
            let body = json!({"prompt": messages["graph"], "client_id": "same"});
            post(&double, "prompt", &body).await;
            let word = tokio::time::timeout(Duration::from_millis(300), newer.next()).await;
            if word.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), silent)
        .await
        .unwrap();
}

#[tokio::test]
async fn uploads_are_named_as_recorded() {
    let double = Double::start(Flavour::New);
    let upload = async |content: &str, overwrite: &str| {
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"overwrite\"\r\n\r\n{overwrite}\r\n--b\r\nContent-Disposition: form-data; \
             name=\"image\"; filename=\"u1.png\"\r\n\r\n{content}\r\n--b--\r\n"
        );
        let request = http().post(format!("{}/upload/image", double.url()));
        let request = request
            .header("Content-Type", "multipart/form-data; boundary=b")
            .body(form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(upload("a", "").await, "u1.png");
    assert_eq!(upload("a", "").await, "u1.png");
    assert_eq!(upload("b", "").await, "u1 (1).png");
    assert_eq!(upload("b", "true").await, "u1.png");
    // Python's spelling is not understood.
    assert_eq!(upload("c", "True").await, "u1 (2).png");
}
