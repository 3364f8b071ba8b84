//! `docs/schemas/` and `docs/asyncapi.json` say what travels. `cargo xtask docs`, or `UPDATE_DOCS=1 cargo test -p shared
//! --test schemas`, writes them anew.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::{Schema, schema_for};
use serde_json::{Value, json};
use shared::api::{
    FilmEvent, FilmList, FilmView, JobExplanation, JobView, Manifest, Problem, SubmitAnswer,
    WorkerList,
};
use shared::broker::{Queue, topology};
use shared::film::FilmRequest;
use shared::ids::BootId;
use shared::job::JobKind;
use shared::protocol::{Envelope, ToCoordinator, ToWorker, VERSION, WorkerRef};
use shared::script::Script;

/// Everything that travels, by the name of its schema.
fn schemas() -> [(&'static str, Schema); 13] {
    [
        (
            "to_worker",
            titled("ToWorker", schema_for!(Envelope<ToWorker>)),
        ),
        (
            "to_coordinator",
            titled("ToCoordinator", schema_for!(Envelope<ToCoordinator>)),
        ),
        ("film_request", schema_for!(FilmRequest)),
        ("script", schema_for!(Script)),
        ("submit_answer", schema_for!(SubmitAnswer)),
        ("film_event", schema_for!(FilmEvent)),
        ("film_view", schema_for!(FilmView)),
        ("film_list", schema_for!(FilmList)),
        ("job_view", schema_for!(JobView)),
        ("job_explanation", schema_for!(JobExplanation)),
        ("worker_list", schema_for!(WorkerList)),
        ("manifest", schema_for!(Manifest)),
        ("problem", schema_for!(Problem)),
    ]
}

/// An envelope is called like what is in it.
fn titled(title: &str, mut schema: Schema) -> Schema {
    schema.insert("title".to_owned(), title.into());
    schema
}

/// The queues and what travels in them, as an AsyncAPI document.
fn asyncapi() -> Value {
    let jobs = Queue::Jobs(JobKind::Scene, "profile".parse().unwrap()).name();
    let boot = BootId::from_u128(1);
    let inbox = Queue::Inbox(WorkerRef {
        worker: "worker".parse().unwrap(),
        boot,
    })
    .name();
    let channel = |address: String, is: &str, message: &str, description: &str| {
        let binding = json!({ "is": is, "bindingVersion": "0.3.0" });
        json!({
            "address": address,
            "description": description,
            "messages": { message: { "$ref": format!("#/components/messages/{message}") } },
            "bindings": { "amqp": binding },
        })
    };
    let queue = |queue: Queue, message: &str, description: &str| {
        channel(queue.name(), "queue", message, description)
    };
    let mut channels = json!({
        "jobs": channel(
            jobs.replace("scene", "{kind}").replace(".profile", ".{profile}"), "queue", "to_worker",
            "Attempts of one kind and profile, for whichever worker takes them.",
        ),
        "inbox": channel(
            inbox.replace(".worker.worker.", ".worker.{worker}.").replace(&boot.to_string(), "{boot}"), "queue",
            "to_worker", "Answers and orders for one life of one worker.",
        ),
        "everyone": channel(
            topology::EVERYONE_EXCHANGE.to_owned(), "routingKey", "to_worker",
            "A fanout exchange that leads into every inbox.",
        ),
        "reports": queue(Queue::Reports, "to_coordinator", "Reports of all workers."),
        "parked": queue(Queue::Parked, "unreadable", "Messages that cannot be read, with the reason."),
        "submissions": queue(Queue::Submissions, "film_request", "Films, from any AMQP client."),
        "rejected": queue(
            Queue::RejectedSubmissions, "unreadable", "Submissions that cannot be accepted, with the reason.",
        ),
        "reply": {
            "address": null,
            "description": "The direct reply-to address of a submitter.",
            "messages": { "submit_answer": { "$ref": "#/components/messages/submit_answer" } },
        },
    });
    let kinds: Vec<_> = JobKind::ALL.iter().map(ToString::to_string).collect();
    channels["jobs"]["parameters"] = json!({
        "kind": { "enum": kinds },
        "profile": { "description": "Name of the profile, as animatic." },
    });
    channels["inbox"]["parameters"] = json!({
        "worker": { "description": "Name of the worker." },
        "boot": { "description": "The life of the worker: a UUID." },
    });
    let message = |name: &str| {
        json!({
            "contentType": "application/json",
            "payload": {
                "schemaFormat": "application/schema+json;version=2020-12",
                "schema": { "$ref": format!("schemas/{name}.json") },
            },
        })
    };
    let mut film_request = message("film_request");
    film_request["description"] =
        "The property `message_id` is required: it makes a repeat harmless.".into();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Callsheet",
            "version": VERSION.to_string(),
            "description": "What travels between coordinator, workers and submitters; docs/messages.md tells it in words.",
        },
        "channels": channels,
        "operations": {
            "takeAttempt": { "action": "receive", "channel": { "$ref": "#/channels/jobs" } },
            "hearAnswer": { "action": "receive", "channel": { "$ref": "#/channels/inbox" } },
            "report": { "action": "send", "channel": { "$ref": "#/channels/reports" } },
            "submit": {
                "action": "send",
                "channel": { "$ref": "#/channels/submissions" },
                "reply": {
                    "address": { "location": "$message.header#/replyTo" },
                    "channel": { "$ref": "#/channels/reply" },
                },
            },
        },
        "components": {
            "messages": {
                "to_worker": message("to_worker"),
                "to_coordinator": message("to_coordinator"),
                "film_request": film_request,
                "submit_answer": message("submit_answer"),
                "unreadable": {
                    "description": "Bytes as they came; the header `x-callsheet-reason` says why they are here.",
                    "payload": {},
                },
            },
        },
    })
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Holds a file equal to a value, or writes it when asked to.
fn hold(file: &str, value: &Value) {
    let path = docs().join(file);
    // Compared as values: the order of keys depends on features that other crates turn on.
    let text = fs::read(&path).unwrap_or_default();
    if serde_json::from_slice::<Value>(&text).is_ok_and(|written| written == *value) {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_DOCS").is_some(),
        "docs/{file} is not what the types say; run `cargo xtask docs`"
    );
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, serde_json::to_string_pretty(value).unwrap() + "\n").unwrap();
}

#[test]
fn the_schemas_in_the_documentation_are_those_of_the_types() {
    let schemas = schemas();
    for (name, schema) in &schemas {
        hold(&format!("schemas/{name}.json"), schema.as_value());
    }
    let files: BTreeSet<String> = fs::read_dir(docs().join("schemas"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = schemas.iter().map(|(name, _)| format!("{name}.json"));
    assert_eq!(
        files,
        expected.collect(),
        "a file in docs/schemas belongs to no schema"
    );
}

#[test]
fn the_asyncapi_document_names_the_queues_that_there_are() {
    let document = asyncapi();
    assert_eq!(
        document["channels"]["jobs"]["address"],
        "callsheet.job.{kind}.{profile}"
    );
    assert_eq!(
        document["channels"]["inbox"]["address"],
        "callsheet.worker.{worker}.{boot}"
    );
    hold("asyncapi.json", &document);
}
