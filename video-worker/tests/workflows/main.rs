//! `docs/workflows.md` tells every key of a manifest in the words of the code, and its examples can be read. `cargo xtask docs`,
//! or `UPDATE_DOCS=1 cargo test -p video-worker --test workflows`, writes the keys anew.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::schema_for;
use serde_json::Value;
use video_worker::workflows::{Manifest, Workflow, shipped_files};

const BEGIN: &str = "<!-- From here on it is written by `cargo xtask docs`. -->\n";
/// The sections in the order in which they are told; what is none of them stands outside of all.
const SECTIONS: [&str; 10] = [
    "inputs", "output", "size", "clip", "draft", "final", "memory", "limits", "models", "nodes",
];

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/workflows.md")
}

/// The keys as they stand on the page.
fn keys() -> String {
    let schema = schema_for!(Manifest).to_value();
    let properties = schema["properties"].as_object().unwrap();
    let is_section = |key: &str| SECTIONS.contains(&key);
    let mut text = String::new();

    text.push_str("\n### At the top\n\n");
    let top = properties.iter().filter(|(key, _)| !is_section(key));
    table(&mut text, &schema, &schema, top);
    for section in SECTIONS {
        let property = &properties[section];
        let list = property["type"] == "array";
        let title = if list {
            format!("[[{section}]]")
        } else {
            format!("[{section}]")
        };
        write!(text, "\n### `{title}`\n\n{}\n", description(property)).unwrap();
        let table_of = resolved(&schema, if list { &property["items"] } else { property });
        if let Some(keys) = table_of["properties"].as_object() {
            text.push('\n');
            table(&mut text, &schema, table_of, keys.iter());
        }
    }
    text
}

fn table<'a>(
    text: &mut String,
    root: &Value,
    of: &Value,
    keys: impl Iterator<Item = (&'a String, &'a Value)>,
) {
    let required: Vec<_> = of["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    text.push_str("| Key | Holds | Needed | Means |\n|---|---|---|---|\n");
    for (key, property) in keys {
        let needed = if required.contains(&key.as_str()) {
            "yes"
        } else {
            ""
        };
        writeln!(
            text,
            "| `{key}` | {} | {needed} | {} |",
            holds(root, property),
            description(property)
        )
        .unwrap();
    }
}

fn description(property: &Value) -> String {
    property["description"]
        .as_str()
        .unwrap_or_else(|| panic!("no description: {property}"))
        .replace('\n', " ")
}

/// What a reference leads to; absent values are `anyOf` with null.
fn resolved<'a>(root: &'a Value, property: &'a Value) -> &'a Value {
    let one = property["anyOf"]
        .as_array()
        .and_then(|either| either.first());
    let property = one.unwrap_or(property);
    match property["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => property,
    }
}

fn holds(root: &Value, property: &Value) -> &'static str {
    let found = resolved(root, property);
    let is = |name: &str| match &found["type"] {
        Value::String(one) => one == name,
        Value::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    };
    match () {
        () if is("string") && is("array") => "input, or a list",
        () if is("integer") => "number",
        () if is("object") => "table",
        // A choice of words, or any text.
        () if is("string") || found["oneOf"].is_array() => "text",
        () => panic!("what is {found}?"),
    }
}

#[test]
fn the_page_tells_every_key_in_the_words_of_the_code() {
    let told = fs::read_to_string(page()).unwrap();
    let (before, _) = told
        .split_once(BEGIN)
        .expect("the page says where its written part begins");
    let expected = format!("{before}{BEGIN}{}", keys());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(page(), expected).unwrap();
        return;
    }
    assert!(
        told == expected,
        "docs/workflows.md is not as the code says; run `cargo xtask docs`"
    );
}

#[test]
fn the_example_on_the_page_is_a_workflow() {
    let told = fs::read_to_string(page()).unwrap();
    let example = |language: &str| {
        let (_, rest) = told.split_once(&format!("```{language}\n")).unwrap();
        rest.split("```").next().unwrap().to_owned()
    };
    let workflow = Workflow::parse("hold", &example("json"), &example("toml"))
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(workflow.manifest().models.is_empty());
    // What it tells of a checkpoint of one's own is a change of the one that is shipped.
    assert!(shipped_files("sdxl-1.0").is_some());
}
