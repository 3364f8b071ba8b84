//! Checks a JSON value against a JSON Schema. Servers ignore parts of a schema, or all of it, without a word; so what they
//! promise is checked here. Only those keywords are known that our schemas use, and any other is a mistake in the schema.

#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use serde_json::{Map, Value};

/// Most mistakes that are told at once.
const MISTAKES_MAX: usize = 8;

/// What is wrong with a value, in sentences that name the place. Nothing if it fits.
pub fn mistakes(value: &Value, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(value, schema, "", &mut found);
    found.truncate(MISTAKES_MAX);
    found
}

fn check(value: &Value, schema: &Value, place: &str, found: &mut Vec<String>) {
    let Some(rules) = schema.as_object() else {
        found.push(format!("{}: its schema is no object", name(place)));
        return;
    };
    let before = found.len();
    for (keyword, rule) in rules {
        if let Some(problem) = problem(value, keyword, rule, rules) {
            found.push(format!("{} {problem}", name(place)));
        }
    }
    // Of a value with the wrong type, nothing inside matters.
    if found.len() > before {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                if let Some(schema) = rules.get("properties").and_then(|all| all.get(key)) {
                    check(field, schema, &format!("{place}.{key}"), found);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = rules.get("items") {
                for (number, item) in items.iter().enumerate() {
                    check(item, schema, &format!("{place}[{number}]"), found);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn name(place: &str) -> String {
    match place {
        "" => "the answer".to_owned(),
        _ => format!("`{}`", place.trim_start_matches('.')),
    }
}

fn problem(
    value: &Value,
    keyword: &str,
    rule: &Value,
    rules: &Map<String, Value>,
) -> Option<String> {
    let limit = || rule.as_u64().and_then(|limit| usize::try_from(limit).ok());
    match keyword {
        "type" => {
            let expected = rule.as_str().unwrap_or_default();
            (!is_of_type(value, expected)).then(|| format!("is no {expected}"))
        }
        "properties" | "items" | "description" => None,
        "required" => missing(value, rule),
        "additionalProperties" => unknown(value, rules),
        "enum" => {
            let allowed = rule.as_array()?;
            (!allowed.contains(value)).then(|| format!("is none of {rule}"))
        }
        "minLength" => {
            let length = value.as_str()?.trim().chars().count();
            (length < limit()?)
                .then(|| format!("is too short: at least {rule} characters are needed"))
        }
        "maxLength" => {
            let length = value.as_str()?.chars().count();
            (length > limit()?)
                .then(|| format!("is too long: {length} characters, {rule} are allowed"))
        }
        "minItems" => {
            let count = value.as_array()?.len();
            (count < limit()?).then(|| format!("has {count} items; at least {rule} are needed"))
        }
        "maxItems" => {
            let count = value.as_array()?.len();
            (count > limit()?).then(|| format!("has {count} items; at most {rule} are allowed"))
        }
        "minimum" => (value.as_f64()? < rule.as_f64()?).then(|| format!("is less than {rule}")),
        "maximum" => (value.as_f64()? > rule.as_f64()?).then(|| format!("is more than {rule}")),
        _ => Some(format!(
            "has a schema with `{keyword}`, which is not checked"
        )),
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(_) => name == "object",
        Value::Array(_) => name == "array",
        Value::String(_) => name == "string",
        Value::Bool(_) => name == "boolean",
        Value::Null => name == "null",
        Value::Number(number) => {
            name == "number" || (name == "integer" && (number.is_i64() || number.is_u64()))
        }
    }
}

fn missing(value: &Value, required: &Value) -> Option<String> {
    let fields = value.as_object()?;
    let names = required.as_array()?.iter().filter_map(Value::as_str);
    let missing: Vec<&str> = names.filter(|name| !fields.contains_key(*name)).collect();
    (!missing.is_empty()).then(|| format!("lacks {}", missing.join(", ")))
}

/// All our objects are closed, so that the value of `additionalProperties` is always `false`.
fn unknown(value: &Value, rules: &Map<String, Value>) -> Option<String> {
    let known = rules.get("properties")?.as_object()?;
    let unknown: Vec<&str> = value
        .as_object()?
        .keys()
        .filter(|key| !known.contains_key(*key))
        .map(String::as_str)
        .collect();
    (!unknown.is_empty()).then(|| {
        let shown: String = unknown.join(", ").chars().take(80).collect();
        format!("has more than was asked for: {shown}")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["title", "scenes"],
            "properties": {
                "title": {"type": "string", "minLength": 2, "maxLength": 5},
                "count": {"type": "integer", "minimum": 1, "maximum": 9},
                "scenes": {
                    "type": "array", "minItems": 1, "maxItems": 2,
                    "items": {"type": "string", "enum": ["a", "b"]},
                },
            },
        })
    }

    #[test]
    fn what_fits_has_no_mistakes() {
        for good in [
            json!({"title": "Storm", "scenes": ["a", "b"]}),
            json!({"title": "嵐と灯台守", "scenes": ["a"], "count": 9}),
        ] {
            assert_eq!(mistakes(&good, &schema()), Vec::<String>::new());
        }
    }

    #[test]
    fn every_rule_is_checked_and_the_place_is_named() {
        for (bad, expected) in [
            (json!([]), "the answer is no object"),
            (json!({"title": "Storm"}), "the answer lacks scenes"),
            (
                json!({"title": "Storm", "scenes": ["a"], "junk": 1}),
                "the answer has more than was asked for: junk",
            ),
            (
                json!({"title": "Storms", "scenes": ["a"]}),
                "`title` is too long: 6 characters, 5 are allowed",
            ),
            (
                json!({"title": "  x  ", "scenes": ["a"]}),
                "`title` is too short: at least 2 characters are needed",
            ),
            (json!({"title": 1, "scenes": ["a"]}), "`title` is no string"),
            (
                json!({"title": "Storm", "scenes": []}),
                "`scenes` has 0 items; at least 1 are needed",
            ),
            (
                json!({"title": "Storm", "scenes": ["a", "a", "a"]}),
                "`scenes` has 3 items; at most 2 are allowed",
            ),
            (
                json!({"title": "Storm", "scenes": ["a", "c"]}),
                "`scenes[1]` is none of [\"a\",\"b\"]",
            ),
            (
                json!({"title": "Storm", "scenes": ["a"], "count": 0}),
                "`count` is less than 1",
            ),
            (
                json!({"title": "Storm", "scenes": ["a"], "count": 10}),
                "`count` is more than 9",
            ),
            (
                json!({"title": "Storm", "scenes": ["a"], "count": 1.5}),
                "`count` is no integer",
            ),
        ] {
            assert_eq!(mistakes(&bad, &schema()), [expected], "{bad}");
        }
    }

    #[test]
    fn a_keyword_that_is_not_checked_is_a_mistake() {
        let schema = json!({"type": "string", "pattern": "x"});
        assert_eq!(
            mistakes(&json!("x"), &schema),
            ["the answer has a schema with `pattern`, which is not checked"]
        );
    }
}
