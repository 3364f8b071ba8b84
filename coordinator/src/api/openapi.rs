//! The OpenAPI document. Paths come from the handlers' attributes; schemas come from the types' own JSON Schemas, which
//! OpenAPI 3.1 takes as they are; and every answer that is an error is a problem.

use std::sync::LazyLock;

use axum::http::{Method, header};
use axum::response::IntoResponse;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use shared::api::{
    FilmEvent, FilmList, FilmView, JobExplanation, JobView, Manifest, Problem, SubmitAnswer,
    WorkerList, WorkerView,
};
use shared::film::FilmRequest;
use utoipa::OpenApi;

use super::guard::COOKIE;
use super::roles::{self, Needs};
use super::{artifacts, events, files, films, health, jobs, metrics, previews, session, workers};
use crate::access::Role;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Callsheet",
        description = "Submit films, watch them being made, fetch them, and look after the workers that make them.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "films", description = "What was asked for and what becomes of it"),
        (name = "files", description = "What there is to see"),
        (name = "jobs", description = "The units of work that a film consists of"),
        (name = "workers", description = "Who does the work"),
        (name = "artifacts", description = "Files by their hash, for workers that share no disk with the coordinator"),
        (name = "access", description = "How the page comes in"),
        (name = "health", description = "Probes and metrics"),
    ),
    paths(
        films::submit_film,
        films::list_films,
        films::show_film,
        films::cancel_film,
        films::retry_film,
        films::delete_film,
        events::watch_film,
        files::get_film_file,
        files::get_manifest,
        files::get_keyframe,
        files::get_clip,
        jobs::show_job,
        jobs::explain_job,
        previews::get_preview,
        jobs::retry_job,
        workers::list_workers,
        workers::pause_worker,
        workers::resume_worker,
        artifacts::get_artifact,
        artifacts::put_artifact,
        session::sign_in,
        session::sign_out,
        health::alive,
        health::ready,
        metrics::show,
    )
)]
struct Paths;

/// The whole document.
pub fn document() -> Value {
    let mut document = serde_json::to_value(Paths::openapi())
        .expect("the document consists of strings, lists and maps");
    document["components"]["schemas"] = schemas();
    document["components"]["securitySchemes"] = security_schemes();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.flat_map(|(path, operations)| {
        let operations = operations.as_object_mut().into_iter().flatten();
        operations.map(move |(method, operation)| (path, method, operation))
    });
    for (path, method, operation) in operations {
        add_problems(&mut operation["responses"]);
        operation["security"] = security(method, path);
        let parameters = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut);
        parameters.into_iter().flatten().for_each(forbid_null);
    }
    document
}

/// How a caller shows who it is, where tokens are asked for.
fn security_schemes() -> Value {
    json!({
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of the coordinator's settings, where it has some. It gives one role: submit, operate (which may what \
                submit may) or worker; the list beside it says which one an operation needs",
        },
        "page": {
            "type": "apiKey",
            "in": "cookie",
            "name": COOKIE,
            "description": "What POST /v1/session answers a browser with, in place of its token",
        },
    })
}

/// What an operation needs, by the table that is also the guard's.
fn security(method: &str, path: &str) -> Value {
    let method = Method::from_bytes(method.to_uppercase().as_bytes());
    match method.ok().and_then(|method| roles::needs(&method, path)) {
        Some(Needs::Role(role @ (Role::Submit | Role::Operate))) => {
            json!([{"token": [role.name()]}, {"page": [role.name()]}])
        }
        Some(Needs::Role(role @ Role::Worker)) => json!([{"token": [role.name()]}]),
        Some(Needs::Nothing) => json!([]),
        None => Value::Null,
    }
}

fn schemas() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    generator.subschema_for::<FilmRequest>();
    generator.subschema_for::<SubmitAnswer>();
    generator.subschema_for::<FilmList>();
    generator.subschema_for::<FilmView>();
    generator.subschema_for::<FilmEvent>();
    generator.subschema_for::<Manifest>();
    generator.subschema_for::<JobView>();
    generator.subschema_for::<JobExplanation>();
    generator.subschema_for::<WorkerList>();
    generator.subschema_for::<WorkerView>();
    generator.subschema_for::<Problem>();
    Value::Object(generator.take_definitions(true))
}

/// Says of every answer that is an error that it is a problem, the unforeseen ones included.
fn add_problems(responses: &mut Value) {
    responses["default"] = json!({"description": "Any other problem"});
    for (status, response) in responses.as_object_mut().into_iter().flatten() {
        if status.starts_with(['4', '5', 'd']) {
            response["content"] = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
        }
    }
}

/// A parameter that may be left out is still never null, though utoipa says so of headers.
fn forbid_null(parameter: &mut Value) {
    let Some(sort) = parameter.pointer_mut("/schema/type") else {
        return;
    };
    if let Some([only, null]) = sort.as_array().map(Vec::as_slice)
        && null == "null"
    {
        *sort = only.clone();
    }
}

/// Answers with the document.
pub(super) async fn show() -> impl IntoResponse {
    static JSON: LazyLock<String> = LazyLock::new(|| document().to_string());
    ([(header::CONTENT_TYPE, "application/json")], JSON.as_str())
}
