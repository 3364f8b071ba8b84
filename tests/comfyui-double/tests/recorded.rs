//! The double says what the two real servers were recorded to say.
//!
//! `recorded/` holds facts of those recordings in our own short form: which messages came in which order, and what was answered
//! to which request. Each is played against the double of that version and compared.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::time::Duration;

use comfyui_double::{Behaviour, Double, Fate, Flavour};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

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

/// Sends a graph with a socket open, and hears everything until its last message.
async fn heard(double: &Double, graph: &Value, id: &str) -> Vec<String> {
    let url = double.url().replacen("http", "ws", 1);
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("{url}/ws?clientId=recorded"))
        .await
        .unwrap();
    let body = json!({"prompt": graph, "prompt_id": id, "client_id": "recorded"});
    assert_eq!(post(double, "prompt", &body).await.0, 200);
    let mut words = Vec::new();
    while words.last().is_none_or(|word| word != "executing null") {
        let next = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
        let next = next
            .unwrap_or_else(|_| panic!("no more after {words:?}"))
            .unwrap()
            .unwrap();
        if let Message::Text(text) = next {
            words.push(word(&serde_json::from_str(&text).unwrap()));
        }
    }
    words
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
