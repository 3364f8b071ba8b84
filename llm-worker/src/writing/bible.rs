//! The story bible: what stays the same through the film.

use std::collections::HashSet;

use serde::Deserialize;

use super::order::Order;
use crate::schema::Schema;

/// Longest name of a character or a place.
const NAME_MAX: usize = 40;
/// Most characters and places. A small model keeps few apart.
const MANY: usize = 4;

/// What stays the same through the film.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Bible {
    pub(super) title: String,
    pub(super) logline: String,
    pub(super) look: String,
    pub(super) characters: Vec<Named>,
    pub(super) places: Vec<Named>,
    pub(super) beginning: String,
    pub(super) middle: String,
    pub(super) end: String,
}

/// A character or a place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) description: String,
}

pub(super) fn schema() -> Schema {
    let named = |most| {
        Schema::Object(vec![
            ("name", Schema::text(NAME_MAX)),
            ("description", Schema::text(most)),
        ])
    };
    // In the order in which one thinks of them.
    Schema::Object(vec![
        ("title", Schema::text(60)),
        ("logline", Schema::text(240)),
        ("look", Schema::text(200)),
        ("characters", Schema::list(1, MANY, named(200))),
        ("places", Schema::list(1, MANY, named(160))),
        ("beginning", Schema::text(240)),
        ("middle", Schema::text(240)),
        ("end", Schema::text(240)),
    ])
}

pub(super) const SYSTEM: &str = "You write short films that are shown without words. You answer with JSON and nothing else, \
in English, and keep every text well within its limit.";

pub(super) fn prompt(order: &Order) -> String {
    let title = match &order.title {
        Some(title) => format!("\nThe film is called: {title}\n"),
        None => String::new(),
    };
    format!(
        "Plan a film of {scenes} scenes about this premise:\n\n{premise}\n{title}\n\
         Answer with one JSON object with these fields:\n\
         - title: up to 5 words\n\
         - logline: the story in one sentence, up to 30 words\n\
         - look: how every picture looks (medium, light, colours), up to 20 words\n\
         - characters: 1 to {MANY}, each with a name (up to 4 words, no two alike) and a description of what one sees of \
         them: age, build, face, hair, clothes; up to 25 words; no feelings, no past\n\
         - places: 1 to {MANY}, each with a name (up to 4 words, no two alike) and a description of what one sees there, up \
         to 20 words\n\
         - beginning: what happens in the first third, in one sentence\n\
         - middle: what goes wrong in the second third, in one sentence\n\
         - end: how it ends in the last third, in one sentence",
        scenes = order.scenes,
        premise = order.premise.trim(),
    )
}

impl Bible {
    /// What is wrong with it beyond its form.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (what, all) in [("characters", &self.characters), ("places", &self.places)] {
            let mut names = HashSet::new();
            for one in all {
                if !names.insert(one.name.to_lowercase()) {
                    found.push(format!("two {what} have the name \"{}\"", one.name));
                }
            }
        }
        found
    }

    /// The description of a character.
    pub(super) fn character(&self, name: &str) -> Option<&Named> {
        self.characters.iter().find(|one| one.name == name)
    }

    /// The description of a place.
    pub(super) fn place(&self, name: &str) -> Option<&Named> {
        self.places.iter().find(|one| one.name == name)
    }

    /// All of it, for the prompts of the scenes.
    pub(super) fn told(&self) -> String {
        let all = |named: &[Named]| {
            named
                .iter()
                .map(|one| format!("- {}: {}\n", one.name, one.description))
                .collect::<String>()
        };
        format!(
            "Title: {}\nLogline: {}\nLook: {}\nCharacters:\n{}Places:\n{}Beginning: {}\nMiddle: {}\nEnd: {}\n",
            self.title,
            self.logline,
            self.look,
            all(&self.characters),
            all(&self.places),
            self.beginning,
            self.middle,
            self.end
        )
    }
}
