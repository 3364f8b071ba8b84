//! The routes.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State, WebSocketUpgrade};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::behaviour::{Answers, Content};
use crate::graph::{self, Checked};
use crate::state::{Flavour, Life, Prompt, lock};
use crate::{socket, upload};

type Shared = State<Arc<Life>>;

/// Most of a request's body.
const BODY_MAX: usize = 104_857_600;
/// How much of a large file is sent at a time.
const PIECE: usize = 256 << 10;

pub(crate) fn app(life: Arc<Life>) -> Router {
    let mut routes = Router::new()
        .route("/prompt", get(remaining).post(submit))
        .route("/queue", get(queue).post(change_queue))
        .route("/history", get(all_history))
        .route("/history/{id}", get(history))
        .route("/interrupt", post(interrupt))
        .route("/free", post(free))
        .route("/system_stats", get(stats))
        .route("/object_info", get(all_info))
        .route("/object_info/{class}", get(info))
        .route("/models/{folder}", get(models))
        .route("/upload/image", post(upload_image))
        .route("/view", get(view))
        .route("/ws", get(ws));
    if life.shared.flavour == Flavour::New {
        routes = routes
            .route("/jobs/{id}", get(job))
            .route("/jobs/{id}/cancel", post(cancel_job));
    }
    Router::new()
        .nest("/api", routes.clone())
        .merge(routes)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(Arc::clone(&life), misbehave))
        .with_state(life)
}

