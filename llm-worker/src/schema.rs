//! What an answer must look like: written as JSON Schema for the server, and checked here all the same. Servers ignore parts
//! of a schema, or all of it, without a word.
//!
//! There is no more of JSON Schema here than every server keeps: closed objects with all fields needed, lists and texts with
//! limits, choices. The order of fields is kept, as models write them in that order.

#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

/// Most mistakes that are told at once.
const MISTAKES_MAX: usize = 8;

/// What a value must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// A text of so many characters.
    Text {
        /// Fewest.
        least: usize,
        /// Most; below 2,000, as servers drop a limit above that.
        most: usize,
    },
    /// One of these texts.
    Choice(Vec<String>),
    /// A list.
    List {
        /// What its items look like.
        items: Box<Schema>,
        /// Fewest items.
        least: usize,
        /// Most items.
        most: usize,
    },
    /// An object with exactly these fields.
    Object(Vec<(&'static str, Schema)>),
}

impl Schema {
    /// A text with a limit, of at least two characters.
    pub const fn text(most: usize) -> Self {
        Self::Text { least: 2, most }
    }

    /// A list.
    pub fn list(least: usize, most: usize, items: Self) -> Self {
        Self::List {
            items: Box::new(items),
            least,
            most,
        }
    }

    /// What is wrong with a value, in sentences that name the place. Nothing if it fits.
    pub fn mistakes(&self, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.check(value, "", &mut found);
        found.truncate(MISTAKES_MAX);
        found
    }

    /// The longest JSON that fits, in characters.
    pub fn longest(&self) -> usize {
        match self {
            Self::Text { most, .. } => most + 4,
            Self::Choice(choices) => {
                let lengths = choices.iter().map(|choice| choice.chars().count());
                lengths.max().unwrap_or(0) + 4
            }
            Self::List { items, most, .. } => most * items.longest() + 4,
            Self::Object(fields) => {
                let lengths = fields
                    .iter()
                    .map(|(name, field)| name.len() + 6 + field.longest());
                lengths.sum::<usize>() + 4
            }
        }
    }

    fn check(&self, value: &Value, place: &str, found: &mut Vec<String>) {
        match self {
            Self::Text { least, most } => found.extend(text(value, *least, *most).map(at(place))),
            Self::Choice(choices) => {
                let is_one = value
                    .as_str()
                    .is_some_and(|text| choices.iter().any(|choice| choice == text));
                if !is_one {
                    let problem = format!("is none of: {}", choices.join(", "));
                    found.push(at(place)(problem));
                }
            }
            Self::List { items, least, most } => match value.as_array() {
                None => found.push(at(place)("is no list".to_owned())),
                Some(list) => {
                    if !(*least..=*most).contains(&list.len()) {
                        let problem = format!(
                            "has {} items; {} are needed",
                            list.len(),
                            range(*least, *most)
                        );
                        found.push(at(place)(problem));
                    }
                    // One more than allowed is as telling as a thousand.
                    for (number, item) in list.iter().take(*most).enumerate() {
                        items.check(item, &format!("{place}[{number}]"), found);
                    }
                }
            },
            Self::Object(fields) => object(value, fields, place, found),
        }
    }
}

fn range(least: usize, most: usize) -> String {
    match least == most {
        true => format!("exactly {most}"),
        false => format!("{least} to {most}"),
    }
}

/// Says a problem of the value at that place.
fn at(place: &str) -> impl Fn(String) -> String {
    let name = match place {
        "" => "the answer".to_owned(),
        _ => format!("`{}`", place.trim_start_matches('.')),
    };
    move |problem| format!("{name} {problem}")
}

fn text(value: &Value, least: usize, most: usize) -> Option<String> {
    let Some(text) = value.as_str() else {
        return Some("is no text".to_owned());
    };
    let length = text.trim().chars().count();
    let range = range(least, most);
    (!(least..=most).contains(&length))
        .then(|| format!("has {length} characters; {range} are needed"))
}

fn object(value: &Value, fields: &[(&'static str, Schema)], place: &str, found: &mut Vec<String>) {
    let Some(object) = value.as_object() else {
        found.push(at(place)("is no object".to_owned()));
        return;
    };
    for (name, schema) in fields {
        match object.get(*name) {
            None => found.push(at(place)(format!("lacks `{name}`"))),
            Some(field) => schema.check(field, &format!("{place}.{name}"), found),
        }
    }
    let unknown = |key: &&String| !fields.iter().any(|(name, _)| name == key);
    if let Some(key) = object.keys().find(unknown) {
        let key: String = key.chars().take(40).collect();
        found.push(at(place)(format!("has `{key}`, which was not asked for")));
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Text { least, most } => {
                map.serialize_entry("type", "string")?;
                map.serialize_entry("minLength", least)?;
                map.serialize_entry("maxLength", most)?;
            }
            Self::Choice(choices) => {
                map.serialize_entry("type", "string")?;
                map.serialize_entry("enum", choices)?;
            }
            Self::List { items, least, most } => {
                map.serialize_entry("type", "array")?;
                map.serialize_entry("items", items)?;
                map.serialize_entry("minItems", least)?;
                map.serialize_entry("maxItems", most)?;
            }
            Self::Object(fields) => {
                let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                map.serialize_entry("type", "object")?;
                map.serialize_entry("properties", &Properties(fields))?;
                map.serialize_entry("required", &required)?;
                map.serialize_entry("additionalProperties", &false)?;
            }
        }
        map.end()
    }
}

struct Properties<'a>(&'a [(&'static str, Schema)]);

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, schema)| (name, schema)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        let choice = Schema::Choice(vec!["a".to_owned(), "b".to_owned()]);
        Schema::Object(vec![
            ("title", Schema::text(5)),
            ("scenes", Schema::list(1, 2, choice)),
            (
                "end",
                Schema::list(1, 1, Schema::Object(vec![("x", Schema::text(9))])),
            ),
        ])
    }

    #[test]
    fn it_is_written_as_json_schema_with_the_fields_in_their_order() {
        assert_eq!(
            serde_json::to_string(&Schema::Object(vec![
                ("z", Schema::text(5)),
                (
                    "a",
                    Schema::list(1, 2, Schema::Choice(vec!["b".to_owned()]))
                ),
            ]))
            .unwrap(),
            r#"{"type":"object","properties":{"z":{"type":"string","minLength":2,"maxLength":5},"a":{"type":"array","items":{"type":"string","enum":["b"]},"minItems":1,"maxItems":2}},"required":["z","a"],"additionalProperties":false}"#
        );
    }

    #[test]
    fn what_fits_has_no_mistakes_and_is_no_longer_than_told() {
        for good in [
            json!({"title": "Storm", "scenes": ["a", "b"], "end": [{"x": "123456789"}]}),
            json!({"title": "嵐と灯台守", "scenes": ["a"], "end": [{"x": "12"}]}),
        ] {
            assert_eq!(schema().mistakes(&good), Vec::<String>::new());
            assert!(good.to_string().chars().count() <= schema().longest());
        }
    }

    #[test]
    fn every_rule_is_checked_and_the_place_is_named() {
        for (change, expected) in [
            (
                json!({"title": "Storms"}),
                "`title` has 6 characters; 2 to 5 are needed",
            ),
            (
                json!({"title": "  x  "}),
                "`title` has 1 characters; 2 to 5 are needed",
            ),
            (json!({"title": 1}), "`title` is no text"),
            (
                json!({"scenes": []}),
                "`scenes` has 0 items; 1 to 2 are needed",
            ),
            (
                json!({"scenes": ["a", "a", "c"]}),
                "`scenes` has 3 items; 1 to 2 are needed",
            ),
            (
                json!({"scenes": ["a", "c"]}),
                "`scenes[1]` is none of: a, b",
            ),
            (json!({"scenes": "a"}), "`scenes` is no list"),
            (json!({"end": [{}]}), "`end[0]` lacks `x`"),
            (json!({"end": [1]}), "`end[0]` is no object"),
            (
                json!({"end": []}),
                "`end` has 0 items; exactly 1 are needed",
            ),
            (
                json!({"junk": 1}),
                "the answer has `junk`, which was not asked for",
            ),
        ] {
            let mut value = json!({"title": "Storm", "scenes": ["a"], "end": [{"x": "yes"}]});
            for (key, field) in change.as_object().unwrap() {
                value[key] = field.clone();
            }
            assert_eq!(schema().mistakes(&value), [expected], "{value}");
        }
        assert_eq!(schema().mistakes(&json!([])), ["the answer is no object"]);
        assert_eq!(schema().mistakes(&json!({})).len(), 3);
    }
}
