//! `docs/openapi.json` says what the API is. `UPDATE_DOCS=1 cargo test -p coordinator --test openapi` writes it anew.

use std::collections::BTreeSet;
use std::path::Path;

use coordinator::api::openapi::document;
use serde_json::Value;

#[test]
fn the_document_in_docs_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let made = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path)
        .unwrap_or_default()
        .replace("\r\n", "\n");
    let difference = made
        .lines()
        .zip(kept.lines())
        .find(|(made, kept)| made != kept);
    assert!(
        made == kept,
        "docs/openapi.json is out of date at {difference:?}; write it anew with UPDATE_DOCS=1"
    );
}

#[test]
fn every_schema_that_is_spoken_of_is_there_and_none_is_there_for_nothing() {
    let document = document();
    let mut spoken_of = BTreeSet::new();
    collect_references(&document, &mut spoken_of);
    let there: BTreeSet<String> = document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
        .map(|name| format!("#/components/schemas/{name}"))
        .collect();
    assert_eq!(spoken_of, there);
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values()
                .for_each(|inner| collect_references(inner, found));
        }
        Value::Array(list) => list
            .iter()
            .for_each(|inner| collect_references(inner, found)),
        _ => {}
    }
}

#[test]
fn every_operation_says_what_it_answers_and_that_errors_are_problems() {
    let document = document();
    let mut names = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert!(
                operation["summary"].is_string(),
                "{method} {path} has no summary"
            );
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{method} {path} never succeeds"
            );
            let problem =
                &responses["default"]["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(problem, "#/components/schemas/Problem", "{method} {path}");
            for part in path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            {
                let parameters = operation["parameters"].as_array().unwrap();
                let described = parameters
                    .iter()
                    .any(|known| known["name"] == part && known["in"] == "path");
                assert!(described, "{method} {path} does not describe {part}");
            }
        }
    }
}