async fn misbehave(State(life): Shared, request: Request, next: Next) -> Response {
    let answers = lock(&life.shared.behaviour).answers;
    match answers {
        Answers::Well => next.run(request).await,
        Answers::Broken => trouble(),
        Answers::HalfJson => json_text(r#"{"system": {"os": "lin"#.to_owned()),
        Answers::Page => {
            let kind = [(header::CONTENT_TYPE, "text/html")];
            (kind, "<!doctype html><title>Something else</title>").into_response()
        }
    }
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// What aiohttp says when a handler fails.
fn trouble() -> Response {
    let text = "500 Internal Server Error\n\nServer got itself in trouble";
    (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}

fn is_canonical(id: &str) -> bool {
    Uuid::parse_str(id).is_ok_and(|uuid| uuid.to_string() == id)
}

async fn remaining(State(life): Shared) -> Json<Value> {
    let now = lock(&life.now);
    let count = now.pending.len() + usize::from(now.running.is_some());
    Json(json!({"exec_info": {"queue_remaining": count}}))
}

async fn submit(State(life): Shared, body: Bytes) -> Response {
    let answer = take(&life, &body);
    if answer.status() == StatusCode::BAD_REQUEST {
        lock(&life.shared.disk).refused += 1;
    }
    answer
}

fn take(life: &Life, body: &Bytes) -> Response {
    let flavour = life.shared.flavour;
    let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(body) else {
        return trouble();
    };
    let refuse = |kind: &str, message: &str, details: &str| {
        let error = json!({"type": kind, "message": message, "details": details, "extra_info": {}});
        let body = json!({"error": error, "node_errors": {}});
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    };
    let id = match (body.get("prompt_id"), flavour) {
        (None, _) | (Some(Value::Null), Flavour::New) => Uuid::now_v7().to_string(),
        (Some(Value::Null), Flavour::Old) => "None".to_owned(),
        (Some(Value::String(id)), Flavour::Old) => id.clone(),
        (Some(Value::String(id)), Flavour::New) if is_canonical(id) => id.clone(),
        (Some(other), Flavour::Old) => other.to_string(),
        (Some(_), Flavour::New) => {
            let details = "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the server generate one";
            return refuse(
                "invalid_prompt_id",
                "prompt_id must be a valid UUID",
                details,
            );
        }
    };
    let graph = match body.get("prompt") {
        None => return refuse("no_prompt", "No prompt provided", "No prompt provided"),
        Some(Value::Object(graph)) => graph.clone(),
        Some(_) => return trouble(),
    };
    let mut extra = match body.get("extra_data") {
        None => Map::new(),
        Some(Value::Object(extra)) => extra.clone(),
        Some(_) => return trouble(),
    };
    if let Some(client) = body.get("client_id") {
        extra.insert("client_id".to_owned(), client.clone());
    }
    if flavour == Flavour::New {
        extra.insert("create_time".to_owned(), json!(1_795_417_199_515_u64));
    }
    let behaviour = lock(&life.shared.behaviour).clone();
    let checked = {
        let disk = lock(&life.shared.disk);
        graph::check(&graph, flavour, &behaviour, |name| {
            disk.inputs.contains_key(name)
        })
    };
    let (outputs, node_errors) = match checked {
        Checked::Runs(outputs, errors) => (outputs, errors),
        Checked::Refused(body) => return (StatusCode::BAD_REQUEST, Json(body)).into_response(),
        Checked::Fails => return trouble(),
    };
    let number = {
        let mut now = lock(&life.now);
        let number = match body.get("number") {
            Some(number) => json!(number.as_f64()),
            None => json!(now.next_number),
        };
        now.next_number += 1;
        now.pending.push(Prompt {
            number: number.clone(),
            id: id.clone(),
            graph,
            extra,
            outputs,
        });
        number
    };
    lock(&life.shared.disk).taken.push(id.clone());
    life.tell_status();
    life.wake.notify_waiters();
    let lost = {
        let mut behaviour = lock(&life.shared.behaviour);
        let lost = behaviour.lost_answers > 0;
        behaviour.lost_answers = behaviour.lost_answers.saturating_sub(1);
        lost
    };
    if lost {
        let broken = std::io::Error::other("the connection broke");
        return Body::from_stream(futures::stream::iter([Err::<Bytes, _>(broken)])).into_response();
    }
    Json(json!({"prompt_id": id, "number": number, "node_errors": node_errors})).into_response()
}

async fn queue(State(life): Shared) -> Json<Value> {
    let now = lock(&life.now);
    let running: Vec<_> = now.running.iter().map(|it| it.prompt.tuple()).collect();
    let pending: Vec<_> = now.pending.iter().map(Prompt::tuple).collect();
    Json(json!({"queue_running": running, "queue_pending": pending}))
}

async fn change_queue(State(life): Shared, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return trouble();
    };
    let mut now = lock(&life.now);
    if body["clear"] == true {
        now.pending.clear();
    }
    for id in body["delete"].as_array().into_iter().flatten() {
        now.pending.retain(|prompt| *id != prompt.id);
    }
    drop(now);
    life.tell_status();
    ().into_response()
}

/// The oldest first; of `max_items` the newest, unless `offset` says from where.
async fn all_history(
    State(life): Shared,
    Query(query): Query<HashMap<String, String>>,
) -> Json<Value> {
    let number = |key: &str| query.get(key).and_then(|text| text.parse::<usize>().ok());
    let now = lock(&life.now);
    let most = number("max_items").unwrap_or(usize::MAX);
    let from = number("offset").unwrap_or_else(|| now.ended.len().saturating_sub(most));
    let chosen = now.ended.iter().skip(from).take(most);
    let entries = chosen.filter_map(|id| Some((id.clone(), now.history.get(id)?.clone())));
    Json(Value::Object(entries.collect()))
}

async fn history(State(life): Shared, Path(id): Path<String>) -> Json<Value> {
    let now = lock(&life.now);
    Json(match now.history.get(&id) {
        Some(entry) => json!({id: entry}),
        None => json!({}),
    })
}

fn stop(life: &Life, id: &str) -> bool {
    lock(&life.shared.disk).interrupts += 1;
    let mut now = lock(&life.now);
    let runs = now.running.as_ref().is_some_and(|it| it.prompt.id == id);
    if runs {
        now.interrupted.insert(id.to_owned());
    }
    drop(now);
    life.wake.notify_waiters();
    runs
}

async fn interrupt(State(life): Shared, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let running = lock(&life.now)
        .running
        .as_ref()
        .map(|it| it.prompt.id.clone());
    match (body["prompt_id"].as_str(), running) {
        (Some(id), _) => {
            stop(&life, id);
        }
        // Whatever runs.
        (None, Some(id)) => {
            stop(&life, &id);
        }
        (None, None) => {}
    }
    ().into_response()
}

async fn job(State(life): Shared, Path(id): Path<String>) -> Response {
    let now = lock(&life.now);
    let status = if now.running.as_ref().is_some_and(|it| it.prompt.id == id) {
        "in_progress"
    } else if now.pending.iter().any(|it| it.id == id) {
        "pending"
    } else if let Some(entry) = now.history.get(&id) {
        match entry["status"]["status_str"] == "success" {
            true => "completed",
            false => "failed",
        }
    } else {
        let body = Json(json!({"error": "Job not found"}));
        return (StatusCode::NOT_FOUND, body).into_response();
    };
    Json(json!({"id": id, "status": status})).into_response()
}

async fn cancel_job(State(life): Shared, Path(id): Path<String>) -> Json<Value> {
    let waited = {
        let mut now = lock(&life.now);
        let before = now.pending.len();
        now.pending.retain(|prompt| prompt.id != id);
        now.pending.len() < before
    };
    let ran = stop(&life, &id);
    Json(json!({"cancelled": waited || ran}))
}

async fn free(State(life): Shared, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return trouble();
    };
    lock(&life.shared.disk).frees += 1;
    if body["free_memory"] == true {
        lock(&life.now).cache.clear();
    }
    let mut behaviour = lock(&life.shared.behaviour);
    if behaviour.frees
        && let Some(card) = &mut behaviour.card
    {
        card.held = 0;
    }
    ().into_response()
}

async fn stats(State(life): Shared) -> Json<Value> {
    let (card, arguments) = {
        let behaviour = lock(&life.shared.behaviour);
        (behaviour.card, behaviour.arguments.clone())
    };
    let ram = 25_276_502_016_u64;
    let device = match card {
        Some(card) => json!({
            "name": "cuda:0 Double : native", "type": "cuda", "index": 0, "vram_total": card.total,
            "vram_free": card.total - card.held, "torch_vram_total": card.held, "torch_vram_free": 0,
        }),
        None => json!({
            "name": "cpu", "type": "cpu", "index": null, "vram_total": ram, "vram_free": ram, "torch_vram_total": ram, "torch_vram_free": ram,
        }),
    };
    let os = match life.shared.flavour {
        Flavour::Old => "posix",
        Flavour::New => "linux",
    };
    let version = life.shared.flavour.version();
    Json(json!({
        "system": {"os": os, "ram_total": ram, "ram_free": ram, "comfyui_version": version, "python_version": "3.11.7", "pytorch_version": "2.11.0", "embedded_python": false, "argv": arguments},
        "devices": [device],
    }))
}

async fn info(State(life): Shared, Path(class): Path<String>) -> Json<Value> {
    let behaviour = lock(&life.shared.behaviour);
    Json(match graph::info(&class, &behaviour) {
        Some(info) => json!({class: info}),
        None => json!({}),
    })
}

async fn all_info(State(life): Shared) -> Json<Value> {
    let behaviour = lock(&life.shared.behaviour);
    let all = graph::classes()
        .filter_map(|class| Some((class.to_owned(), graph::info(class, &behaviour)?)));
    Json(Value::Object(all.collect()))
}

async fn models(State(life): Shared, Path(folder): Path<String>) -> Response {
    match lock(&life.shared.behaviour).models.get(&folder) {
        Some(list) => Json(json!(list)).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn upload_image(State(life): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let Some(mut parts) = upload::parts(&body, kind) else {
        return trouble();
    };
    let Some(image) = parts.remove("image") else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let text = |name: &str| parts.get(name).map(upload::Part::text).unwrap_or_default();
    let (folder, overwrite) = (text("subfolder"), text("overwrite"));
    let name = image.file.unwrap_or_default();
    let leaves = |path: &str| path.starts_with('/') || path.split('/').any(|part| part == "..");
    if name.is_empty() || leaves(&folder) || leaves(&name) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let at = |name: &str| match folder.as_str() {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    };
    let mut disk = lock(&life.shared.disk);
    let replaces = matches!(overwrite.as_str(), "true" | "1");
    let is_other = |name: &str| {
        let there = disk.inputs.get(&at(name));
        there.is_some_and(|there| *there != image.content)
    };
    let mut chosen = name.clone();
    let mut number = 1;
    while !replaces && is_other(&chosen) {
        let (stem, ending) = name.rsplit_once('.').unwrap_or((&name, ""));
        chosen = format!("{stem} ({number}).{ending}");
        number += 1;
    }
    disk.inputs.insert(at(&chosen), image.content);
    Json(json!({"name": chosen, "subfolder": folder, "type": "input"})).into_response()
}

async fn view(
    State(life): Shared,
    method: Method,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let text = |key: &str| query.get(key).cloned().unwrap_or_default();
    let (name, folder) = (text("filename"), text("subfolder"));
    if name.is_empty() || name.starts_with('/') || name.contains("..") {
        return StatusCode::BAD_REQUEST.into_response();
    }
    if folder.split('/').any(|part| part == "..") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let found = lock(&life.shared.disk)
        .outputs
        .get(&(folder, name))
        .cloned();
    let Some(content) = found else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, "video/mp4".to_owned()),
        (header::CONTENT_LENGTH, content.size().to_string()),
    ];
    let body = match content {
        _ if method == Method::HEAD => Body::empty(),
        Content::Bytes(bytes) => Body::from(bytes),
        Content::Zeros(size) => {
            let piece = Bytes::from(vec![0; PIECE]);
            let pieces = futures::stream::unfold(size, move |left| {
                let next = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                let piece = piece.slice(..next);
                let left = left - next as u64;
                std::future::ready((next > 0).then_some((Ok::<_, std::io::Error>(piece), left)))
            });
            Body::from_stream(pieces)
        }
    };
    (headers, body).into_response()
}

async fn ws(
    State(life): Shared,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let given = query.get("clientId").filter(|id| !id.is_empty());
    let id = given
        .cloned()
        .unwrap_or_else(|| Uuid::now_v7().simple().to_string());
    upgrade.on_upgrade(move |opened| socket::serve(life, opened, id))
}
