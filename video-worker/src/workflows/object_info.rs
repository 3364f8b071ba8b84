//! What a server says that it has: its node classes with their inputs, as `GET /object_info` tells.
//!
//! Read with tolerance: a class or input in a form that is not known here is taken to accept anything, as a server with two
//! hundred packages of nodes has some of these, and a workflow that uses none of them must not be held back.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The node classes of a server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObjectInfo {
    classes: BTreeMap<String, Class>,
}

/// What answers is no list of node classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no list of node classes; is it a ComfyUI server?")]
pub struct InvalidObjectInfo;

/// One node class.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Class {
    pub(super) inputs: BTreeMap<String, Input>,
    /// The types of its outputs.
    pub(super) outputs: Vec<String>,
    /// Whether it writes something, so that a graph can end there.
    pub(super) is_output: bool,
}

/// One input of a class.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Input {
    pub(super) is_required: bool,
    pub(super) accepts: Accepts,
}

/// What an input accepts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Accepts {
    /// One of these.
    Choice(Vec<Value>),
    /// A whole number.
    Int(Bounds),
    /// A number.
    Float(Bounds),
    /// A text.
    Text,
    /// Yes or no.
    Bool,
    /// A link to an output of this type.
    Link(String),
    /// Nobody knows: not checked. It may bring inputs of its own, whose names begin with its name and a dot.
    Anything,
}

/// Smallest and largest value.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bounds {
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
}

impl Bounds {
    /// Whether a value lies between them.
    pub(super) fn hold(self, value: f64) -> bool {
        self.min.is_none_or(|min| min <= value) && self.max.is_none_or(|max| value <= max)
    }
}

impl ObjectInfo {
    /// Reads the answer of `/object_info`.
    ///
    /// # Errors
    /// If it is no object of node classes.
    pub fn parse(answer: &Value) -> Result<Self, InvalidObjectInfo> {
        let classes = answer.as_object().ok_or(InvalidObjectInfo)?;
        // A page that answers `{"error": ...}` to everything is no server without nodes.
        let is_class =
            |value: &Value| value.get("input").is_some() && value.get("output").is_some();
        if !classes.values().any(is_class) {
            return Err(InvalidObjectInfo);
        }
        let class = |(name, value): (&String, &Value)| (name.clone(), Class::read(value));
        Ok(Self {
            classes: classes.iter().map(class).collect(),
        })
    }

    /// How many classes there are.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    pub(super) fn class(&self, name: &str) -> Option<&Class> {
        self.classes.get(name)
    }

    /// The values that an input offers to choose from.
    pub(super) fn choices(&self, class: &str, input: &str) -> Option<&[Value]> {
        match &self.class(class)?.inputs.get(input)?.accepts {
            Accepts::Choice(choices) => Some(choices),
            Accepts::Int(_)
            | Accepts::Float(_)
            | Accepts::Text
            | Accepts::Bool
            | Accepts::Link(_)
            | Accepts::Anything => None,
        }
    }
}

impl Class {
    fn read(value: &Value) -> Self {
        let group = |name: &str| {
            value
                .get("input")
                .and_then(|input| input.get(name))
                .and_then(Value::as_object)
        };
        let inputs_of = |name: &str| {
            let is_required = name == "required";
            let read = move |(name, value): (&String, &Value)| {
                let accepts = Accepts::read(value);
                (
                    name.clone(),
                    Input {
                        is_required,
                        accepts,
                    },
                )
            };
            group(name).into_iter().flatten().map(read)
        };
        let output = value.get("output").and_then(Value::as_array);
        let type_name = |output: &Value| output.as_str().unwrap_or("*").to_owned();
        Self {
            // A name that stands in both is required.
            inputs: inputs_of("optional").chain(inputs_of("required")).collect(),
            outputs: output.into_iter().flatten().map(type_name).collect(),
            is_output: value
                .get("output_node")
                .and_then(Value::as_bool)
                .unwrap_or(false),
        }
    }
}

impl Accepts {
    /// Reads `[TYPE, {options}]`, where TYPE is a name or, in the older form of a choice, the list of values itself.
    fn read(value: &Value) -> Self {
        let none = Map::new();
        let options = value.get(1).and_then(Value::as_object).unwrap_or(&none);
        match value.get(0) {
            Some(Value::Array(choices)) => Self::Choice(choices.clone()),
            Some(Value::String(name)) => match name.as_str() {
                "INT" => Self::Int(Bounds::read(options)),
                "FLOAT" => Self::Float(Bounds::read(options)),
                "STRING" => Self::Text,
                "BOOLEAN" => Self::Bool,
                // Choices that the server looks up elsewhere are not in the list.
                "COMBO" => match options.get("options").and_then(Value::as_array) {
                    Some(choices) => Self::Choice(choices.clone()),
                    None => Self::Anything,
                },
                "*" => Self::Anything,
                name if name.starts_with("COMFY_") => Self::Anything,
                name => Self::Link(name.to_owned()),
            },
            _ => Self::Anything,
        }
    }
}

impl Bounds {
    fn read(options: &Map<String, Value>) -> Self {
        let bound = |name: &str| options.get(name).and_then(Value::as_f64);
        Self {
            min: bound("min"),
            max: bound("max"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn older_and_newer_forms_of_an_input_read_alike() {
        let read = |value: Value| Accepts::read(&value);
        let choice = Accepts::Choice(vec![json!("a"), json!("b")]);
        assert_eq!(read(json!([["a", "b"], {"default": "a"}])), choice);
        assert_eq!(read(json!(["COMBO", {"options": ["a", "b"]}])), choice);
        assert_eq!(read(json!([["a", "b"]])), choice);
        let Accepts::Int(bounds) =
            read(json!(["INT", {"min": 0, "max": 18_446_744_073_709_551_615_u64}]))
        else {
            panic!()
        };
        assert!(bounds.hold(9e15) && !bounds.hold(-1.0));
        assert_eq!(read(json!(["MODEL"])), Accepts::Link("MODEL".to_owned()));
        for odd in [
            json!(["COMFY_DYNAMICCOMBO_V3", {"options": []}]),
            json!(["COMBO", {}]),
            json!(["*"]),
            json!({}),
            json!(null),
        ] {
            assert_eq!(read(odd.clone()), Accepts::Anything, "{odd}");
        }
    }

    #[test]
    fn what_is_no_list_of_classes_is_refused() {
        for wrong in [
            json!([]),
            json!({}),
            json!({"error": "not found"}),
            json!("x"),
            json!(null),
        ] {
            assert_eq!(ObjectInfo::parse(&wrong), Err(InvalidObjectInfo), "{wrong}");
        }
        let one = json!({"X": {"input": {"required": {}}, "output": []}, "Odd": 3});
        assert_eq!(ObjectInfo::parse(&one).map(|info| info.len()), Ok(2));
    }
}
