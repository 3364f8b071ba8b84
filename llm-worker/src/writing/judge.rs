//! From what a model said to what we can use.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::schema::Schema;

/// Reads an answer.
///
/// # Errors
/// What is wrong with it, in sentences that the model can follow.
pub(super) fn read<T: DeserializeOwned>(text: &str, schema: &Schema) -> Result<T, Vec<String>> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| vec![format!("it is no JSON: {error}")])?;
    let value = tidy(value);
    let mistakes = schema.mistakes(&value);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    serde_json::from_value(value).map_err(|error| vec![error.to_string()])
}

/// Texts in one line and without space around them, where models like to begin.
fn tidy(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(one_line(&text)),
        Value::Array(items) => items.into_iter().map(tidy).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, field)| (name, tidy(field)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

fn one_line(text: &str) -> String {
    let visible: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}
