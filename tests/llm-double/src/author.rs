//! A model that needs no model: fills any schema with words that differ from each other.

use serde_json::{Map, Value};

/// A value that fits that JSON Schema. `number` is counted up, so that no two texts are the same.
pub(crate) fn write(schema: &Value, number: &mut u64) -> Value {
    if let Some(choices) = schema["enum"].as_array() {
        return choices.first().cloned().unwrap_or_default();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let fields = schema["properties"].as_object();
            let written = fields.into_iter().flatten();
            let written = written.map(|(name, field)| (name.clone(), write(field, number)));
            Value::Object(written.collect::<Map<_, _>>())
        }
        Some("array") => {
            let least = schema["minItems"].as_u64().unwrap_or(1).max(1);
            (0..least)
                .map(|_| write(&schema["items"], number))
                .collect()
        }
        _ => {
            *number += 1;
            Value::String(format!("The keeper's word {number}"))
        }
    }
}
