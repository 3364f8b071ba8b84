//! One layer of settings: where it comes from and what it says.

use std::ffi::OsString;

use config::{ConfigError, File, FileFormat, Map, Source, Value, ValueKind};

use crate::film::Mistake;

/// What environment variables that are settings begin with.
const PREFIX: &str = "CALLSHEET__";

/// One layer of settings.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    origin: Origin,
    values: Map<String, Value>,
}

#[derive(Debug, Clone)]
enum Origin {
    Text(String),
    Environment,
    Flags,
}

impl Layer {
    /// Reads TOML.
    pub(super) fn parse(origin: &str, text: &str) -> Result<Self, toml::de::Error> {
        // Parsed here first, as this error knows the place and can be told without the text itself.
        toml::de::DeTable::parse(text)?;
        let values = File::from_str(text, FileFormat::Toml).collect();
        Ok(Self {
            origin: Origin::Text(origin.to_owned()),
            values: values.map_err(serde::de::Error::custom)?,
        })
    }

    /// Picks the settings out of the environment; also those that cannot be read.
    pub(super) fn from_environment(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> (Self, Vec<Mistake>) {
        let mut layer = Self {
            origin: Origin::Environment,
            values: Map::new(),
        };
        let mut mistakes = Vec::new();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let key = rest.to_lowercase().replace("__", ".");
            match value.into_string() {
                // One that is empty says nothing: compose files pass on what somebody may have set.
                Ok(text) if key.contains('.') && !key.split('.').any(str::is_empty) => {
                    if !text.is_empty() {
                        layer.set(&key, value_of(text));
                    }
                }
                Ok(_) => mistakes.push(Mistake::new(
                    name,
                    format!("it names no setting; write {PREFIX}SECTION__KEY"),
                )),
                Err(_) => mistakes.push(Mistake::new(name, "its value is not UTF-8 text")),
            }
        }
        (layer, mistakes)
    }

    /// What flags say.
    pub(super) fn from_overrides(
        overrides: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        let mut layer = Self {
            origin: Origin::Flags,
            values: Map::new(),
        };
        for (key, text) in overrides {
            layer.set(key, value_of(text));
        }
        layer
    }

    /// Replaces each `SECRET_file` by what is in that file.
    pub(super) fn read_secrets(&mut self, secrets: &[&str]) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for secret in secrets {
            let key = format!("{secret}_file");
            let Some(path) = self.get(&key).cloned() else {
                continue;
            };
            let origin = self.origin(&key);
            self.remove(&key);
            if self.contains(secret) {
                let problem = format!("give either this or `{secret}`, not both (in {origin})");
                mistakes.push(Mistake::new(key, problem));
                continue;
            }
            let path = path.into_string().unwrap_or_default();
            match std::fs::read_to_string(&path) {
                Ok(text) => self.set(secret, Value::new(None, text.trim_end())),
                Err(error) => {
                    let problem = format!("cannot read the file `{path}`: {error} (in {origin})");
                    mistakes.push(Mistake::new(key, problem));
                }
            }
        }
        mistakes
    }

    /// Where the value of a key comes from, for a person.
    pub(super) fn origin(&self, key: &str) -> String {
        match &self.origin {
            Origin::Text(name) => name.clone(),
            Origin::Environment => format!("{PREFIX}{}", key.to_uppercase().replace('.', "__")),
            Origin::Flags => "the command line".to_owned(),
        }
    }

    /// Whether this layer says something about a key.
    pub(super) fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn get(&self, key: &str) -> Option<&Value> {
        let (parents, last) = split(key);
        let mut table = &self.values;
        for parent in parents {
            table = as_table(table.get(parent)?)?;
        }
        table.get(last)
    }

    fn set(&mut self, key: &str, value: Value) {
        let (parents, last) = split(key);
        let mut table = &mut self.values;
        for parent in parents {
            let inner = table
                .entry(parent.to_owned())
                .or_insert_with(|| Value::new(None, Map::<String, Value>::new()));
            if !matches!(inner.kind, ValueKind::Table(_)) {
                inner.kind = ValueKind::Table(Map::new());
            }
            let ValueKind::Table(next) = &mut inner.kind else {
                unreachable!("it was made a table above");
            };
            table = next;
        }
        table.insert(last.to_owned(), value);
    }

    /// Takes a key out; whether it was there. An element of a list goes with its list.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let (parents, last) = split(key);
        let mut table = &mut self.values;
        for parent in parents {
            match table.get_mut(parent).map(|value| &mut value.kind) {
                Some(ValueKind::Table(next)) => table = next,
                _ => return false,
            }
        }
        table.remove(last).is_some()
    }
}

fn split(key: &str) -> (Vec<&str>, &str) {
    let key = key.split('[').next().unwrap_or_default();
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().unwrap_or_default();
    (parts, last)
}

fn as_table(value: &Value) -> Option<&Map<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

/// A text from outside a file: a list if it reads as one in TOML. Numbers and the like stay text, which is read as whatever
/// the setting is: a password of digits keeps its zeros.
fn value_of(text: String) -> Value {
    if text.trim_start().starts_with('[') {
        let list = File::from_str(&format!("list = {text}"), FileFormat::Toml).collect();
        if let Some(list) = list.ok().and_then(|mut table| table.remove("list")) {
            return list;
        }
    }
    Value::new(None, text)
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.values.clone())
    }
}
