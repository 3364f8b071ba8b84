//! Reads every example in `docs/messages.md`.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::path::Path;

use serde_json::Value;
use shared::api::SubmitAnswer;
use shared::film::FilmRequest;
use shared::protocol::{Envelope, ToCoordinator, ToWorker};

/// What an example is, and the same read and written again.
fn read(example: &str) -> (&'static str, Value) {
    let value: Value =
        serde_json::from_str(example).unwrap_or_else(|error| panic!("{error} in {example}"));
    let bytes = example.as_bytes();
    if value.get("type").is_some() {
        if let Ok(message) = Envelope::<ToWorker>::from_json(bytes) {
            return ("to a worker", serde_json::to_value(message).unwrap());
        }
        let message = Envelope::<ToCoordinator>::from_json(bytes)
            .unwrap_or_else(|error| panic!("{error:?} in {example}"));
        return ("to the coordinator", serde_json::to_value(message).unwrap());
    }
    if value.get("premise").is_some() {
        let request = FilmRequest::parse(bytes)
            .unwrap_or_else(|mistakes| panic!("{mistakes:?} in {example}"));
        return ("request", serde_json::to_value(request).unwrap());
    }
    let answer: SubmitAnswer =
        serde_json::from_str(example).unwrap_or_else(|error| panic!("{error} in {example}"));
    ("answer", serde_json::to_value(answer).unwrap())
}

/// Whether everything that `part` says is in `whole` too.
fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part
            .iter()
            .all(|(key, value)| whole.get(key).is_some_and(|other| is_part(value, other))),
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len()
                && part
                    .iter()
                    .zip(whole)
                    .all(|(one, other)| is_part(one, other))
        }
        (one, other) => one == other,
    }
}

#[test]
fn every_example_is_a_message_and_has_no_field_that_is_not_read() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/messages.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut seen = Vec::new();
    for rest in page.split("```json\n").skip(1) {
        let example = rest.split("```").next().unwrap();
        let (what, again) = read(example);
        let example: Value = serde_json::from_str(example).unwrap();
        assert!(
            is_part(&example, &again),
            "{example:#}\nis read as\n{again:#}"
        );
        seen.push(what);
    }
    let expected = [
        "to a worker",
        "to a worker",
        "to the coordinator",
        "to the coordinator",
        "request",
        "answer",
        "answer",
    ];
    assert_eq!(seen, expected);
}
